"""Values that must not be shown, and the parts of a database address that may be."""

from __future__ import annotations

import re
from urllib.parse import unquote

HIDDEN = "***"


class Secret:
    """A text that no log, repr, error or JSON shows. Only `reveal` returns it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            # The value itself is left out on purpose: it may be the secret in another type.
            raise ValueError(f"a secret must be a text, got {type(text).__name__}")
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one call that needs it."""
        return self._text

    def __repr__(self) -> str:
        return HIDDEN

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return self._text == other._text if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")


_URL = re.compile(r"\s*(postgres(?:ql)?://)(.*)", re.DOTALL | re.IGNORECASE)
_SECRET_KEYS = r"(?:ssl)?password|passfile|oauth_client_secret|scram_\w+_key"
_URL_PARAMETER = re.compile(rf"([?&](?:{_SECRET_KEYS})=)[^&]*", re.IGNORECASE)
_KEYWORD = re.compile(
    rf"(?<![\w])((?:{_SECRET_KEYS})\s*=\s*)('(?:\\.|[^'\\])*(?:'|\Z)|(?:\\.|[^\s'\\])*)",
    re.IGNORECASE | re.DOTALL,
)
_PAIR = re.compile(r"(\s*(\w+)\s*=\s*)('(?:\\.|[^'\\])*(?:'|\Z)|(?:\\.|[^\s'\\])*)", re.DOTALL)
_HARMLESS_KEYS = frozenset(
    (
        *("host", "hostaddr", "port", "dbname", "user", "application_name", "client_encoding"),
        *("connect_timeout", "tcp_user_timeout", "target_session_attrs", "require_auth"),
        *("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"),
        *("gssencmode", "sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl"),
    )
)
SHORTEST_REPLACED = 4
"""Shorter secrets are not replaced in foreign texts: that would garble the text and hide nothing."""
_KEYWORD_FORM = re.compile(r"\s*\w+\s*=")


def is_dsn(text: str) -> bool:
    """Whether the text has one of the two forms that libpq reads: a URL, or `keyword=value` pairs."""
    return bool(_URL.match(text) or _KEYWORD_FORM.match(text))


def redact_dsn(dsn: str) -> str:
    """A database address with every password replaced, as a URL or as `keyword=value` pairs.

    A part is hidden unless it is known to be harmless. A text in neither form is hidden whole. In a URL
    the text from the first colon to the last at sign counts as password. Of keywords only values that can't
    be a password are shown, so that neither a mistyped keyword nor a space in a password reveals it.
    """
    if match := _URL.match(dsn):
        scheme, rest = match.groups()
        credentials, at, place = rest.rpartition("@")
        user, colon, _ = credentials.partition(":")
        shown = f"{user}:{HIDDEN}" if colon else user
        place, question, parameters = place.partition("?")
        return scheme + shown + at + place + question + "&".join(map(_shown_parameter, parameters.split("&")))
    if not _KEYWORD_FORM.match(dsn):
        return HIDDEN
    parts: list[str] = []
    end = 0
    while pair := _PAIR.match(dsn, end):
        parts.append(pair[0] if pair[2].lower() in _HARMLESS_KEYS else pair[1] + HIDDEN)
        end = pair.end()
    return "".join(parts) + (f" {HIDDEN}" if dsn[end:].strip() else "")


def _shown_parameter(parameter: str) -> str:
    key, sign, _ = parameter.partition("=")
    if not parameter or (sign and key.lower() in _HARMLESS_KEYS):
        return parameter
    return f"{key}={HIDDEN}" if sign else HIDDEN


def has_ambiguous_password(dsn: str) -> bool:
    """Whether a URL holds an @ that makes libpq take a part of the password for another part of the URL.

    For libpq user and password end at the first @, and are missing when a / comes before it.
    """
    match = _URL.match(dsn)
    if match is None:
        return False
    before, at, behind = match[2].partition("@")
    place = behind if at and "/" not in before else match[2]
    return "@" in place.partition("?")[0]


def passwords_in(dsn: str) -> list[str]:
    """The passwords that a database address holds, as written and as meant, longest first.

    For hiding them in a foreign text, such as a driver's message. Passwords of fewer than four characters are
    left out: replacing them would garble the text without hiding them.
    """
    found: set[str] = set()
    if match := _URL.match(dsn):
        credentials, _, place = match[2].rpartition("@")
        found.add(credentials.partition(":")[2])
        found.update(part[0].partition("=")[2] for part in _URL_PARAMETER.finditer(place))
        found.update([unquote(text) for text in found])
    else:
        for part in _KEYWORD.finditer(dsn):
            value = part[2].strip("'")
            found.update((value, re.sub(r"\\(.)", r"\1", value)))
    return sorted((text for text in found if len(text) >= SHORTEST_REPLACED), key=len, reverse=True)
