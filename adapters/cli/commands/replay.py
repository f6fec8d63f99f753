"""`aerotile replay`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from ....domain.values.counted import counted
from ..arguments import EXISTING_FOLDER
from ..command import command
from ..errors import BadInputError, JobFailedError, as_bad_input, one_line
from ..output import json_option, warn_of_damage, write_json, write_line
from ..session import Session

if TYPE_CHECKING:
    from ....domain.flight_events import RecordEnvelope
    from ....domain.lookups.replay import NotReplayed, ReplayedLookup
    from ....domain.values.descriptors import IndexMetadata


@command(
    "aerotile replay aerotile-data/record", "aerotile replay flight-7/record --base /media/stick/base --json"
)
@click.argument("record", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--base",
    type=EXISTING_FOLDER,
    metavar="FOLDER",
    help="Compare with the base in use in this folder, in place of the configured base and store.",
)
@json_option
@click.pass_obj
def replay(session: Session, record: Path, base: Path | None, as_json: bool) -> None:
    """Repeat each lookup of the flight record in RECORD (a folder, or a file of it); compare the answers.

    Only lookups that were recorded with record.lookups = "full" can be repeated; the others are counted. The
    index is the configured one. An answer is the same when it names the same tiles with the same contents in
    the same order, with distances within 1e-5. Exit code 0: all are the same; 1: some differ; 2: none could
    be repeated. Nothing is written.
    """
    from ....domain.errors import TileCacheError
    from ....domain.lookups.replay import replay_lookups
    from ...recorder.reader import RecordReader

    reader = RecordReader(record)
    tally = _Tally()
    with session.existing_runtime("index", "base") as runtime:
        with as_bad_input(TileCacheError):  # exit code 1 is for answers that differ
            contents = runtime.known_contents(base)
            index = runtime.index_to_repeat(contents, base)
            answering = index.metadata()
            answering_base = runtime.replayed_base(base)
        events = tally.noted(line.envelope for line in reader.lines())
        for replayed, count in replay_lookups(events, index, contents):
            tally.add(replayed, count)
            if replayed.not_replayed is not None:
                continue
            if as_json:
                tally.lookups.append(_facts(replayed))
            else:
                what = "same" if replayed.is_same else f"different: {'; '.join(replayed.differences)}"
                write_line(one_line(f"{replayed.name}: {what}"))
    tally.leave_out_base(answering_base)
    warn_of_damage(reader)
    if not tally.events:
        raise BadInputError(
            f"{record} holds no flight record: no whole event is there",
            remedy="give the folder of a flight record, or one of its record-*.jsonl files",
        )
    if as_json:
        write_json(tally.facts(answering, reader.damaged_lines))
    else:
        tally.write_summary(answering, answering_base)
    if not tally.repeated:
        raise BadInputError(
            f"no lookup of {record} can be repeated", remedy='record with record.lookups = "full"'
        )
    if tally.different:
        raise JobFailedError(
            f"{tally.different} of {tally.repeated} lookups have another answer",
            remedy="compare with the base and the index of that flight: --base, aerotile index rollback",
        )


@attrs.define
class _Tally:
    """What a record holds, and how its lookups were answered now."""

    events: int = 0
    same: int = 0
    different: int = 0
    missed: Counter[NotReplayed] = attrs.field(factory=Counter)
    """Lookups that can't be repeated, by the reason."""
    indexes: Counter[str] = attrs.field(factory=Counter)
    """Repeated lookups that another index answered in flight, by its SHA-256."""
    flown: dict[str, str] = attrs.field(factory=dict)
    """The generation of each base that a process of the record opened, by the SHA-256 of its manifest."""
    lookups: list[dict[str, Any]] = attrs.field(factory=list)

    @property
    def repeated(self) -> int:
        """The lookups that have an answer now."""
        return self.same + self.different

    def noted(self, events: Iterable[RecordEnvelope]) -> Iterator[RecordEnvelope]:
        """The same events, counted; bases that were opened are noted."""
        from ....domain.flight_events import EventKind

        for event in events:
            self.events += 1
            if event.kind == EventKind.BASE_OPENED.value:
                self.flown[str(event.payload.get("manifest_sha256"))] = str(event.payload.get("generation"))
            yield event

    def add(self, replayed: ReplayedLookup, count: int) -> None:
        """Count a lookup that was repeated, or `count` of them that can't be."""
        if replayed.not_replayed is not None:
            self.missed[replayed.not_replayed] += count
            return
        self.same += replayed.is_same
        self.different += not replayed.is_same
        if replayed.recorded_index != replayed.replayed_index:
            self.indexes[str(replayed.recorded_index)] += 1

    def leave_out_base(self, answering: tuple[str, str] | None) -> None:
        """Forget the base that answers now; where the store answers, which holds what it holds, all."""
        if answering is None:
            self.flown.clear()
        else:
            self.flown.pop(answering[1], None)

    def facts(self, answering: IndexMetadata, damaged_lines: int) -> dict[str, Any]:
        """The tally as JSON shows it."""
        from ....domain.lookups.replay import NotReplayed

        return {
            "same": self.same,
            "different": self.different,
            "not_replayed": {reason.value: self.missed[reason] for reason in NotReplayed},
            "damaged_lines": damaged_lines,
            "index_generation": answering.generation,
            "index_sha256": answering.sha256,
            "answered_by_other_indexes": dict(self.indexes),
            "flown_by_other_bases": self.flown,
            "lookups": self.lookups,
        }

    def write_summary(self, answering: IndexMetadata, answering_base: tuple[str, str] | None) -> None:
        """How many lookups were repeated, and what else than the record's index and base answered."""
        left = ", ".join(f"{count} {reason.value}" for reason, count in sorted(self.missed.items()))
        write_line(
            f"{counted(self.repeated, 'lookup')} repeated: {self.same} same, {self.different} different"
            + (f"; not repeated: {left}" if left else "")
        )
        for sha256, count in self.indexes.items():
            were = counted(count, "was", "were")
            write_line(one_line(f"{were} answered by the index {sha256}, this is {answering.sha256}"))
        for sha256, generation in self.flown.items():
            this = "" if answering_base is None else f", this is generation {' of '.join(answering_base)}"
            write_line(
                one_line(f"the record was flown by the base generation {generation} of {sha256}{this}")
            )


def _facts(replayed: ReplayedLookup) -> dict[str, Any]:
    return {
        "lookup": replayed.name,
        "same": replayed.is_same,
        "differences": list(replayed.differences),
        "same_index": replayed.recorded_index == replayed.replayed_index,
    }
