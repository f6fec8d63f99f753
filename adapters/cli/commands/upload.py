"""`aerotile upload`."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from ....domain.values.counted import counted
from ...clocks import InterruptibleClock
from ..command import command
from ..errors import INTERRUPTED, JobFailedError, one_line
from ..output import in_words, json_option, write_json, write_line
from ..progress import upload_bar
from ..session import Session

if TYPE_CHECKING:
    from ....domain.values.upload_reports import BatchProgress, TileUploadResult, UploadBatchReport
    from ...composition import Runtime

_LISTED = 20


@command(
    "aerotile upload --dry-run",
    "aerotile upload",
    more="""\
Where to, in aerotile.toml:
  [upload]
  url = "https://provider.example"
  token_file = "/etc/aerotile/token"
""",
)
@click.option("--dry-run", is_flag=True, help="Say what would be sent and where; send nothing.")
@json_option
@click.pass_obj
def upload(session: Session, dry_run: bool, as_json: bool) -> None:
    """Bring the tiles that the aircraft made to the satellite provider.

    A tile counts as uploaded when the provider answers that it holds the same content. A tile that it keeps
    rejecting is given up after upload.max_per_tile_attempts, over all runs; aerotile uploads lists them all.
    Ctrl-C stops between two batches, a second Ctrl-C immediately; another run goes on from there. The exit
    code is 0 only when no tile is left pending and the run gave none up.
    """
    with session.existing_runtime() as runtime:
        place = runtime.provider_address.place
        tiles, size = runtime.upload_ledger.pending_total()
        if dry_run:
            _print_plan(place, tiles, size, as_json=as_json)
            return
        started = runtime.clock.monotonic()
        with _first_interrupt() as interrupted:
            report, uploaded_bytes = _run(runtime, size, interrupted)
        stopped = interrupted()
        seconds = runtime.clock.monotonic() - started
        left, left_bytes = runtime.upload_ledger.pending_total()
    facts = {
        "provider": place,
        "uploaded_bytes": uploaded_bytes,
        "seconds": round(seconds, 3),
        "left": left,
        "left_bytes": left_bytes,
        "interrupted": stopped,
    }
    if as_json:
        write_json(_facts(report) | facts)
    else:
        _print_report(report, facts)
    if left and stopped:
        click.echo(
            f"interrupted: {counted(left, 'tile is', 'tiles are')} left pending; run aerotile upload again",
            err=True,
        )
        raise click.exceptions.Exit(INTERRUPTED)
    if left:
        raise _left_error(report, left)
    if report.given_up:
        raise _given_up_error(report)


@contextmanager
def _first_interrupt() -> Iterator[Callable[[], bool]]:
    """Yield a function: was Ctrl-C pressed? The second Ctrl-C raises `KeyboardInterrupt`."""
    pressed = False

    def handle(signal_number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True
        click.echo("stopping after what is under way; Ctrl-C again stops at once", err=True)

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)


def _run(runtime: Runtime, total_bytes: int, stopped: Callable[[], bool]) -> tuple[UploadBatchReport, int]:
    """Upload with a progress bar; the report, and the bytes that the provider took."""
    from ....domain.values.upload_reports import UploadRequest

    taken_bytes = 0
    with upload_bar(total_bytes) as show:

        def after_batch(progress: BatchProgress) -> None:
            nonlocal taken_bytes
            taken_bytes += progress.taken_bytes
            show(taken_bytes, "" if progress.problem is None else str(progress.problem.reason))

        def before_wait(seconds: float) -> None:
            show(taken_bytes, f"trying again in {seconds:g} s")

        uploader = runtime.tile_uploader(InterruptibleClock(stopped, before_wait))
        report = uploader.upload_pending_tiles(UploadRequest(after_batch=after_batch, stopped=stopped))
    return report, taken_bytes


def _left_error(report: UploadBatchReport, left: int) -> JobFailedError:
    tiles = counted(left, "tile is left pending", "tiles are left pending")
    results = (*report.unanswered, *report.rejected)
    reasons = [str(result.reason) for result in results if result.reason is not None]
    if report.problem is not None:
        reasons.insert(0, str(report.problem.reason))
    when = ""
    if report.next_retry_at_s is not None:
        moment = datetime.fromtimestamp(report.next_retry_at_s, timezone.utc)
        when = f" after {moment.isoformat(timespec='seconds')}"
    again = f"run aerotile upload again{when}"
    remedy = again
    if report.problem is not None and report.problem.remedy is not None:
        remedy = f"{report.problem.remedy}, then {again}"
    return JobFailedError(": ".join([tiles, *reasons[:1]]), remedy=remedy)


def _given_up_error(report: UploadBatchReport) -> JobFailedError:
    first, tiles = report.given_up[0], counted(len(report.given_up), "tile was", "tiles were")
    return JobFailedError(
        f"{tiles} given up, such as {first.tile_id}: {first.reason}",
        remedy="mend the reason, then give them another life: aerotile uploads requeue",
    )


def _print_plan(place: str, tiles: int, size: int, *, as_json: bool) -> None:
    if as_json:
        write_json({"provider": place, "tiles": tiles, "bytes": size, "dry_run": True})
    else:
        write_line(f"{counted(tiles, 'tile')}, {in_words(size)}, would go to {place}")


def _facts(report: UploadBatchReport) -> dict[str, Any]:
    problem = report.problem
    next_retry_at = (
        None
        if report.next_retry_at_s is None
        else datetime.fromtimestamp(report.next_retry_at_s, timezone.utc).isoformat()
    )
    return {
        "outcome": report.outcome.value,
        "accepted": report.accepted,
        "duplicates": report.duplicates,
        "rejected": [_result_facts(result) for result in report.rejected],
        "unanswered": [_result_facts(result) for result in report.unanswered],
        "given_up": [_result_facts(result) for result in report.given_up],
        "problem": None
        if problem is None
        else {
            "kind": problem.kind.value,
            "code": problem.reason.code,
            "detail": problem.reason.detail,
            "retry_after_s": problem.retry_after_s,
        },
        "retries": report.retries,
        "next_retry_at": next_retry_at,
    }


def _result_facts(result: TileUploadResult) -> dict[str, Any]:
    return {
        "tile": str(result.tile_id),
        "code": None if result.reason is None else result.reason.code,
        "detail": None if result.reason is None else result.reason.detail,
    }


def _print_report(report: UploadBatchReport, facts: dict[str, Any]) -> None:
    _print_results("given up", report.given_up)
    _print_results("rejected", report.rejected)
    # A problem is the reason of every unanswered tile, and the last line names it.
    if report.problem is None:
        _print_results("unanswered", report.unanswered)
    there_before = f" ({report.duplicates} of them were there before)" if report.duplicates else ""
    seconds, size = facts["seconds"], facts["uploaded_bytes"]
    rate = in_words(round(size / seconds)) if seconds else in_words(size)
    write_line(
        f"{counted(report.accepted + report.duplicates, 'tile')} uploaded{there_before}, "
        f"{len(report.given_up)} given up, {facts['left']} left pending; "
        f"{in_words(size)} in {seconds:.1f} s, {rate}/s"
    )


def _print_results(what: str, results: Sequence[TileUploadResult]) -> None:
    for result in results[:_LISTED]:
        click.echo(one_line(f"{what}: {result.tile_id}: {result.reason}"), err=True)
    if len(results) > _LISTED:
        click.echo(f"{what}: {len(results) - _LISTED} more; aerotile uploads lists them all", err=True)
