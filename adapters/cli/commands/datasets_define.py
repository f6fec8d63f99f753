"""`aerotile datasets define`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ....domain.errors import DatasetConflictError
from ..capture_times import (
    CaptureTimeOptions,
    captured_at_option,
    gather_capture_times,
    stac_option,
)
from ..command import command
from ..errors import BadInputError, as_bad_input
from ..output import json_option
from ..session import Session
from .datasets import checked, dates_from_option, offline_option, print_dataset

if TYPE_CHECKING:
    from ....domain.values.datasets import SourceDigest


@command(
    'aerotile datasets define ortho-2024 --licence CC-BY-4.0 --attribution "Survey Office" \\',
    "    --may-be-stored-offline yes --source ortho.tif --captured-at 2024-05-01",
    'aerotile datasets define city --licence "contract 17" --attribution "City of M" \\',
    '    --may-be-stored-offline yes --source tiles/ --dates-from "a CSV by tile"',
)
@click.argument("name")
@click.option("--licence", required=True, metavar="TEXT", help="Its name or identifier, such as CC-BY-4.0.")
@click.option("--attribution", required=True, metavar="TEXT", help="The words to show with the tiles.")
@offline_option
@click.option(
    "--source",
    required=True,
    metavar="WHAT",
    help="Where it came from: a file, a folder of tiles, an address without its token; "
    "or any words with --sha256.",
)
@click.option("--sha256", metavar="HEX", help="The digest as its supplier states it; none is computed.")
@captured_at_option
@stac_option
@dates_from_option
@json_option
@click.pass_obj
@gather_capture_times
def define(
    session: Session,
    name: str,
    licence: str,
    attribution: str,
    may_be_stored_offline: str | None,
    source: str,
    sha256: str | None,
    capture_times: CaptureTimeOptions,
    dates_from: str | None,
    as_json: bool,
) -> None:
    """Define the dataset NAME. The digest of its source is computed here, unless --sha256 states it.

    A file's digest is the SHA-256 of its bytes, that of a folder is over the place and SHA-256 of each
    picture zoom/x/y (JPEG, PNG and WebP; other files are counted and left out), that of an address over its
    text. The same definition may be repeated. A name never comes to stand for
    another source.
    """
    if may_be_stored_offline is None:
        raise BadInputError(
            "it is not said whether the tiles may be stored offline",
            remedy="read the licence and give --may-be-stored-offline yes or no; nothing is assumed",
        )
    chosen = capture_times.read()
    if (chosen.origin is None) == (dates_from is None):
        raise BadInputError(
            "exactly one thing must say when the ground looked like that",
            remedy="give one of --captured-at, --stac and --dates-from",
        )
    left_out: Counter[str] = Counter()
    shown, digest = _digest(source, sha256, left_out)
    facts = {
        "name": name,
        "licence": licence,
        "attribution": attribution,
        "may_be_stored_offline": may_be_stored_offline == "yes",
        "source": shown,
        "source_sha256": digest.sha256,
        "digest_of": digest.of,
        "captured_at": chosen.one_date,
        "captured_from": chosen.origin or dates_from,
    }
    with session.runtime() as runtime:
        dataset = checked(facts, runtime.clock.now())
        with as_bad_input(DatasetConflictError):
            runtime.dataset_store.define(dataset)
        tiles = runtime.rows.counts_by_dataset().get(name, 0)
    print_dataset(dataset, tiles, as_json=as_json, left_out_of_digest=left_out)


def _digest(source: str, sha256: str | None, left_out: Counter[str]) -> tuple[str, SourceDigest]:
    """How a source is shown, and its digest; counts what else lies in a folder.

    Raises `BadInputError`, `InputFileError`, `OSError`."""
    from ....domain.values.datasets import DigestOf, SourceDigest
    from ...input_files.source_digest import (
        digest_of_address,
        digest_of_file,
        digest_of_folder,
        refuse_secrets,
    )

    if sha256 is not None:
        refuse_secrets(source)
        return source, SourceDigest(DigestOf.STATED, sha256)
    if "://" in source:
        return source, digest_of_address(source)
    path = Path(source)
    if path.is_file():
        return path.resolve().name, digest_of_file(path)
    if not path.is_dir():
        raise BadInputError(
            f"no file and no folder {source}", remedy="correct --source, or state its digest with --sha256"
        )
    digest, others = digest_of_folder(path)
    left_out.update(others)
    for kind, count in sorted(others.items()):
        click.echo(f"left out of the digest: {count} x {kind}", err=True)
    return path.resolve().name, digest
