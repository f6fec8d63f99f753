"""The command `aerotile`.

`program` has the table of commands and ends every run. `commands/` has one command a file, imported only when
it is called. A command parses arguments, calls the composition root, draws progress and prints; no use case
lives here.
"""

from .program import main

__all__ = ["main"]
