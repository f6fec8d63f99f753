"""What hostile content holds, and how a call of the program over it ended."""

from __future__ import annotations

import attrs

INJECTION = "'; DROP TABLE tiles CASCADE; --"
TOKEN = "a-token-of-a-test"
STEERING = "\x1b]0;owned\x07\x1b[2J\u202e"


@attrs.frozen
class Answer:
    """How a call of the program ended."""

    code: int
    out: str
    err: str

    @property
    def is_orderly(self) -> bool:
        """Done or refused, on one line, without a defect and without steering the terminal."""
        last = self.err.splitlines()[-1:] or [""]
        return (
            self.code in (0, 1, 2, 3)
            and "Traceback" not in self.err
            and "unexpected" not in self.err
            and (self.code in (0, 3) or last[0].startswith("error: "))
            and not set(self.out + self.err) & set("\x1b\x07\u202e")
        )
