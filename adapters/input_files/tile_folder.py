"""`TileFolder`: tiles in a folder under three numbers, the layout that map tools and static servers share."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import attrs

from ...domain.values.tile_grid import MAX_ZOOM, GridRange
from ...domain.values.validators import SHA256_PATTERN
from .errors import InputFileError
from .folder_notes import NOTE_FILES
from .tile_scheme import FolderNote, TileScheme

_NUMBER = re.compile(r"0|[1-9][0-9]{0,6}")
_FILE_NAME = re.compile(r"(.*)\.([^.]+)", re.DOTALL)
_TWICE_AS_LARGE = "@2x"
JPEG_KINDS = ("jpg", "jpeg")
PICTURE_KINDS = (*JPEG_KINDS, "png", "webp")
_OTHER_KINDS = {
    "png": "PNG",
    "webp": "WebP",
    "gif": "GIF",
    "avif": "AVIF",
    "heic": "HEIF",
    "heif": "HEIF",
    "tif": "TIFF",
    "tiff": "TIFF",
    "bmp": "BMP",
    "jp2": "JPEG 2000",
    "jxl": "JPEG XL",
    "pbf": "vector tile",
    "mvt": "vector tile",
}
_MISNAMED = "JPEG without a tile's number"
_ASTRAY = "in folders that are no zoom or column"
_DIGITS = re.compile(r"[0-9]+")
_SIDECAR_SUFFIX = ".sha256"
_SIDECAR_LINE = re.compile(rf"({SHA256_PATTERN}) [ *](.+)\n?")
_SIDECAR_LIMIT = 1024


class ChangedFileError(ValueError):
    """A file is no more as it was when its folder was listed."""


@attrs.frozen
class TileFile:
    """An `OfferedTile`: one file, at the zoom, column and row that its path names."""

    name: str
    """The path."""
    zoom_level: int
    x: int
    y: int
    """From the north, whatever the scheme of the folder."""
    size: int
    has_sidecar: bool
    """Whether `y.jpg.sha256` lies beside the file."""
    changed_ns: int | None = None
    """When it was changed last; None: not known, and not compared."""

    def read_pixels(self, most_bytes: int) -> bytes:
        """See `OfferedTile`. Raises `ChangedFileError` where the file changed since its folder was listed."""
        with Path(self.name).open("rb") as file:
            pixels = file.read(most_bytes)
            found = os.fstat(file.fileno())
        if self.changed_ns not in (None, found.st_mtime_ns):
            raise ChangedFileError("has changed since the folder was listed: something writes there")
        return pixels

    def claimed_sha256(self) -> str | None:
        """See `OfferedTile`; None without a sidecar, `ValueError` unless it is one line of `sha256sum`."""
        if not self.has_sidecar:
            return None
        sidecar = self.name + _SIDECAR_SUFFIX
        with Path(sidecar).open("rb") as stream:
            content = stream.read(_SIDECAR_LIMIT)
        match = _SIDECAR_LINE.fullmatch(content.decode("utf-8", "replace"))
        if match is None:
            raise ValueError(f"{sidecar} is not one line as sha256sum writes it")
        return match[1]


@attrs.frozen
class FolderProblem:
    """A file or folder in a tile's place that offers no tile."""

    file: str
    """The path."""
    tile: str
    """`zoom/x/y`, as far as the path names them."""
    message: str
    remedy: str


@attrs.define
class TileFolder:
    """The tiles of a folder, and everything else that lies there."""

    tiles: list[TileFile] = attrs.field(factory=list)
    """Sorted by zoom, column and row."""
    problems: list[FolderProblem] = attrs.field(factory=list)
    left_out: Counter[str] = attrs.field(factory=Counter)
    """How many pictures of each other kind lie in the columns, and how many under a number in other folders.

    They are tiles that don't go in.
    """
    ignored: int = 0
    """Files that are neither a picture in a tile's place nor a tile's sidecar."""


def scan_tile_folder(
    folder: Path, zooms: Collection[int], scheme: TileScheme, *, kinds: Collection[str] = JPEG_KINDS
) -> TileFolder:
    """List the tiles of a folder, of the given zooms or of all. Raises `OSError` for the folder itself.

    `kinds` are the endings of files that are tiles. With `PICTURE_KINDS` a name like `y@2x.png` is one too.
    """
    found = TileFolder()
    with os.scandir(folder) as entries:
        others = (entry for entry in entries if entry.name not in NOTE_FILES)
        top = sorted(others, key=lambda entry: entry.name)
    for zoom_level, zoom_folder in _numbered_folders(top, "", found):
        if zooms and zoom_level not in zooms:
            continue
        entries_of_zoom = _entries(zoom_folder, f"{zoom_level}", found)
        for second, column in _numbered_folders(entries_of_zoom, f"{zoom_level}/", found):
            _scan_column(column, zoom_level, second, scheme, kinds, found)
    found.tiles.sort(key=lambda tile: (tile.zoom_level, tile.x, tile.y))
    return found


def _entries(folder: str, tile: str, found: TileFolder) -> list[os.DirEntry[str]]:
    """What lies in a folder, sorted; nothing, and a problem, where the folder can't be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        message = f"the folder can't be read: {error.strerror}"
        found.problems.append(FolderProblem(folder, tile, message, "let this user read the folder"))
        return []


def _numbered_folders(
    entries: Sequence[os.DirEntry[str]], above: str, found: TileFolder
) -> Iterator[tuple[int, str]]:
    folders = []
    for entry in entries:
        mode = _mode(entry)
        if isinstance(mode, int) and stat.S_ISDIR(mode):
            if _NUMBER.fullmatch(entry.name):
                folders.append((int(entry.name), entry.path))
            else:
                _count_astray(entry.path, found)
        elif isinstance(mode, int) or not _NUMBER.fullmatch(entry.name):
            found.ignored += 1
        else:
            found.problems.append(
                FolderProblem(entry.path, above + entry.name, mode, "mend or remove the link")
            )
    yield from sorted(folders)


def _count_astray(folder: str, found: TileFolder) -> None:
    """Count the pictures of a folder that are named as tiles are: they may be a part of the map."""
    for _, _, names in os.walk(folder):
        for name in names:
            match = _FILE_NAME.fullmatch(name)
            kind = match[2].lower() if match else ""
            if match and _DIGITS.fullmatch(match[1]) and (kind in JPEG_KINDS or kind in _OTHER_KINDS):
                found.left_out[f"{_OTHER_KINDS.get(kind, 'JPEG')} {_ASTRAY}"] += 1


def _mode(entry: os.DirEntry[str]) -> int | str:
    """The mode of what an entry leads to, or why that can't be told."""
    try:
        return entry.stat().st_mode
    except FileNotFoundError:
        link = Path(entry.path)
        return f"is a broken link to {link.readlink()}" if link.is_symlink() else "has vanished"
    except OSError as error:
        return f"can't be read: {error.strerror}"


def _scan_column(
    column: str,
    zoom_level: int,
    second: int,
    scheme: TileScheme,
    kinds: Collection[str],
    found: TileFolder,
) -> None:
    pictures: dict[int, list[os.DirEntry[str]]] = defaultdict(list)
    others = []
    entries = _entries(column, f"{zoom_level}/{second}", found)
    for entry in entries:
        match = _FILE_NAME.fullmatch(entry.name)
        stem, kind = (match[1], match[2].lower()) if match else (entry.name, "")
        if kinds is not JPEG_KINDS:
            stem = stem.removesuffix(_TWICE_AS_LARGE)
        if kind in kinds and _NUMBER.fullmatch(stem):
            pictures[int(stem)].append(entry)
        elif kind in JPEG_KINDS:
            found.left_out[_MISNAMED] += 1
        elif kind in _OTHER_KINDS:
            found.left_out[_OTHER_KINDS[kind]] += 1
        elif entry.is_dir():
            _count_astray(entry.path, found)
        else:
            others.append(entry.name)
    names = set(others)
    sidecars = 0
    for third, twins in sorted(pictures.items()):
        x, y = scheme.place(zoom_level, second, third)
        for entry in twins:
            has_sidecar = entry.name + _SIDECAR_SUFFIX in names
            sidecars += has_sidecar
            problem = _problem(entry, twins)
            if problem is None:
                now = entry.stat()
                found.tiles.append(
                    TileFile(entry.path, zoom_level, x, y, now.st_size, has_sidecar, now.st_mtime_ns)
                )
            else:
                found.problems.append(FolderProblem(entry.path, f"{zoom_level}/{x}/{y}", *problem))
    found.ignored += len(others) - sidecars


def _problem(entry: os.DirEntry[str], twins: Sequence[os.DirEntry[str]]) -> tuple[str, str] | None:
    """Why an entry in a tile's place is none, and what to do."""
    if len(twins) > 1:
        names = ", ".join(twin.name for twin in twins)
        return f"the tile is there {len(twins)} times: {names}", "leave the one that is right"
    mode = _mode(entry)
    if isinstance(mode, str):
        return mode, "mend or remove it"
    # Only plain files: opening a pipe or a device would wait for ever.
    if not stat.S_ISREG(mode):
        return "is no plain file", "remove it"
    return None


def count_outside(note: FolderNote, tiles: Sequence[TileFile], scheme: TileScheme) -> int:
    """How many tiles lie outside the bounds that a note names.

    Raises `InputFileError` where all do: the scheme or the note is wrong.
    """
    inside = _count_inside(note, tiles, scheme, scheme)
    if not note.bounds or not tiles or inside:
        return len(tiles) - inside if note.bounds else 0
    fitting = [other.value for other in TileScheme if _count_inside(note, tiles, scheme, other)]
    way_out = f"--scheme {fitting[0]} fits" if fitting and note.scheme is None else "no scheme fits them"
    raise InputFileError(
        f"no tile lies within the bounds that {note.file} names, with the tiles read in {scheme.value} order",
        remedy=f"{way_out}; or mend or remove the file if its bounds are wrong",
    )


def _count_inside(
    note: FolderNote, tiles: Sequence[TileFile], read_as: TileScheme, scheme: TileScheme
) -> int:
    """How many tiles lie within the bounds if their paths are read in `scheme`."""
    most = 0
    for boxes in note.bounds:
        ranges: dict[int, list[GridRange]] = {}
        count = 0
        for tile in tiles:
            zoom_level = tile.zoom_level
            if zoom_level > MAX_ZOOM:
                continue
            if zoom_level not in ranges:
                ranges[zoom_level] = [GridRange.covering(box, zoom_level) for box in boxes]
            x, y = scheme.place(zoom_level, *read_as.place(zoom_level, tile.x, tile.y))
            count += any((x, y) in each for each in ranges[zoom_level])
        most = max(most, count)
    return most
