"""The faults of the reference provider: values, and their form in JSON and in options."""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import attrs

from ...domain.errors import ConfigurationError
from ...domain.values.tiles import VotingStatus
from .votes import VERDICTS

_Settings = TypeVar("_Settings", "Behaviour", "Fault")

MAX_BODY_BYTES = 4_194_304
MAX_TILES = 256


class FaultKind(str, Enum):
    """A fault of one request."""

    STATUS = "status"
    """Answer with `status`, and `Retry-After` when `retry_after_s` is set."""
    RESET_IN_REQUEST = "reset_in_request"
    """Reset the connection when about half of the body is there."""
    RESET_BEFORE_ANSWER = "reset_before_answer"
    """Do the work, then reset the connection."""
    HANG = "hang"
    """Do the work, then send nothing for `seconds`."""
    TRUNCATE_ANSWER = "truncate_answer"
    """Do the work, send half of the answer, close."""
    GARBAGE_ANSWER = "garbage_answer"
    """Do the work, answer 200 with a body that is no JSON."""
    WRONG_HASH = "wrong_hash"
    """Do the work, answer with hashes other than those of the stored tiles."""
    OMIT_TILES = "omit_tiles"
    """Do the work, leave every second tile out of the answer."""
    DRIP_ANSWER = "drip_answer"
    """Do the work, send the answer a byte at a time, `seconds` apart."""
    GZIP_BOMB = "gzip_bomb"
    """Answer with few bytes that unpack to `unpacked_bytes`."""
    REDIRECT = "redirect"
    """Answer 307 to `location`."""


class RetryAfterForm(str, Enum):
    """The two forms of `Retry-After`."""

    SECONDS = "seconds"
    DATE = "date"


class FaultTarget(str, Enum):
    """The requests that a fault counts and affects."""

    TILES = "tiles"
    VOTES = "votes"


@attrs.frozen(kw_only=True)
class Fault:
    """A fault, and the requests that it affects; requests are counted from 1."""

    kind: FaultKind
    on: FaultTarget = FaultTarget.TILES
    every: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    """Affect request number n when n is a multiple of this."""
    until: int | None = attrs.field(default=None)
    """Affect no request after this number."""
    status: int = attrs.field(default=503, validator=[attrs.validators.ge(400), attrs.validators.le(599)])
    retry_after_s: int | None = attrs.field(default=None)
    retry_after_form: RetryAfterForm = RetryAfterForm.SECONDS
    after_storing: bool = False
    """Whether a `STATUS` answer is sent after the work instead of in its place."""
    seconds: float = attrs.field(default=0.1, validator=attrs.validators.ge(0))
    unpacked_bytes: int = attrs.field(default=1 << 30, validator=attrs.validators.ge(1))
    location: str = "http://127.0.0.1:9/"

    def hits(self, target: FaultTarget, number: int) -> bool:
        """Whether the fault affects request `number` on `target`."""
        return target is self.on and number % self.every == 0 and (self.until is None or number <= self.until)


@attrs.frozen(kw_only=True)
class Behaviour:
    """All switches of the reference provider; by default it has no faults."""

    faults: tuple[Fault, ...] = ()
    """A request gets the first fault that affects it."""
    refused: Mapping[UUID, str] = attrs.field(factory=dict)
    """Tiles that are always rejected, each with the reason's detail."""
    verdict: VotingStatus | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.in_(VERDICTS))
    )
    """The vote for each tile when it is stored."""
    verdicts: Mapping[UUID, VotingStatus] = attrs.field(factory=dict)
    """Other votes for particular tiles."""
    max_body_bytes: int = attrs.field(
        default=MAX_BODY_BYTES, validator=[attrs.validators.ge(1), attrs.validators.le(MAX_BODY_BYTES)]
    )
    max_tiles: int = attrs.field(
        default=MAX_TILES, validator=[attrs.validators.ge(1), attrs.validators.le(MAX_TILES)]
    )
    body_deadline_s: float = attrs.field(default=300.0, validator=attrs.validators.gt(0))
    """The longest time for a body to arrive, in seconds."""

    def fault_for(self, target: FaultTarget, number: int) -> Fault | None:
        """The fault of request `number` on `target`; None when there is none."""
        return next((fault for fault in self.faults if fault.hits(target, number)), None)


def read_behaviour(path: Path) -> Behaviour:
    """Read a JSON file whose keys are the fields of `Behaviour`. Raises `ConfigurationError`."""
    try:
        facts = json.loads(path.read_bytes())
        if not isinstance(facts, dict):
            raise ValueError("not an object")
        return _read(Behaviour, facts)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"{path}: {error}", remedy="see docs/upload.md for what a behaviour file may hold"
        ) from error


def parse_fault(text: str) -> Fault:
    """Read `KIND[,NAME=VALUE...]` as the command line has it. Raises `ConfigurationError`."""
    kind, *settings = text.split(",")
    facts: dict[str, Any] = {"kind": kind}
    for setting in settings:
        name, _, value = setting.partition("=")
        try:
            facts[name] = json.loads(value)
        except (ValueError, RecursionError):
            facts[name] = value
    try:
        return _read(Fault, facts)
    except ValueError as error:
        raise ConfigurationError(
            f"fault {text!r}: {error}", remedy="write it as status,status=503,every=3,retry_after_s=2"
        ) from error


def _read(kind: type[_Settings], facts: dict[str, Any]) -> _Settings:
    """An attrs value from JSON. Raises `ValueError` that names the field."""
    hints = get_type_hints(kind)
    unknown = set(facts) - set(attrs.fields_dict(kind))
    if unknown:
        raise ValueError(f"there is no setting {sorted(unknown)[0]!r}")
    try:
        return kind(**{name: _convert(value, hints[name], name) for name, value in facts.items()})
    except TypeError as error:
        raise ValueError(str(error)) from error


def _convert(value: Any, hint: Any, name: str) -> Any:
    """A JSON value as the type that a field declares."""
    if get_origin(hint) in (Union, types.UnionType):
        if value is None:
            return None
        (hint,) = (member for member in get_args(hint) if member is not type(None))
    if get_origin(hint) is tuple:
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise ValueError(f"{name} must be a list of objects")
        return tuple(_read(get_args(hint)[0], item) for item in value)
    if get_origin(hint) is not None:  # a mapping; its keys are tile_uuids
        if not isinstance(value, dict):
            raise ValueError(f"{name} must be an object")
        key_type, value_type = get_args(hint)
        return {
            _convert(key, key_type, name): _convert(item, value_type, name) for key, item in value.items()
        }
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint in (int, float, bool, str):
        if type(value) is not hint:
            raise ValueError(f"{name} must be of type {hint.__name__}, got {value!r}")
        return value
    try:
        return hint(value)
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{name}: {value!r} is not valid") from error
