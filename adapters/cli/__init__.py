"""The command `aerotile`.

`program` is the table of commands and the way from an error to one line; every other module is one command or
one group of commands, imported only when it is called.
"""

from .program import main

__all__ = ["main"]
