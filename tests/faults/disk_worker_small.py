"""What Aerotile writes beside tiles, index and flight record, and the files that it only reads."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path
from uuid import UUID

from disk_worker import Operation

from aerotile.adapters.cli.commands.provider import write_token
from aerotile.adapters.cli.verify_progress import VerifyProgress
from aerotile.adapters.clocks import SystemClock
from aerotile.adapters.config.loader import read_config
from aerotile.adapters.config.settings import UploadConfig
from aerotile.adapters.config.upload_token import read_upload_token
from aerotile.adapters.demo.demonstration import prepare_folder
from aerotile.adapters.embedded_postgres.server import EmbeddedPostgres
from aerotile.adapters.input_files.sector_files import read_sectors
from aerotile.adapters.provider.admission import AdmittedTile
from aerotile.adapters.provider.tile_folder import TileFolder
from aerotile.adapters.provider.votes import Vote, VoteBook
from aerotile.adapters.recorder import JsonLinesRecorder, RecordReader, export_mcap
from aerotile.domain.errors import RuntimeNotAvailableError
from aerotile.domain.flight_events import EventKind, FlightEvent
from aerotile.domain.values.tiles import VotingStatus

OWNER = UUID(int=7)
SECTOR = {
    "type": "Feature",
    "properties": {"sector_id": "one", "classification": "stable_rear"},
    "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]},
}


class SmallOperation(Operation):
    """One in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)

    def undo(self) -> None:
        for entry in self.folder.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


class ExportRecord(SmallOperation):
    """A flight record is exported over an older export."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.record = folder.parent / "record"
        recorder = JsonLinesRecorder(self.record, clock=SystemClock())
        for number in range(200):
            recorder.record(FlightEvent(EventKind.WRITE, "committed", {"number": number}))
        recorder.close()
        self.target = folder / "flight.mcap"

    def prepare(self) -> None:
        self.target.write_bytes(b"older")

    def do(self) -> None:
        assert export_mcap(RecordReader(self.record).lines(), self.target) == 200

    def check(self) -> None:
        assert self.target.read_bytes().startswith(b"\x89MCAP")


class SaveProgress(SmallOperation):
    """`aerotile verify` notes how far it came."""

    def prepare(self) -> None:
        self.progress = VerifyProgress(self.folder, OWNER)
        self.progress.save()
        self.progress.check.position = 5

    def do(self) -> None:
        self.progress.save()

    def check(self) -> None:
        resumed = VerifyProgress(self.folder, OWNER)
        resumed.resume()
        assert resumed.check.position == 5


class ResumeProgress(SaveProgress):
    def prepare(self) -> None:
        super().prepare()
        self.progress.save()

    def do(self) -> None:
        self.progress.resume()


class WriteToken(SmallOperation):
    """The provider's token, in a folder that is made for it."""

    def do(self) -> None:
        write_token(self.folder / "provider" / "token")

    def check(self) -> None:
        assert len((self.folder / "provider" / "token").read_text()) > 40


class StoreAtProvider(SmallOperation):
    """The provider takes a batch."""

    batches = count(1)

    def prepare(self) -> None:
        self.tiles = TileFolder(self.folder)
        batch = next(self.batches)
        content = b"pixels" * 2000
        self.batch = [
            AdmittedTile(
                UUID(int=batch * 100 + number),
                hashlib.sha256(content).hexdigest(),
                {"content_sha256": hashlib.sha256(content).hexdigest(), "disk_bytes": len(content)},
                content,
            )
            for number in range(2)
        ]

    def do(self) -> None:
        self.tiles.store(self.batch)

    def check(self) -> None:
        self.tiles.close()
        anew = TileFolder(self.folder)
        try:
            assert anew.hashes().keys() == {tile.tile_uuid for tile in self.batch}
        finally:
            anew.close()


class OpenProvider(StoreAtProvider):
    """A provider's folder is opened, and what a crash left goes."""

    def prepare(self) -> None:
        super().prepare()
        self.tiles.store(self.batch)
        self.tiles.close()
        (self.folder / "tiles" / f"{UUID(int=1)}.jpg.tmp").write_bytes(b"half")

    def do(self) -> None:
        TileFolder(self.folder).close()


class Votes(SmallOperation):
    """The provider gives verdicts."""

    def prepare(self) -> None:
        self.book = VoteBook(self.folder)
        self.book.give([Vote(UUID(int=1), VotingStatus.TRUSTED)])

    def do(self) -> None:
        self.book.give([Vote(UUID(int=number), VotingStatus.TRUSTED) for number in (2, 3)])

    def check(self) -> None:
        given, _ = VoteBook(self.folder).page(0, 10)
        assert [vote.tile_uuid.int for vote in given] == [1, 2, 3]
        assert self.book.page(0, 10)[0] == given


class OpenVotes(Votes):
    def prepare(self) -> None:
        super().prepare()
        super().do()
        with (self.folder / "votes.jsonl").open("a") as file:
            file.write("torn")

    def do(self) -> None:
        VoteBook(self.folder)


class StartDatabase(SmallOperation):
    """The embedded server's own files: locks, password, log. The programs are missing, so nothing starts."""

    def prepare(self) -> None:
        self.place = self.folder / "deep" / "postgres"
        self.place.parent.mkdir()

    def do(self) -> None:
        try:
            EmbeddedPostgres(self.place, binaries=self.folder / "nowhere").start()
        except RuntimeNotAvailableError:
            return
        raise AssertionError("it started")

    def check(self) -> None:
        names = {entry.name for entry in self.place.iterdir()}
        assert names == {"password", "turn.lock", "claims.lock", "server.lock"}
        assert len((self.place / "password").read_text()) > 20


class StartDatabaseAgain(StartDatabase):
    """There is a password, and a log that has grown long."""

    def prepare(self) -> None:
        super().prepare()
        super().do()
        (self.place / "server.log").write_bytes(b"line\n" * 300_000)

    def check(self) -> None:
        assert (self.place / "server.log").stat().st_size == 0
        assert (self.place / "server.log.1").stat().st_size == 1 << 20


class PrepareDemo(SmallOperation):
    """The demonstration's folder is made, or emptied of the one before."""

    def prepare(self) -> None:
        self.place = self.folder / "demo"
        prepare_folder(self.place)
        (self.place / "base").mkdir()
        (self.place / "base" / "old").touch()

    def do(self) -> None:
        prepare_folder(self.place)

    def check(self) -> None:
        assert not (self.place / "base").exists()


class ReadFile(SmallOperation):
    """A file that a person wrote."""

    def __init__(self, folder: Path, content: str, read: Callable[[Path], object]) -> None:
        super().__init__(folder)
        self.content = content
        self.read = read
        self.path = folder / "given"

    def prepare(self) -> None:
        self.path.write_text(self.content)

    def do(self) -> None:
        assert self.read(self.path)


class ReadRecord(ExportRecord):
    def do(self) -> None:
        assert sum(1 for _ in RecordReader(self.record).lines()) == 200

    def check(self) -> None:
        """Nothing was written."""


def operations(folder: Path) -> dict[str, Operation]:
    sectors = json.dumps({"type": "FeatureCollection", "features": [SECTOR]})
    below = folder / "small"
    return {
        "mcap": ExportRecord(below / "mcap" / "out"),
        "record": ReadRecord(below / "read" / "out"),
        "verify progress": SaveProgress(below / "progress"),
        "resume": ResumeProgress(below / "resume"),
        "provider token": WriteToken(below / "token"),
        "provider tiles": StoreAtProvider(below / "provider"),
        "provider open": OpenProvider(below / "opened"),
        "provider votes": Votes(below / "votes"),
        "provider votes open": OpenVotes(below / "read votes"),
        "database": StartDatabase(below / "database"),
        "database again": StartDatabaseAgain(below / "again"),
        "demo": PrepareDemo(below / "demo"),
        "configuration": ReadFile(
            below / "configuration",
            "[budget]\nmax_bytes = 5\n",
            lambda path: read_config(file=path, environment={}),
        ),
        "token": ReadFile(
            below / "bearer", "a-token\n", lambda path: read_upload_token(UploadConfig(token_file=path))
        ),
        "sectors": ReadFile(below / "sectors", sectors, lambda path: read_sectors(path).sectors),
    }
