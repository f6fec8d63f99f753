"""`aerotile base verify`."""

from __future__ import annotations

from contextlib import suppress
from itertools import islice

import attrs
import click

from ....domain.values.counted import counted
from ..arguments import generation_name
from ..base_verify_progress import BaseVerifyProgress
from ..command import command
from ..errors import JobFailedError
from ..output import json_option, write_json, write_line, write_table
from ..progress import progress_bar
from ..session import Session
from ..shared_options import max_rate_option, resume_option
from .base import chosen_generation

_LISTED_FINDINGS = 20


@command(
    "aerotile base verify",
    'aerotile base verify 000007 --max-rate "20 MiB"     # leave the disk to others; Ctrl-C, then --resume',
)
@click.argument("generation", type=generation_name, required=False)
@resume_option
@max_rate_option
@json_option
@click.pass_obj
def verify(
    session: Session, generation: str | None, resume: bool, max_rate: int | None, as_json: bool
) -> None:
    """Hash every byte of GENERATION, by default the one in use, and compare its archive with its facts.

    Says also whose signatures it has. The exit code is 1 when anything is damaged, or when the signatures
    that the configuration requires are missing.
    """
    with session.existing_runtime("base") as runtime, progress_bar("bytes") as advance:
        name = chosen_generation(runtime, generation)
        opened = runtime.base_generations.manifest(name, runtime.base_trust)
        saved = BaseVerifyProgress(runtime.config.root, opened.identity)
        if resume:
            saved.resume()
        try:
            findings = runtime.check_base(
                name,
                check=saved.check,
                max_bytes_per_s=max_rate,
                progress=advance,
                checkpoint=saved.save_now_and_then,
            )
        except BaseException:
            with suppress(OSError):  # the operator has to see the error that ended the check
                saved.save()
            raise
        saved.finish()
        runtime_trust, required = runtime.base_trust, runtime.config.base.require_signature
    if as_json:
        write_json(
            {
                "generation": name,
                "tiles": opened.manifest.tiles,
                "signed_by": list(opened.signers),
                "trusted": opened.is_trusted,
                "findings": [attrs.asdict(finding) for finding in findings],
            }
        )
    elif findings:
        write_table(["what", "detail"], [[f.what, f.detail] for f in islice(findings, _LISTED_FINDINGS)])
        if len(findings) > _LISTED_FINDINGS:
            write_line(f"and {len(findings) - _LISTED_FINDINGS} more; --json lists them all")
    else:
        signed = f"{len(opened.signers)} of {len(runtime_trust.public_keys)} pinned keys signed it"
        write_line(
            f"generation {name}: {counted(opened.manifest.tiles, 'tile')}, every byte as it was sealed; "
            f"{signed}"
        )
    if findings:
        raise JobFailedError(
            f"{len(findings)} findings in generation {name} of the base",
            remedy="bring it again, or switch to another with aerotile base rollback",
        )
    runtime.base_generations.refuse_untrusted(opened, runtime_trust, require_signature=required)
