"""Files that commands make for people: none lies among the store's own, whose next open may remove it."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_calls import BAD_CALL, Call

KEY = "ab" * 32
ROUTE = '{"type": "LineString", "coordinates": [[11.5, 48.1], [11.6, 48.2]]}'


@pytest.mark.parametrize(
    "arguments",
    [
        ("base", "keygen", "FILE"),
        ("base", "keys", "make", "FILE", "--number", "1", "--threshold", "1", "--key", KEY),
        ("recall", "make", "FILE", "--number", "1", "--reason", "withdrawn"),
        ("ingest", "xyz", "--captured-at", "2024-05-01", "--map", "FILE"),
        ("provision", "xyz", "--captured-at", "2024-05-01", "--map", "FILE"),
        ("status", "--map", "FILE"),
        ("ready", "--route", "route.json", "--corridor", "1km", "--zoom", "5", "--map", "FILE"),
        ("serve", "--port-file", "FILE"),
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
@pytest.mark.parametrize("name", ["tiles/x.png", "recall/x.png"])
def test_no_file_is_made_among_the_files_of_the_store(
    call: Call, tmp_path: Path, arguments: tuple[str, ...], name: str
) -> None:
    (tmp_path / "xyz").mkdir()
    (tmp_path / "route.json").write_text(ROUTE)
    place = tmp_path / "aerotile-data" / name
    place.parent.mkdir(parents=True)
    (tmp_path / "aerotile-data/base").mkdir()
    result = call(*(str(place) if part == "FILE" else part for part in arguments))
    assert (result.code, "a folder of the store's own files" in result.error) == (BAD_CALL, True)
    assert list(place.parent.iterdir()) == []
