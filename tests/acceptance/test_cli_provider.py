"""`aerotile provider`, started and stopped as a person does it."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from cli_calls import Call
from waiting import until

Spawn = Callable[..., subprocess.Popen[str]]


def port_in(path: Path) -> int:
    """The port that a provider writes once it answers."""
    until(path.exists)
    return int(path.read_text())


def test_it_says_where_it_answers_and_stops_on_ctrl_c(spawn: Spawn, tmp_path: Path) -> None:
    process = spawn("provider", "--folder", "received", "--port", "0", "--port-file", "port", "--json")
    url = f"http://127.0.0.1:{port_in(tmp_path / 'port')}"
    assert httpx.get(f"{url}/v1/health", timeout=60).json()["status"] == "ok"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert json.loads(out) == {"url": url, "folder": "received", "token": "file received/token"}


def test_it_makes_a_token_once_that_only_its_user_can_read(spawn: Spawn, tmp_path: Path) -> None:
    tokens = []
    for name in ("first", "second"):
        process = spawn("provider", "--folder", "received", "--port", "0", "--port-file", name)
        url = f"http://127.0.0.1:{port_in(tmp_path / name)}/v1/votes"
        token_file = tmp_path / "received" / "token"
        tokens.append(token_file.read_text().strip())
        assert stat.S_IMODE(token_file.stat().st_mode) == 0o600
        headers = {"Authorization": f"Bearer {tokens[-1]}", "Aerotile-Protocol": "1"}
        assert httpx.get(url, headers=headers, timeout=60).status_code == 200
        process.terminate()
        out, err = process.communicate(timeout=60)
        assert tokens[-1] not in out + err
    assert len(tokens[0]) >= 32
    assert tokens[0] == tokens[1]


def test_it_behaves_as_badly_as_its_options_say(spawn: Spawn, tmp_path: Path) -> None:
    (tmp_path / "behaviour.json").write_text('{"max_tiles": 9}')
    spawn(
        *("provider", "--folder", "received", "--port", "0", "--port-file", "port"),
        *("--behaviour", "behaviour.json", "--fault", "status,on=votes,status=429,retry_after_s=5"),
        REFERENCE_PROVIDER_TOKEN="a-token",
    )
    url = f"http://127.0.0.1:{port_in(tmp_path / 'port')}/v1"
    headers = {"Authorization": "Bearer a-token", "Aerotile-Protocol": "1"}
    answer = httpx.get(f"{url}/votes", headers=headers, timeout=60)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "5")
    assert httpx.get(f"{url}/health", timeout=60).json()["max_tiles"] == 9
    assert not (tmp_path / "received" / "token").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--fault", "explode"), "fault 'explode': kind: 'explode' is not valid"),
        (("--behaviour", "empty.json"), "empty.json: "),
        (("--host", "256.0.0.1"), "cannot listen on 256.0.0.1"),
        (("--certificate", "empty.json"), "cannot use the certificate empty.json"),
        (("--token-file", "empty.json"), "empty.json holds no token"),
        (("--reject", "one"), "'one' is not a valid UUID"),
        (("--port", "70000"), "70000 is not in the range"),
    ],
)
def test_a_wrong_call_is_one_line_that_names_what_is_wrong(
    call: Call, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "empty.json").touch()
    port = () if "--port" in arguments else ("--port", "0")
    result = call("provider", "--folder", "received", *port, *arguments)
    assert result.code == 2
    assert message in result.error


def test_a_folder_in_use_is_one_line(spawn: Spawn, call: Call, tmp_path: Path) -> None:
    spawn("provider", "--folder", tmp_path / "received", "--port", "0", "--port-file", tmp_path / "port")
    port_in(tmp_path / "port")
    result = call("provider", "--folder", "received", "--port", "0")
    assert result.code == 1
    assert (
        result.error == "received is in use by another provider — stop that provider, or name another folder"
    )


def test_without_its_extra_it_says_what_to_install(run_process: Call, tmp_path: Path) -> None:
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "starlette.py").write_text("raise ModuleNotFoundError('hidden', name='starlette')")
    result = run_process("provider", "--folder", "received", PYTHONPATH=str(tmp_path / "hidden"))
    assert result.code == 1
    assert result.err == (
        "error: the reference provider needs starlette, which is not installed — "
        'install it: pip install "aerotile[provider]"\n'
    )
    assert not (tmp_path / "received").exists()
