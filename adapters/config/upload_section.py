"""The configuration of the upload."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs

from ...domain.values.validators import plain_numbers
from .fields import MIB, seconds, setting, whole
from .secret import Secret

_LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")


def _address(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, str):
        raise ValueError(f"url must be a text, got {value!r}")
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("url must be an https:// address (the value is not shown)")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ValueError(
            "url must hold no user, password, query or fragment (the value is not shown); "
            "the token has a setting of its own"
        )


@attrs.frozen(kw_only=True, field_transformer=plain_numbers)
class UploadConfig:
    """`[upload]`: where the aircraft's own tiles go after the flight, and how patiently."""

    url: str | None = setting(
        None, "Address of the satellite provider, in front of `/v1/`. Not set: no upload.", check=_address
    )
    token: Secret | None = setting(
        None, "Bearer token that the provider gave; better kept in a file.", kind=Secret
    )
    token_file: Path | None = setting(None, "File whose one line is the bearer token.", kind=Path)
    ca_file: Path | None = setting(
        None,
        "PEM file of the only certificate authorities to trust. Not set: those of this machine.",
        kind=Path,
    )
    allow_plaintext: bool = setting(
        False, "Allow `http://` to other machines: the token then travels unencrypted."
    )
    trust_env: bool = setting(False, "Go through the proxies that HTTPS_PROXY and its kin name.")
    max_batch_bytes: int = setting(
        2 * MIB, "Most bytes in one request.", unit="bytes", check=whole(1, 64 * MIB)
    )
    max_batch_tiles: int = setting(256, "Most tiles in one request.", check=whole(1, 4096))
    parallel_requests: int = setting(
        6, "Parallel requests, so that the link is busy while some wait for answers.", check=whole(1, 16)
    )
    connect_timeout_s: float = setting(10.0, "Longest time to connect.", unit="s", check=seconds(0.1, 300))
    request_timeout_s: float = setting(
        120.0, "Longest time for a whole request, its answer included.", unit="s", check=seconds(0.1, 86_400)
    )
    max_response_bytes: int = setting(MIB, "Most bytes of an answer.", unit="bytes", check=whole(1, 64 * MIB))
    max_in_call_retries: int = setting(
        3, "Times that a run retries the tiles that are left.", check=whole(0, 1000)
    )
    max_per_tile_attempts: int = setting(
        5, "Rejections, over all runs, after which a tile is given up.", check=whole(1, 1000)
    )
    backoff_base_s: float = setting(
        2.0, "Wait before retry n: this to the power of n, up to the cap.", unit="s", check=seconds(1, 3600)
    )
    backoff_cap_s: float = setting(
        60.0, "Longest wait before a retry.", unit="s", check=seconds(0.001, 86_400)
    )
    disable_retry_decorator: bool = setting(
        False, "Upload pending tiles once, without counting rejections and without giving up tiles."
    )

    def __attrs_post_init__(self) -> None:
        if self.token is not None and self.token_file is not None:
            raise ValueError("token must not be set beside token_file")
        if self.url is None or self.allow_plaintext:
            return
        parts = urlsplit(self.url)
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK_HOSTS:
            raise ValueError(
                "url must begin with https:// (http:// only to this machine, or with allow_plaintext)"
            )
