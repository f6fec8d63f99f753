"""Which reader opens a source of imagery, by its content; which writer makes an archive, by its name."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...domain.errors import ImagerySourceError, RuntimeNotAvailableError
from ...domain.policies.file_kinds import file_kind
from ...domain.policies.tile_fetching import FetchLimits
from ...domain.ports.imagery_source import ImagerySource, ReadPlace, TilePlace
from ...domain.ports.picture_codec import PictureCodec
from ...domain.ports.tile_archive import TileArchiveWriter
from ...domain.values.datasets import SourceDigest

if TYPE_CHECKING:
    from ..config.secret import Secret
    from ..imagery.archive_source import TileArchive
    from ..tile_services.open_service import ServiceTerms

_SQLITE, _PMTILES = b"SQLite format 3\0", b"PMTiles"
_GEOPACKAGE_IDS = (b"GPKG", b"GP10", b"GP11")
_APPLICATION_ID = slice(68, 72)
_PLACE_IT = "make a GeoTIFF of it: gdal_translate -a_srs EPSG:CODE -a_ullr WEST NORTH EAST SOUTH"
_WITH_A_SCHEME = ("folder", "MBTiles")
"""How the kinds of sources begin whose rows may be in several orders."""
_OTHER_KINDS = (
    (b"\x89PNG", "is a PNG, which says nothing of its place", _PLACE_IT),
    (b"\xff\xd8\xff", "is a JPEG, which says nothing of its place", _PLACE_IT),
    (b"PK\3\4", "is a zip archive", "unpack it, and name what lies in it"),
    (b"\x1f\x8b", "is compressed by gzip", "decompress it"),
)
_FILE_SUFFIX = re.compile(r"\.[a-z][a-z0-9]*")
"""How a name ends that is meant as a file's; a folder may end in a number, such as `tiles.2026`."""
_PAGES = (b"<!doctype html", b"<html", b"<?xml")
_READABLE = "MBTiles, GeoPackage, PMTiles, GeoTIFF, a folder zoom/x/y, or an address of tiles"


def open_imagery_source(
    name: str,
    *,
    tile_size: int,
    scheme: str | None = None,
    enlarge_to: int | None = None,
    service: ServiceTerms | None = None,
    threads: int | None = None,
) -> ImagerySource:
    """The source of imagery that an operator names, by its content and not by its ending.

    `scheme` overrides in which order the rows of a folder or an MBTiles file are; up to the zoom `enlarge_to`
    the pixels of a GeoTIFF are enlarged; `service` says how a server is asked, by default without a token.
    `threads` decode or warp; None: one a core.
    Raises `ImagerySourceError`, `InputFileError` for notes in a folder that contradict each other, and
    `RuntimeNotAvailableError` for a GeoTIFF without rasterio.
    """
    from ..imagery.archive_source import ArchiveSource
    from ..rasters.beside import TIFF_HEADS
    from ..tile_services.address import is_address

    if is_address(name):
        return _open_service(name, tile_size, scheme, service or service_terms())
    if Path(name).is_file() and _head(name).startswith(TIFF_HEADS):
        return _open_raster(Path(name), tile_size, enlarge_to, threads)
    return ArchiveSource(_open_archive(name, scheme), tile_size=tile_size, threads=threads)


def refuse_scheme_without_rows(sources: Sequence[ImagerySource], scheme: str | None) -> None:
    """Raise `ImagerySourceError` where `scheme` is given and changes the order of no source's rows."""
    if scheme is None or any(one.facts.kind.startswith(_WITH_A_SCHEME) for one in sources):
        return
    raise ImagerySourceError(
        f"the scheme {scheme} is for folders and MBTiles, and has no effect on {sources[0].name}, "
        f"a {sources[0].facts.kind}",
        remedy="leave it out; rows in another order than the format has them must be written anew",
    )


def tile_picture_codec(tile_size: int) -> PictureCodec:
    """What a mosaic makes one tile with of several sources' tiles."""
    from ..simplejpeg.pictures import TilePictureCodec

    return TilePictureCodec(tile_size)


def service_terms(token: Secret | None = None, limits: FetchLimits | None = None) -> ServiceTerms:
    """How servers are asked: by this machine's clock, and under the program's own name."""
    from importlib.metadata import version

    from ..clocks import SystemClock
    from ..tile_services.open_service import ServiceTerms

    return ServiceTerms(
        clock=SystemClock(),
        user_agent=f"aerotile/{version('aerotile')}",
        token=token,
        limits=limits or FetchLimits(),
    )


def server_of(name: str) -> tuple[str, str, int] | None:
    """Scheme, host and port where an operator's source is an address; None for a file or folder."""
    from ..tile_services.address import is_address, origin_of

    return origin_of(name) if is_address(name) else None


def digest_of_source(name: str, scheme: str | None = None) -> SourceDigest | None:
    """The digest of a file, or of the pictures of a folder; None for an address.

    `scheme` is the order of a folder's rows; None: what the notes in it say. Raises `InputFileError`,
    `OSError`.
    """
    from ..input_files.source_digest import digest_of_file, digest_of_folder
    from ..input_files.tile_scheme import TileScheme

    path, _ = file_and_table(name)
    if path.is_dir():
        return digest_of_folder(path, None if scheme is None else TileScheme(scheme))[0]
    return digest_of_file(path) if path.is_file() else None


def _open_service(name: str, tile_size: int, scheme: str | None, terms: ServiceTerms) -> ImagerySource:
    from ..imagery.picture_places import tiles_at
    from ..tile_services.address import without_secrets
    from ..tile_services.open_service import open_tile_service

    if scheme is not None:
        raise ImagerySourceError(
            f"--scheme {scheme} is for files, and {without_secrets(name)} is an address",
            remedy="write {-y} in it where rows count from the south",
        )

    def picture(place: TilePlace, content: bytes, decoded: Collection[TilePlace]) -> ReadPlace:
        return tiles_at(name, [place], content, tile_size, [None], decoded)[0]

    return open_tile_service(name, terms, tile_size=tile_size, picture=picture)


def _open_archive(name: str, scheme: str | None) -> TileArchive:
    from ..imagery.geopackage import GeopackageArchive
    from ..imagery.mbtiles import MbtilesArchive
    from ..imagery.pmtiles import PmtilesArchive
    from ..input_files.folder_archive import FolderArchive

    path, table = file_and_table(name)
    if table and (path.is_dir() or path.is_file()) and not _is_geopackage(path):
        raise ImagerySourceError(
            f"{path} has no tables, and #{table} names one", remedy=f"leave #{table} out"
        )
    if path.is_dir():
        return FolderArchive(path, scheme=scheme)
    if not path.is_file():
        raise ImagerySourceError(f"no file or folder {name}", remedy=f"name {_READABLE}")
    head = _head(str(path))
    if _is_geopackage(path):
        return GeopackageArchive(path, table=table or None)
    if head.startswith(_SQLITE):
        if scheme == "zyx":
            raise ImagerySourceError(
                f"{name} is MBTiles, whose rows are in tms or xyz order",
                remedy="give --scheme tms or xyz, or leave it out",
            )
        return MbtilesArchive(path, scheme=scheme)
    if head.startswith(_PMTILES):
        return PmtilesArchive(path)
    what, remedy = _other_kind(head)
    raise ImagerySourceError(f"{name} {what}", remedy=remedy)


def _is_geopackage(path: Path) -> bool:
    if path.is_dir():
        return False
    head = _head(str(path))
    is_named_so = head[_APPLICATION_ID] in _GEOPACKAGE_IDS or path.suffix.lower() == ".gpkg"
    return head.startswith(_SQLITE) and is_named_so


def _other_kind(head: bytes) -> tuple[str, str]:
    """What a file is that no reader takes, and what to do about it."""
    if not head:
        return "is empty", "copy it again, or compare it with its origin"
    for signature, what, remedy in _OTHER_KINDS:
        if head.startswith(signature):
            return what, remedy
    if head.lstrip().lower().startswith(_PAGES):
        return file_kind(head)[0], "download it again, and look at what the server answered"
    return "is no source of imagery that can be read", f"name {_READABLE}"


def _head(name: str) -> bytes:
    try:
        with Path(name).open("rb") as file:
            return file.read(100)
    except OSError as error:
        raise ImagerySourceError(f"{name} can't be read: {error.strerror}") from error


def _open_raster(path: Path, tile_size: int, enlarge_to: int | None, threads: int | None) -> ImagerySource:
    try:
        from ..rasters.raster_source import RasterSource
    except ImportError as error:
        raise RuntimeNotAvailableError(
            "GeoTIFF needs rasterio, which is not installed", remedy="pip install 'aerotile[imagery]'"
        ) from error
    return RasterSource(path, tile_size=tile_size, enlarge_to=enlarge_to, threads=threads)


def file_and_table(name: str) -> tuple[Path, str]:
    """The file or folder of a source, and the table that `FILE.gpkg#TABLE` names in it; empty without one."""
    path, mark, table = name.rpartition("#")
    return (Path(path), table) if mark and not Path(name).exists() else (Path(name), "")


def create_tile_archive(path: Path, *, most_tiles: int) -> TileArchiveWriter:
    """A new archive of at most so many tiles, in the format that its name ends in, or a folder.

    Raises `ImagerySourceError` for a name that ends as a file of another format, and `OSError`, also where
    there is something of that name.
    """
    from ..exports.folder_writer import FolderWriter
    from ..exports.geopackage_writer import GeopackageWriter
    from ..exports.pmtiles_writer import PmtilesWriter
    from ..exports.sqlite_writer import MbtilesWriter

    kind = path.suffix.lower()
    if kind == ".mbtiles":
        return MbtilesWriter(path)
    if kind == ".gpkg":
        return GeopackageWriter(path)
    if kind == ".pmtiles":
        return PmtilesWriter(path, most_tiles)
    if _FILE_SUFFIX.fullmatch(kind):
        raise ImagerySourceError(
            f"{path} ends as a file of a kind that is not written: {path.suffix}",
            remedy="end it in .mbtiles, .pmtiles or .gpkg, or name a folder without an ending",
        )
    return FolderWriter(path)
