"""The configuration of the upload."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import attrs

from ...domain.values.validators import plain_numbers
from .fields import MIB, about, instance, seconds, whole
from .secret import Secret

_LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")


@attrs.frozen(kw_only=True, field_transformer=plain_numbers)
class UploadConfig:
    """`[upload]`: where the aircraft's own tiles go after the flight, and how patiently."""

    url: str | None = attrs.field(
        default=None,
        metadata=about("Address of the satellite provider, in front of `/v1/`. Not set: no upload."),
    )
    token: Secret | None = attrs.field(
        default=None,
        validator=attrs.validators.optional(instance(Secret)),
        metadata=about("Bearer token that the provider gave; better kept in a file."),
    )
    token_file: Path | None = attrs.field(
        default=None,
        validator=attrs.validators.optional(instance(Path)),
        metadata=about("File whose one line is the bearer token."),
    )
    ca_file: Path | None = attrs.field(
        default=None,
        validator=attrs.validators.optional(instance(Path)),
        metadata=about(
            "PEM file of the only certificate authorities to trust. Not set: those of this machine."
        ),
    )
    allow_plaintext: bool = attrs.field(
        default=False,
        validator=instance(bool),
        metadata=about("Allow `http://` to other machines: the token then travels unencrypted."),
    )
    trust_env: bool = attrs.field(
        default=False,
        validator=instance(bool),
        metadata=about("Go through the proxies that HTTPS_PROXY and its kin name."),
    )
    max_batch_bytes: int = attrs.field(
        default=2 * MIB,
        validator=whole(1, 64 * MIB),
        metadata=about("Most bytes in one request.", "bytes"),
    )
    max_batch_tiles: int = attrs.field(
        default=256, validator=whole(1, 4096), metadata=about("Most tiles in one request.")
    )
    parallel_requests: int = attrs.field(
        default=6,
        validator=whole(1, 16),
        metadata=about("Parallel requests, so that the link is busy while some wait for answers."),
    )
    connect_timeout_s: float = attrs.field(
        default=10.0, validator=seconds(0.1, 300), metadata=about("Longest time to connect.", "s")
    )
    request_timeout_s: float = attrs.field(
        default=120.0,
        validator=seconds(0.1, 86_400),
        metadata=about("Longest time for a whole request, its answer included.", "s"),
    )
    max_response_bytes: int = attrs.field(
        default=MIB, validator=whole(1, 64 * MIB), metadata=about("Most bytes of an answer.", "bytes")
    )
    max_in_call_retries: int = attrs.field(
        default=3,
        validator=whole(0, 1000),
        metadata=about("Times that a run retries the tiles that are left."),
    )
    max_per_tile_attempts: int = attrs.field(
        default=5,
        validator=whole(1, 1000),
        metadata=about("Rejections, over all runs, after which a tile is given up."),
    )
    backoff_base_s: float = attrs.field(
        default=2.0,
        validator=seconds(1, 3600),
        metadata=about("Wait before retry n: this to the power of n, up to the cap.", "s"),
    )
    backoff_cap_s: float = attrs.field(
        default=60.0, validator=seconds(0.001, 86_400), metadata=about("Longest wait before a retry.", "s")
    )
    disable_retry_decorator: bool = attrs.field(
        default=False,
        validator=instance(bool),
        metadata=about("Upload pending tiles once, without counting rejections and without giving up tiles."),
    )

    @url.validator
    def _usable(self, _: attrs.Attribute[str | None], value: str | None) -> None:
        if value is None:
            return
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
