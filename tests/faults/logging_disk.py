"""A disk that logs every write and flush, and can be made to hold what any power cut could have left of them.

    python logging_disk.py MOUNT_POINT BYTES

serves a disk of that size, all zeros, as the file `disk`, for a loop device; it is in memory and ends with
its standard input, whose lines it obeys:

    record       what is written from now on is logged; what was written before stays, whatever happens
    mark TEXT    put a mark into the log
    stop         log no more, and answer with the log: a list of ["write", BYTES], ["flush"], ["mark", TEXT]
    show PARTS   go back to where `record` was, and then write the parts of the log that the list of
                 [PLACE, FROM, TO] names: of the write at that place in the log, those of its bytes
"""

from __future__ import annotations

import json
import os
import sys

import attrs
from fuse_disk import FuseDisk

BLOCK_BYTES = 4096


@attrs.frozen
class Entry:
    """What the disk was told."""

    kind: str
    text: str = ""
    offset: int = 0
    block: bytes = b""

    @property
    def facts(self) -> list[object]:
        """As the log is answered."""
        return {"write": ["write", len(self.block)], "mark": ["mark", self.text]}.get(self.kind, [self.kind])


class LoggingDisk(FuseDisk):
    """Remembers which blocks are not as they were when recording began."""

    def __init__(self, size: int) -> None:
        super().__init__(os.memfd_create("disk"))
        os.ftruncate(self._content, size)
        self._base = os.memfd_create("base")
        self._changed: set[int] = set()
        self._log: list[Entry] = []
        self._recording = False

    def obey(self, command: str) -> str:
        """Record, mark, stop or show."""
        what, _, argument = command.partition(" ")
        if what == "record":
            self._copy(self._content, self._base)
            self._recording = True
        elif what == "mark":
            self._log.append(Entry("mark", argument))
        elif what == "stop":
            self._recording = False
            return json.dumps([entry.facts for entry in self._log])
        else:
            self._copy(self._base, self._content)
            for place, start, end in json.loads(argument):
                entry = self._log[place]
                super().write(entry.offset + start, entry.block[start:end])
                self._note(entry.offset + start, end - start)
        return what

    def write(self, offset: int, block: bytes) -> None:
        """Take what is written, and log it."""
        super().write(offset, block)
        self._note(offset, len(block))
        if self._recording:
            self._log.append(Entry("write", offset=offset, block=block))

    def flush(self) -> None:
        """Log that everything before is durable."""
        if self._recording:
            self._log.append(Entry("flush"))

    def _note(self, offset: int, size: int) -> None:
        self._changed.update(range(offset // BLOCK_BYTES, -(-(offset + size) // BLOCK_BYTES)))

    def _copy(self, source: int, target: int) -> None:
        """Make the target's changed blocks those of the source."""
        for number in self._changed:
            block = os.pread(source, BLOCK_BYTES, number * BLOCK_BYTES)
            os.pwrite(target, block.ljust(BLOCK_BYTES, b"\0"), number * BLOCK_BYTES)
        self._changed.clear()


if __name__ == "__main__":
    LoggingDisk(int(sys.argv[2])).serve(sys.argv[1])
