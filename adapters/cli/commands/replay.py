"""`aerotile replay`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ....domain.values.counted import counted
from ..arguments import EXISTING_FOLDER
from ..command import command
from ..errors import BadInputError, JobFailedError, as_bad_input, one_line
from ..output import json_option, warn_of_damage, write_json, write_line
from ..session import Session

if TYPE_CHECKING:
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
    from ....domain.flight_events import EventKind, RecordEnvelope
    from ....domain.lookups.replay import NotReplayed, replay_lookups
    from ...recorder.reader import RecordReader

    reader = RecordReader(record)
    counts: Counter[str] = Counter()
    missed: Counter[NotReplayed] = Counter()
    indexes: Counter[str] = Counter()
    shown: list[dict[str, Any]] = []
    flown: dict[str, str] = {}
    found = 0

    def noted(events: Iterable[RecordEnvelope]) -> Iterator[RecordEnvelope]:
        """The same events, counted; each base that a process of the record opened is noted."""
        nonlocal found
        for event in events:
            found += 1
            if event.kind == EventKind.BASE_OPENED.value:
                flown[str(event.payload.get("manifest_sha256"))] = str(event.payload.get("generation"))
            yield event

    with session.existing_runtime("index", "base") as runtime:
        with as_bad_input(TileCacheError):  # exit code 1 is for answers that differ
            contents = runtime.known_contents(base)
            index = runtime.index_to_repeat(contents, base)
            answering = index.metadata()
            answering_base = runtime.replayed_base(base)
        events = noted(line.envelope for line in reader.lines())
        for replayed, count in replay_lookups(events, index, contents):
            if replayed.not_replayed is not None:
                missed[replayed.not_replayed] += count
                continue
            counts["same" if replayed.is_same else "different"] += 1
            if replayed.recorded_index != replayed.replayed_index:
                indexes[str(replayed.recorded_index)] += 1
            if as_json:
                shown.append(_facts(replayed))
            else:
                what = "same" if replayed.is_same else f"different: {'; '.join(replayed.differences)}"
                write_line(one_line(f"{replayed.name}: {what}"))
    if answering_base is None:
        flown.clear()  # the store answers, and holds what it holds
    else:
        flown.pop(answering_base[1], None)
    warn_of_damage(reader)
    if not found:
        raise BadInputError(
            f"{record} holds no flight record: no whole event is there",
            remedy="give the folder of a flight record, or one of its record-*.jsonl files",
        )
    total = counts.total()
    if as_json:
        write_json(
            {
                "same": counts["same"],
                "different": counts["different"],
                "not_replayed": {reason.value: missed[reason] for reason in NotReplayed},
                "damaged_lines": reader.damaged_lines,
                "index_generation": answering.generation,
                "index_sha256": answering.sha256,
                "answered_by_other_indexes": dict(indexes),
                "flown_by_other_bases": flown,
                "lookups": shown,
            }
        )
    else:
        _write_summary(counts, missed, indexes, flown, answering, answering_base)
    if not total:
        raise BadInputError(
            f"no lookup of {record} can be repeated", remedy='record with record.lookups = "full"'
        )
    if counts["different"]:
        raise JobFailedError(
            f"{counts['different']} of {total} lookups have another answer",
            remedy="compare with the base and the index of that flight: --base, aerotile index rollback",
        )


def _write_summary(
    counts: Counter[str],
    missed: Counter[NotReplayed],
    indexes: Counter[str],
    flown: Mapping[str, str],
    answering: IndexMetadata,
    answering_base: tuple[str, str] | None,
) -> None:
    """How many lookups were repeated, and what else than the record's index and base answered."""
    left = ", ".join(f"{count} {reason.value}" for reason, count in sorted(missed.items()))
    write_line(
        f"{counted(counts.total(), 'lookup')} repeated: {counts['same']} same, {counts['different']} "
        f"different" + (f"; not repeated: {left}" if left else "")
    )
    for sha256, count in indexes.items():
        write_line(
            one_line(
                f"{counted(count, 'was', 'were')} answered by the index {sha256}, this is {answering.sha256}"
            )
        )
    for sha256, generation in flown.items():
        this = "" if answering_base is None else f", this is generation {' of '.join(answering_base)}"
        write_line(one_line(f"the record was flown by the base generation {generation} of {sha256}{this}"))


def _facts(replayed: ReplayedLookup) -> dict[str, Any]:
    return {
        "lookup": replayed.name,
        "same": replayed.is_same,
        "differences": list(replayed.differences),
        "same_index": replayed.recorded_index == replayed.replayed_index,
    }
