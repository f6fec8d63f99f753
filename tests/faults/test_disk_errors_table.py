"""What Aerotile writes, and which test makes its disk fail. A module that begins to write has to be added."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

import aerotile

pytestmark = pytest.mark.faults

TILES = "test_disk_errors_of_tiles.py"
INDEX = "test_disk_errors_of_index.py"
RECORD = "test_disk_errors_of_record.py"
SMALL = "test_disk_errors_of_small_files.py"


@attrs.frozen
class Written:
    """Something that is written, by which module, and the test and operation that spoil every call of it."""

    what: str
    module: str
    test: str
    operations: tuple[str, ...]


TABLE = [
    Written(
        "tile and sidecar: temporary, write, sync, rename", "ext/tile_write.pyx", TILES, ("write", "batch")
    ),
    Written("batch: one sync for all, withdrawal", "adapters/filesystem/placement.py", TILES, ("batch",)),
    Written("folders of tiles, and their sync", "adapters/filesystem/folders.py", TILES, ("write", "open")),
    Written(
        "removed tile, restored sidecar", "adapters/filesystem/tile_files.py", TILES, ("delete", "sidecar")
    ),
    Written("quarantine", "adapters/filesystem/quarantine.py", TILES, ("quarantine",)),
    Written("whose the tiles are: .aerotile-store", "adapters/filesystem/identity_file.py", TILES, ("open",)),
    Written(
        "index: tiles.index, .sha256, tiles.meta.json, tiles.rows",
        "adapters/faiss/build.py",
        INDEX,
        ("build",),
    ),
    Written("index: tiles.descriptors", "adapters/faiss/place_order.py", INDEX, ("build",)),
    Written("index: tiles.contents", "adapters/faiss/described_contents.py", INDEX, ("build",)),
    Written(
        "index: pointer, lock, generations", "adapters/files/generations.py", INDEX, ("build", "rollback")
    ),
    Written("folders and their sync", "adapters/files/durable_folder.py", INDEX, ("build",)),
    Written(
        "small files: temporary, write, sync, rename, sync",
        "adapters/files/atomic_file.py",
        SMALL,
        ("mcap", "verify progress", "provider token", "database"),
    ),
    Written(
        "small files: locked names", "adapters/files/temporary_file.py", SMALL, ("mcap", "provider token")
    ),
    Written("flight record: segments, folder, lock", "adapters/recorder/segments.py", RECORD, ("record",)),
    Written("flight record: lines, syncs", "adapters/recorder/journal.py", RECORD, ("record",)),
    Written("MCAP export", "adapters/recorder/mcap_export.py", SMALL, ("mcap",)),
    Written("verify-progress.json", "adapters/cli/progress_file.py", SMALL, ("verify progress", "resume")),
    Written("provider: token", "adapters/cli/commands/provider.py", SMALL, ("provider token",)),
    Written(
        "provider: tiles, lock",
        "adapters/provider/tile_folder.py",
        SMALL,
        ("provider tiles", "provider open"),
    ),
    Written(
        "provider: votes", "adapters/provider/votes.py", SMALL, ("provider votes", "provider votes open")
    ),
    Written(
        "embedded database: locks, password", "adapters/embedded_postgres/folder.py", SMALL, ("database",)
    ),
    Written("embedded database: log", "adapters/embedded_postgres/server_log.py", SMALL, ("database again",)),
    Written("embedded database: locks", "adapters/files/file_lock.py", SMALL, ("database", "database again")),
    Written("demonstration: its folder", "adapters/demo/demonstration.py", SMALL, ("demo",)),
]
ELSEWHERE = {
    "adapters/sealed_base/seal.py": "killed before each call: test_kills_of_base.py",
    "adapters/sealed_base/generations.py": "killed before each call: test_kills_of_base.py",
    "adapters/sealed_base/key_lists.py": "killed before each call: test_kills_of_base.py",
    "adapters/sealed_base/export.py": "through new_file, and checked when it is read again: test_cli_base.py",
    "adapters/sealed_base/one_file.py": "through atomic_file, new_file, and read back: test_base_one_file.py",
    "adapters/recall_lists/lists.py": "killed before each call: test_kills_of_recall.py",
    "adapters/signatures.py": "two small files of keys, through new_file",
    "adapters/signed_files.py": "lists that are made and signed, through new_file and atomic_file",
    "adapters/build_files/block_file.py": "through atomic_file, on a full disk too: test_kills_of_builds.py",
    "adapters/build_files/work_folder.py": "folders, and what killed writers left: test_block_file.py",
    "adapters/composition/build_graph.py": "a copy through new_file, hashed anew: test_kills_of_builds.py",
    "adapters/cli/listening.py": "the port file, through atomic_file",
    "adapters/cli/commands/export.py": "the dates of the tiles, through atomic_file",
    "adapters/exports/folder_writer.py": "whole or not there, on a full disk too: test_cli_export.py",
    "adapters/exports/described_tiles.py": "block by block, resumed behind the last: test_cli_describe.py",
    "adapters/descriptor_models/gradient_vlad.py": "one file, through atomic_file",
    "adapters/exports/partial_file.py": "whole or not there, on a full disk too: test_cli_export.py",
    "adapters/health/health_file.py": "no disk that fails costs more than a line of the log: test_health.py",
    "adapters/fetched_versions.py": "a hint, by SQLite; a lost one costs time: test_tile_versions.py",
    "adapters/checked_tiles.py": "what a check found, through atomic_file",
    "adapters/sealed_base/checked_base.py": "what a check found, through atomic_file",
    "adapters/recorder/foxglove_layout.py": "one file, through atomic_file",
    "adapters/recorder/writable.py": "one empty file, to learn whether the record can be written",
    "adapters/cli/coverage_map.py": "one picture, through atomic_file",
    "adapters/demo/picture.py": "one picture, through atomic_file",
    "adapters/demo/base.py": "the settings of the demo's folder, through atomic_file",
    "adapters/demo/materials.py": "a raster and three drawings, through atomic_file",
    "adapters/embedded_postgres/owned_files.py": "folders of initdb and the socket: embedded_server/",
    "adapters/embedded_postgres/socket_folder.py": "stale sockets: embedded_server/test_leftovers.py",
    "adapters/embedded_postgres/programs.py": "initdb's folder: embedded_server/test_failures.py",
    "adapters/embedded_postgres/launcher.py": "the lock that it inherits, and files of the kernel",
    "adapters/cli/output.py": "standard output; test_cli_process.py fills it up",
    "adapters/files/regular_file.py": "a file that root could not give away: test_security_users.py",
    "adapters/memory/tile_files.py": "a file in memory",
    "adapters/filesystem/replacement.py": "each call of it fails once: test_filesystem_replacement.py",
}
WRITING = {
    *(
        "rename",
        "replace",
        "unlink",
        "mkdir",
        "makedirs",
        "rmdir",
        "rmtree",
        "touch",
        "truncate",
        "ftruncate",
    ),
    *("write_text", "write_bytes", "fsync", "fdatasync", "symlink", "link", "pwrite"),
}


HELPERS = {
    *("atomic_file", "new_file", "temporary_file", "temporary_folder"),
    *("make_folder_durably", "make_folder_in", "publish_folder"),
}
"""Of adapters/files; a module that calls one of them writes."""


def writing_calls(source: str) -> Iterator[str]:
    """Names of calls that change files. `str.replace` and `datetime.replace` are told by their arguments."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in HELPERS:
            yield node.func.id
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        name = node.func.attr
        if name == "replace" and (node.keywords or len(node.args) != 1):
            continue
        if name in WRITING:
            yield name


def test_every_module_that_writes_files_is_in_the_table() -> None:
    package = Path(aerotile.__file__).parent
    listed = {written.module for written in TABLE} | ELSEWHERE.keys()
    found = {
        str(path.relative_to(package))
        for part in ("adapters", "domain", "ext", "migrations")
        for path in (package / part).rglob("*.py")
        if any(writing_calls(path.read_text(encoding="utf-8")))
    }
    assert found <= listed


@pytest.mark.parametrize("written", TABLE, ids=lambda written: written.what)
def test_every_row_of_the_table_names_operations_that_are_run(written: Written) -> None:
    test = Path(__file__).with_name(written.test).read_text(encoding="utf-8")
    for operation in written.operations:
        assert f'"{operation}"' in test
