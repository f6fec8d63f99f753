"""`aerotile provision` from servers that behave well and badly, as a person calls it."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import mercantile
import pytest
from archives import picture, write_mbtiles
from cli_calls import BAD_CALL, JOB_FAILED, Call
from tile_server import PORTAL, Behaviour, TileServer
from waiting import until
from wmts import capabilities, layer

DATE = ("--captured-at", "2026-05-01")
AREA = ("--area", "11.31,48.01,11.59,48.19", "--zoom", "12")
FAST = ("--rate", "1000")
TOKEN = "t0ps3cr3t-value"


def body_of(path: str) -> bytes:
    """A picture of its own for each path."""
    return picture(sum(map(ord, path)))


@pytest.fixture
def server() -> Iterator[TileServer]:
    with TileServer(Behaviour(body=body_of)) as running:
        yield running


def stored(tmp_path: Path) -> dict[str, bytes]:
    root = tmp_path / "aerotile-data/tiles/imported"
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.jpg"))}


def test_tiles_go_in_verbatim_and_are_not_asked_for_again(
    call: Call, tmp_path: Path, server: TileServer
) -> None:
    address = server.address + "/{z}/{x}/{y}.jpg"
    estimate = call("provision", address, *AREA, "--rate", "2", "--estimate", "--json").json["estimate"]
    wanted = estimate[0]["found"]
    assert (estimate[0]["seconds"], server.requests.total()) == (wanted / 2, 0)
    first = call("provision", address, *AREA, *DATE, *FAST, "--json")
    assert first.code == 0, first.err
    assert (first.json["stored"], first.json["verbatim"]) == (wanted, wanted)
    assert first.json["sources"][0]["kind"] == "XYZ server"
    assert stored(tmp_path) == {path[1:]: body_of(path) for path in server.served}
    again = call("provision", address, *AREA, *DATE, *FAST, "--json").json
    assert (again["stored"], again["present"], again["not_compared"]) == (0, wanted, wanted)
    assert server.requests.total() == wanted
    assert all(headers["User-Agent"].startswith("aerotile/") for headers in server.headers)


def test_a_server_is_asked_for_no_place_off_the_ground_of_the_stac_item_that_dates_it(
    call: Call, tmp_path: Path, server: TileServer
) -> None:
    (tmp_path / "item.json").write_text(
        '{"type": "Feature", "stac_version": "1.0.0", "id": "S2", "bbox": [11.32, 48.02, 11.40, 48.08], '
        '"properties": {"datetime": "2026-05-01T00:00:00Z"}}'
    )
    address = server.address + "/{z}/{x}/{y}.jpg"
    told = call("provision", address, *AREA, "--stac", "item.json", *FAST, "--json")
    facts = told.json
    ground = {f"/12/{t.x}/{t.y}.jpg" for t in mercantile.tiles(11.32, 48.02, 11.40, 48.08, 12)}
    assert set(server.requests) == ground
    assert (told.code, facts["stored"]) == (JOB_FAILED, len(ground))
    assert facts["undated"] == facts["estimate"][0]["found"] - len(ground) > 0
    assert f"{facts['undated']} have no capture date, such as {address}: 12/" in told.err
    assert stored(tmp_path) == {path[1:]: body_of(path) for path in ground}


def test_a_layer_of_wmts_goes_in_by_its_capabilities(call: Call, tmp_path: Path, server: TileServer) -> None:
    tiles = server.address + "/ortho/{TileMatrix}/{TileRow}/{TileCol}"
    document = capabilities(layer("ortho", address=tiles), layer("map", address=tiles))
    server.behaviour = Behaviour(body=lambda path: document if path == "/wmts.xml" else picture(5, "PNG"))
    address = server.address + "/wmts.xml#ortho"
    result = call("provision", address, *AREA, *DATE, *FAST, "--json")
    assert result.code == 0, result.err
    (source,) = result.json["sources"]
    assert (source["kind"], source["attribution"], source["licence"]) == (
        "WMTS server",
        "Survey",
        "CC-BY-4.0",
    )
    assert (source["name"], source["zooms"]) == (address, list(range(19)))
    count = result.json["stored"]
    assert result.json["encoded"] == {"PNG": count}
    assert result.json["repeated"] == count
    assert all(path.startswith("/ortho/m12/") for path in server.requests if path != "/wmts.xml")
    for content in stored(tmp_path).values():
        assert b"encoded anew by Aerotile from a PNG" in content[:200]
    for arguments, words in [
        (("--area", "20,48,20.1,48.1", "--zoom", "12"), "no source has a tile of the area at zoom 12"),
        ((*AREA[:2], "--zoom", "12-20"), "no source has zoom 19-20"),
    ]:
        refused = call("provision", address, *arguments, *DATE)
        assert (refused.code, words in refused.error) == (BAD_CALL, True), refused.err


def test_tiles_that_capabilities_place_on_another_server_are_not_fetched(
    call: Call, server: TileServer
) -> None:
    with TileServer() as other:
        tiles = other.address + "/{TileMatrix}/{TileRow}/{TileCol}"
        server.behaviour = Behaviour(body=lambda path: capabilities(layer("ortho", address=tiles)))
        refused = call("provision", server.address + "/wmts.xml", *AREA, *DATE)
        assert refused.code == BAD_CALL
        assert f"its tiles lie on another server, {other.address}" in refused.error
        assert not other.requests


def test_garbage_is_refused_by_name_holes_are_counted_and_placeholders_reported(
    call: Call, tmp_path: Path, server: TileServer
) -> None:
    paths = [f"/{at.z}/{at.x}/{at.y}.jpg" for at in mercantile.tiles(11.31, 48.01, 11.59, 48.19, 12)]
    assert len(paths) >= 9
    garbage = {
        paths[0]: PORTAL,
        paths[1]: b'{"error": "no such layer"}',
        paths[2]: b"",
        paths[3]: picture(1)[:-40],
        paths[4]: picture(1, size=100),
    }
    placeholder = picture(250)
    server.behaviour = Behaviour(
        body=lambda path: garbage.get(path, placeholder), is_missing={paths[5], paths[6]}.__contains__
    )
    result = call("provision", server.address + "/{z}/{x}/{y}.jpg", *AREA, *DATE, *FAST)
    assert result.code == JOB_FAILED
    lines = [line for line in result.err.splitlines() if line.startswith("refused: ")]
    assert len(lines) == 5
    for words in ("HTML page", "JSON document", "empty", "cut short", "100 x 100 pixels"):
        assert sum(words in line for line in lines) == 1, (words, lines)
    assert "2 left out: no source shows ground there" in result.out
    count = len(paths) - 7
    assert f"{count} repeated: their bytes lie at several places, most often those of 12/" in result.out
    assert len(stored(tmp_path)) == count
    assert set(stored(tmp_path).values()) == {placeholder}
    assert not {path[1:] for path in (*garbage, paths[5], paths[6])} & set(stored(tmp_path))


def test_a_server_that_has_nothing_is_no_success(call: Call, server: TileServer) -> None:
    server.behaviour = Behaviour(is_missing=lambda path: True)
    result = call("provision", server.address + "/{z}/{x}/{y}.jpg", *AREA, *DATE, *FAST)
    assert result.code == JOB_FAILED, result
    assert "error: nothing came in: no source shows ground at any of" in result.err


@pytest.mark.parametrize("where", ["", "?key={token}"])
def test_a_token_that_expires_half_way_is_one_line_and_the_next_run_goes_on(
    call: Call, tmp_path: Path, server: TileServer, where: str
) -> None:
    (tmp_path / "key").write_text(TOKEN + "\n")
    server.behaviour = Behaviour(body=body_of, token=TOKEN, token_expires_after=6, token_in_query=bool(where))
    arguments = (server.address + "/{z}/{x}/{y}.jpg" + where, *AREA, *DATE, *FAST, "--token-file", "key")
    stopped = call("-vv", "provision", *arguments)
    assert stopped.code == JOB_FAILED
    error = stopped.err.splitlines()[-1]
    assert "refuses this client (status 401) — renew the token, then run the same command again" in error
    server.behaviour.token_expires_after = None
    finished = call("-vv", "provision", *arguments, "--json")
    assert finished.code == 0, finished.err
    assert finished.json["refused"] == 0
    assert len(stored(tmp_path)) == finished.json["stored"] + finished.json["present"]
    for text in (stopped.out, stopped.err, finished.out, finished.err):
        assert TOKEN not in text
    assert not any(TOKEN.encode() in path.read_bytes() for path in files_of(tmp_path / "aerotile-data"))


def test_what_was_refused_and_stored_is_told_when_the_token_expires(
    call: Call, tmp_path: Path, server: TileServer
) -> None:
    (tmp_path / "key").write_text(TOKEN + "\n")
    server.behaviour = Behaviour(
        body=lambda path: PORTAL if "/1420" in path else body_of(path), token=TOKEN, token_expires_after=7
    )
    token = ("--token-file", "key", "--connections", "1")
    stopped = call("provision", server.address + "/{z}/{x}/{y}.jpg", *AREA, *DATE, *FAST, *token)
    assert stopped.code == JOB_FAILED
    refused = [line for line in stopped.err.splitlines() if line.startswith("refused: ")]
    assert refused
    assert all("its answer is an HTML page" in line for line in refused)
    assert f"{7 - len(refused)} stored" in stopped.out
    assert f"{len(refused)} refused" in stopped.out
    assert len(stored(tmp_path)) == 7 - len(refused)
    again = call("provision", server.address + "/{z}/{x}/{y}.jpg", *AREA, *DATE, *FAST, *token, "--json")
    assert "status 401" in again.json["stopped_by"]
    assert again.json["present"] == 7 - len(refused)


def test_a_refresh_is_sent_what_has_changed_alone(call: Call, tmp_path: Path, server: TileServer) -> None:
    changed: set[str] = set()
    server.behaviour = Behaviour(
        body=lambda path: body_of(path + "new" * (path in changed)), etag=lambda path: f'"{path in changed}"'
    )
    address = server.address + "/{z}/{x}/{y}.jpg"
    wanted = call("provision", address, *AREA, *DATE, *FAST, "--json").json["stored"]
    changed.add(next(iter(server.served)))
    newer = ("--captured-at", "2026-05-02")
    result = call("provision", address, *AREA, *newer, *FAST, "--refresh", "--json")
    assert result.code == 0, result.err
    assert (result.json["replaced"], result.json["unchanged"]) == (1, wanted - 1)
    assert result.json["present"] == wanted - 1
    assert server.served.total() == wanted + 1
    assert server.requests.total() == 2 * wanted
    (path,) = changed
    assert stored(tmp_path)[path[1:]] == body_of(path + "new")
    told = call("provision", address, *AREA, *newer, *FAST, "--refresh").out
    assert f"{wanted} already present ({wanted} of them unchanged on their server)" in told
    for other in ("--replace", "--missing-only"):
        assert "contradict each other" in call("provision", address, *AREA, *newer, "--refresh", other).error


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_server_and_an_archive_are_one_mosaic(call: Call, tmp_path: Path, server: TileServer) -> None:
    own = picture(9)
    write_mbtiles(tmp_path / "o.mbtiles", {(12, 2177, 1420): own})
    result = call(
        "provision", "o.mbtiles", server.address + "/{z}/{x}/{y}.jpg", *AREA, *DATE, *FAST, "--json"
    )
    assert result.code == 0, result.err
    assert stored(tmp_path)["12/2177/1420.jpg"] == own
    assert server.requests.total() == len(stored(tmp_path)) - 1


def test_calls_that_no_server_is_asked_for(call: Call, tmp_path: Path, server: TileServer) -> None:
    write_mbtiles(tmp_path / "o.mbtiles", {(12, 2177, 1420): picture()})
    (tmp_path / "key").write_text("two words\n")
    address = server.address + "/{z}/{x}/{y}.jpg"
    elsewhere = "https://localhost:1/{z}/{x}/{y}.jpg"
    for arguments, words in [
        ((address, *AREA[:2]), "does not say which zooms its imagery was made for — give --zoom"),
        ((address, "--zoom", "12"), "would be asked for 16777216 places at zoom 12; 10000000 are the most"),
        ((address, *AREA[:2], "--zoom", "16-17", "--area", "0,0,9,9"), "are the most — name a smaller"),
        ((address, *AREA, "--scheme", "tms"), "is an address — write {-y} in it"),
        ((address + "?key=hunter2", *AREA, "--scheme", "tms"), "is an address — write {-y} in it"),
        ((address, *AREA, "--token-file", "key"), "--token-file key holds no bearer token"),
        ((address, elsewhere, *AREA, "--token-file", "key"), "the sources lie on two servers"),
        (("o.mbtiles", "--token-file", "key"), "--token-file is for servers, and no source is an address"),
        ((address + "?api_key=hunter2", *AREA), "shows a secret in api_key="),
        (("ftp://host/{z}/{x}/{y}.jpg", *AREA), "is no address of http or https"),
        (("http://host/{z}/{x}/{y}.jpg?k={token}", *AREA), "has {token}, and no token is given"),
        ((address, *AREA, "--rate", "0"), "a rate is a number of requests a second above 0"),
        ((address, *AREA, "--connections", "0"), "0 is not in the range"),
    ]:
        result = call("provision", *arguments, *DATE)
        assert (result.code, words in result.error) == (BAD_CALL, True), (words, result.err)
        assert "hunter2" not in result.err
    assert not server.requests


def test_answers_that_are_no_capabilities(call: Call, server: TileServer) -> None:
    for behaviour, words in [
        (Behaviour(body=lambda path: PORTAL), "is no address of tiles, and no WMTS capabilities: it"),
        (Behaviour(body=lambda path: picture()), "its answer, no WMTS capabilities"),
        (Behaviour(is_missing=lambda path: True), "answers with status 404"),
        (Behaviour(token="other"), "refuses this client (status 401) — name a --token-file"),
        (Behaviour(redirect_to=lambda path: "http://localhost:1/"), "a redirect to another server"),
    ]:
        server.behaviour = behaviour
        result = call("provision", server.address + "/wmts", *AREA, *DATE)
        assert (result.code, words in result.error) == (BAD_CALL, True), (words, result.err)


def test_a_licence_that_forbids_storing_asks_no_server(call: Call, server: TileServer) -> None:
    words = ("--licence", "private", "--attribution", "nobody", "--may-be-stored-offline", "no")
    source = ("--source", "https://host/", "--captured-at", "2026-04-01", "--sha256", "ab" * 32)
    defined = call("datasets", "define", "online-only", *words, *source)
    assert defined.code == 0, defined.err
    result = call("provision", server.address + "/{z}/{x}/{y}.jpg", *AREA, "--dataset", "online-only")
    assert (result.code, "online-only" in result.error) == (BAD_CALL, True), result.err
    assert not server.requests


@pytest.mark.slow(reason="a process with a database of its own")
def test_ctrl_c_ends_a_wait_for_the_server(
    spawn: Callable[..., subprocess.Popen[str]], server: TileServer
) -> None:
    server.behaviour = Behaviour(fail_every=1, status=503, retry_after_s=250)
    process = spawn("provision", server.address + "/{z}/{x}/{y}.jpg", *AREA, *DATE)
    until(lambda: process.poll() is not None or server.requests.total() > 0)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err.splitlines()[-1]) == (130, "interrupted")


def test_a_token_that_the_server_repeats_is_shown_nowhere(
    call: Call, tmp_path: Path, server: TileServer
) -> None:
    (tmp_path / "key").write_text(TOKEN + "\n")
    server.behaviour = Behaviour(body=lambda path: f"<{TOKEN}/>".encode())
    result = call("--debug", "provision", server.address + "/wmts", *AREA, *DATE, "--token-file", "key")
    assert result.code == BAD_CALL
    assert "answers with <***>" in result.err
    assert TOKEN not in result.err + result.out
