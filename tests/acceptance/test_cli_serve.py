"""`aerotile serve`, started and stopped as a person does it, over a store, a base, and both."""

from __future__ import annotations

import json
import shlex
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from cli_calls import BAD_CALL, JOB_FAILED, Call
from disk_faults import files_below
from waiting import until

from aerotile.adapters.composition.serving_parts import ServingRuntime
from aerotile.adapters.config.loader import load_config

Spawn = Callable[..., subprocess.Popen[str]]
GONE = "postgresql://nobody@127.0.0.1:1/none"
UNSIGNED = {"AEROTILE_BASE_REQUIRE_SIGNATURE": "false"}
LAYERED = {**UNSIGNED, "AEROTILE_BASE_LAYERED": "true"}


@pytest.fixture
def tiles(call: Call, xyz_folder: Callable[..., Path], days_ago: Callable[[int], str]) -> Path:
    """A folder of tiles that the store holds."""
    folder = xyz_folder(count=3)
    assert call("ingest", folder, "--captured-at", days_ago(1)).code == 0
    return folder


@pytest.fixture
def base(call: Call, tiles: Path) -> Path:
    """The same, sealed and in use."""
    assert call("base", "seal").code == 0
    assert call("base", "switch", **UNSIGNED).code == 0
    return tiles


def address_in(path: Path, process: subprocess.Popen[str]) -> str:
    """The address that a server answers at, once it wrote its port."""
    until(lambda: path.exists() or process.poll() is not None)
    assert path.exists(), process.communicate()
    return f"http://127.0.0.1:{path.read_text().strip()}"


def client_of(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, trust_env=False, timeout=60)


def test_a_store_is_shown_as_it_is_now_and_left_as_it_is(
    call: Call,
    spawn: Spawn,
    tiles: Path,
    tmp_path: Path,
    migrated_database: str,
    days_ago: Callable[[int], str],
) -> None:
    files, rows = files_below(tmp_path / "aerotile-data"), call("dump").out
    options = ("--port", "0", "--port-file", "port", "--json", "--attribution", "NASA")
    process = spawn("serve", *options, AEROTILE_DATABASE_DSN=migrated_database)
    url = address_in(tmp_path / "port", process)
    with client_of(url) as client:
        (layer,) = client.get("/catalog").json()["layers"]
        assert (layer["name"], layer["tiles"], layer["generation"]) == ("store", 3, None)
        assert client.get("/tiles/7/60/1.jpg").content == (tiles / "7" / "60" / "1.jpg").read_bytes()
        assert client.get("/tiles.json").json()["attribution"] == "NASA"
        assert client.get("/health").json() == {"status": "ok", "degraded": []}
        assert client.get("/base.pmtiles").status_code == 404
        (facts,) = client.get("/tiles/7/60/1").json()["tiles"]
        assert files_below(tmp_path / "aerotile-data") == files
        assert call("dump").out == rows
        program, *arguments = shlex.split(facts["command"])
        assert program == "aerotile"
        explained = call(*arguments, "--json").json
        assert explained["tile"] == "7/60/1"
        assert (explained["decision"], explained["sector"]) == ("accept", facts["verdict"]["sector"])
        assert client.get("/tiles/7/60/7.jpg").status_code == 204
        (tiles / "7" / "60" / "2.jpg").rename(tiles / "7" / "60" / "7.jpg")
        assert call("delete", "imported/7/60/2").code == 0
        assert call("ingest", tiles, "--captured-at", days_ago(1)).code == 0
        until(lambda: client.get("/tiles/7/60/7.jpg").status_code == 200)
        assert client.get("/tiles/7/60/2.jpg").status_code == 204
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert json.loads(out) == {"url": url, "layers": ["store"]}


def test_a_base_is_shown_without_a_database(call: Call, spawn: Spawn, base: Path, tmp_path: Path) -> None:
    options = ("--base", "--port", "0", "--port-file", "port", "--host", "0.0.0.0", "--name", "ground.local")
    process = spawn("serve", *options, AEROTILE_DATABASE_DSN=GONE, **UNSIGNED)
    with client_of(address_in(tmp_path / "port", process)) as client:
        (layer,) = client.get("/catalog").json()["layers"]
        assert (layer["name"], layer["tiles"], layer["is_trusted"]) == ("base", 3, False)
        assert client.get("/tiles/7/60/1.jpg").content == (base / "7" / "60" / "1.jpg").read_bytes()
        (facts,) = client.get("/tiles/7/60/1").json()["tiles"]
        _, *arguments = shlex.split(facts["command"])
        explained = call(*arguments, "--json", AEROTILE_DATABASE_DSN=GONE, **UNSIGNED).json
        assert explained["decision"] == facts["verdict"]["decision"] == "accept"
        assert client.get("/catalog", headers={"Host": "ground.local:80"}).status_code == 200
        assert client.get("/catalog", headers={"Host": "other.local"}).status_code == 421
    process.terminate()
    out, err = process.communicate(timeout=60)
    assert "shows the map; Ctrl-C ends it" in out
    assert "is reached from other machines" in err
    assert "Traceback" not in err


@contextmanager
def page_here() -> Iterator[httpx.Client]:
    """The page of the configuration, in this process."""
    from aerotile.adapters.map_page.application import MapPage
    from aerotile.adapters.map_page.guard import KnownHosts
    from aerotile.adapters.web_server import WebServer

    with (
        ServingRuntime(load_config(), base_alone=False) as runtime,
        closing(MapPage(runtime.map_supply)) as page,
    ):
        server = WebServer(page.application(KnownHosts()), host="127.0.0.1", port=0)
        server.start()
        with closing(server), client_of(server.url) as client:
            yield client


def test_a_base_in_front_of_a_store_goes_on_without_its_database(
    call: Call, base: Path, monkeypatch: pytest.MonkeyPatch, migrated_database: str, postgres_server: object
) -> None:
    owed = ("--licence", "CC-BY-4.0", "--attribution", "Survey Office", "--may-be-stored-offline", "yes")
    assert (
        call("datasets", "define", "ortho", *owed, "--source", base, "--captured-at", "2026-05-01").code == 0
    )
    assert call("ingest", base, "--dataset", "ortho", "--source", "satellite_provider").code == 0
    for name, value in {**LAYERED, "AEROTILE_DATABASE_CONNECT_TIMEOUT_S": "1"}.items():
        monkeypatch.setenv(name, value)
    with page_here() as client:
        layers = client.get("/catalog").json()["layers"]
        assert [(layer["name"], layer["tiles"]) for layer in layers] == [("base", 3), ("store", 6)]
        assert client.get("/coverage").json()["zooms"] == [{"zoom": 7, "tiles": 3}]
        facts = client.get("/tiles/7/60/1").json()["tiles"]
        assert [tile["tile"].partition("/")[0] for tile in facts] == ["imported", "satellite_provider"]
        assert [tile["dataset"] for tile in facts] == [None, "ortho"]
        assert "--base" not in facts[0]["command"]
        assert client.get("/catalog").json()["attributions"] == ["Survey Office"]
        postgres_server.drop_database(migrated_database.rpartition("dbname=")[2].split()[0])
        states = [each["state"] for each in client.get("/health").json()["degraded"]]
        assert states == ["database_gone", "base_unsigned"]
        assert 'aerotile_degraded{state="database_gone"} 1.0' in client.get("/metrics").text
        assert client.get("/tiles/7/60/1.jpg").content == (base / "7" / "60" / "1.jpg").read_bytes()
        away = client.get("/tiles/7/60/2").json()
        assert (len(away["tiles"]), away["datasets_known"]) == (2, False)
        assert client.get("/catalog").json()["attributions"] == ["Survey Office"]


def without_clock(told: Any) -> Any:
    """The answer without the moment at which it was given."""
    clock = next(condition for condition in told["conditions"] if condition["name"] == "clock")
    assert datetime.fromisoformat(clock.pop("detail"))
    return told


def judged_by_command(call: Call, **environment: str) -> Any:
    """The answer of `aerotile ready`, without the names of faulty tiles, which the page draws."""
    told = call(*READY, "--json", **environment).json
    for leg in told["legs"]:
        for zoom in leg["zooms"]:
            for fault in zoom["faults"]:
                assert fault.pop("places")
    return without_clock(told)


def judged_by_page(client: httpx.Client) -> Any:
    """The answer of the page, without what it draws."""
    answer = client.post("/ready", params=ASKED, content=Path("way.json").read_bytes())
    assert answer.status_code == 200, answer.text
    told = answer.json()
    drawn = [told.pop("kinds"), told.pop("cells"), *(leg.pop("lines") for leg in told["legs"])]
    assert all(drawn)
    return without_clock(told)


READY = ("ready", "--route", "way.json", "--corridor", "1km", "--zoom", "6-7", "--speed", "9m/s")
READY = (*READY, "--at", "2100-01-01")
ASKED = {"name": "way.json", "corridor": "1km", "zooms": "6-7", "speed": "9m/s", "at": "2100-01-01"}


@pytest.mark.parametrize("environment", [{}, LAYERED], ids=["store", "base in front of it"])
def test_a_route_is_judged_on_the_page_as_by_aerotile_ready(
    call: Call,
    base: Path,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (west, north), (east, south) = ((-11.0, 84.7), (-9.0, 84.0))
    way = {"type": "LineString", "coordinates": [[west, north], [east, north], [east, south]]}
    Path("way.json").write_text(json.dumps(way))
    with page_here() as client:
        first = judged_by_command(call)
        files, rows = files_below(tmp_path / "aerotile-data"), call("dump").out
        assert judged_by_page(client) == first
        assert files_below(tmp_path / "aerotile-data") == files
        assert call("dump").out == rows
        assert {no["what"] for no in first["noes"]} == {"missing", "undescribed", "stale", "not checked"}
        # What changes while the page is open counts: sectors, tiles, checks, the index.
        assert call("verify").code == 0
        assert call("base", "verify", **UNSIGNED).code == 0
        assert call("delete", "imported/7/60/2").code == (1 if environment else 0)
        np.savez("d.npz", tiles=["imported/7/60/1"], descriptors=np.ones((1, 16), np.float32))
        assert call("index", "build", "d.npz", "--model", "net").code == 0
        second = judged_by_command(call)
        assert judged_by_page(client) == second
        assert "not checked" not in {no["what"] for no in second["noes"]}
        assert second["noes"] != first["noes"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--host", "256.0.0.1"), BAD_CALL, "cannot listen on 256.0.0.1: "),  # why depends on the network
        (("--name", "http://ground/"), BAD_CALL, "--name 'http://ground/' is no name of a host"),
        (("--name", "ground:80"), BAD_CALL, "--name 'ground:80' is no name of a host"),
        (("--port", "70000"), BAD_CALL, "70000 is not in the range"),
        (("--port-file", "nowhere/port"), BAD_CALL, "no folder nowhere"),
        (("--base",), JOB_FAILED, "no base is in use"),
    ],
)
def test_a_wrong_call_is_one_line_that_names_what_is_wrong(
    call: Call, arguments: tuple[str, ...], code: int, message: str
) -> None:
    port = () if "--port" in arguments else ("--port", "0")
    result = call("serve", *port, *arguments)
    assert (result.code, message in result.error, "[Errno" in result.error) == (code, True, False), result.err


def test_a_port_that_is_taken_is_named(call: Call) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = call("serve", "--port", port)
    assert (
        result.code,
        f"cannot listen on 127.0.0.1 port {port}: Address already in use" in result.error,
    ) == (
        BAD_CALL,
        True,
    )


def test_an_unsigned_base_is_not_shown_where_signatures_are_asked_for(call: Call, base: Path) -> None:
    result = call("serve", "--base", "--port", "0")
    assert (result.code, "000001" in result.error) == (JOB_FAILED, True)


def test_a_folder_that_is_no_store_is_named(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AEROTILE_DATABASE_DSN")
    assert "aerotile-data — correct --root, or create the store there" in call("serve").error
    assert "elsewhere — correct --root" in call("--root", "elsewhere", "serve").error


def test_without_its_extra_it_says_what_to_install(run_process: Call, tmp_path: Path) -> None:
    (tmp_path / "hidden").mkdir()
    hidden = "raise ModuleNotFoundError('hidden', name='prometheus_client')"
    (tmp_path / "hidden" / "prometheus_client.py").write_text(hidden)
    result = run_process("serve", PYTHONPATH=str(tmp_path / "hidden"))
    assert (result.code, result.err) == (
        JOB_FAILED,
        "error: the map page needs prometheus_client, which is not installed — "
        'install it: pip install "aerotile[serve]"\n',
    )
