"""Bring the aircraft's own tiles to the provider after a flight: python examples/upload.py

AEROTILE_UPLOAD_URL and AEROTILE_UPLOAD_TOKEN_FILE say where. A call that is interrupted can be made again: a
tile counts as uploaded only on the provider's word that it holds our content.
"""

import sys

import aerotile


def show(batch: aerotile.BatchProgress) -> None:
    taken = sum(result.taken for result in batch.results)
    print(f"  {taken} of {len(batch.results)} tiles taken, {batch.sent_bytes} bytes sent")


def main() -> int:
    uploader = aerotile.build_tile_uploader(aerotile.load_config())
    report = uploader.upload_pending_tiles(aerotile.UploadRequest(after_batch=show))
    print(f"{report.outcome.value}: {report.accepted} accepted, {report.duplicates} held already")
    for result in (*report.rejected, *report.given_up):
        print(f"{result.tile_id} was rejected: {result.reason}", file=sys.stderr)
    if report.problem is not None:
        print(f"the last request failed: {report.problem.reason}", file=sys.stderr)
    return 0 if report.outcome is aerotile.BatchOutcome.SUCCESS else 1


if __name__ == "__main__":
    sys.exit(main())
