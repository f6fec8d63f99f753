"""Pictures of tiles as JPEGs of the store's size: verbatim where they are that, else encoded again."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import numpy.typing as npt
import simplejpeg

from ...domain.errors import RuntimeNotAvailableError
from ...domain.policies.file_kinds import file_kind
from ...domain.values.pictures import JPEG_QUALITY, MaskedPicture
from ..halved_pictures import Picture, halved

if TYPE_CHECKING:
    from PIL import Image

Pixels = npt.NDArray[np.uint8]
Quarter = tuple[int, int]
"""Column and row, each 0 or 1, within a picture that is cut in four."""

_OPAQUE_FROM = 128
_MOST_BYTES_PER_PIXEL = 8
"""Noise at the best quality takes 4.8 bytes as a JPEG, and 4 as a PNG with alpha."""
_MOST_OTHER_BYTES = 64 << 10
"""Of a picture's profile, comments and the like."""
_PNG_HEAD, _WEBP_HEAD = b"\x89PNG\r\n\x1a\n", b"WEBP"


class PictureError(ValueError):
    """The bytes are no picture that can go in. `kind` counts them, such as `an HTML page`."""

    def __init__(self, message: str, *, kind: str, remedy: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.remedy = remedy


@attrs.frozen
class TilePicture:
    """A JPEG of the store's size."""

    pixels: bytes | None
    """None where `part` is given: see `ImageryTile`."""
    encoded_from: str | None
    """What it was made of; None for bytes that go in verbatim."""
    part: MaskedPicture | None = None
    """See `ImageryTile`."""


@attrs.frozen
class _Decoded:
    rgb: Pixels
    valid: npt.NDArray[np.bool_] | None
    """Which pixels show ground; None for all."""


def format_of(content: bytes) -> str | None:
    """`JPEG`, `PNG` or `WebP`, by the first bytes; None for anything else."""
    if content.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if content.startswith(_PNG_HEAD):
        return "PNG"
    return "WebP" if content.startswith(b"RIFF") and content[8:12] == _WEBP_HEAD else None


def size_of(content: bytes) -> tuple[int, int] | None:
    """Width and height by the picture's header; None for a JPEG whose header can't be read.

    Raises `PictureError` for what is no picture.
    """
    kind = format_of(content)
    if kind is None:
        what, remedy = file_kind(content)
        raise PictureError(what, kind=what.removeprefix("is "), remedy=remedy)
    if kind == "JPEG":
        try:
            height, width, *_ = simplejpeg.decode_jpeg_header(content)
        except ValueError:
            return None
        return width, height
    with _opened(content, kind) as picture:
        width, height = picture.size
        return int(width), int(height)


def most_bytes_of(side: int) -> int:
    """The most bytes that a picture of `side` x `side` pixels may have."""
    return side * side * _MOST_BYTES_PER_PIXEL + _MOST_OTHER_BYTES


def tiles_of(
    content: bytes, tile_size: int, quarters: list[Quarter | None], decoded: list[bool]
) -> list[TilePicture]:
    """The whole picture as a tile (None), or its quarters, decoded once for all of them.

    What would be encoded is left `decoded` where that says so.

    A picture as large as a tile is one; of one twice as large the whole is halved, and quarters are cut. A
    JPEG whose header can't be read stays as it is: the intake's gate names its fault. Raises `PictureError`,
    also for more bytes than `most_bytes_of`: a small archive may name one picture at every place.
    """
    kind = format_of(content)
    size = size_of(content)
    goes_in_verbatim = kind == "JPEG" and size in (None, (tile_size, tile_size)) and quarters == [None]
    if not goes_in_verbatim and (
        size not in ((tile_size, tile_size), (2 * tile_size, 2 * tile_size))
        or (size == (tile_size, tile_size) and quarters != [None])
    ):
        shown = "unreadable" if size is None else f"{size[0]} x {size[1]} pixels"
        raise PictureError(
            f"is a {kind} of {shown}, not of {tile_size} or {2 * tile_size} (tiles.tile_size_pixels)",
            kind=f"a {kind} of another size",
            remedy=f"cut tiles of {tile_size} pixels",
        )
    side = tile_size if size is None else size[0]
    if len(content) > most_bytes_of(side):
        raise PictureError(
            f"is a {kind} of {len(content)} bytes, and {most_bytes_of(side)} are the most for its pixels",
            kind=f"a {kind} of too many bytes",
            remedy="strip what is no picture from it, such as a preview",
        )
    if goes_in_verbatim:
        return [TilePicture(content, None)]
    whole = _decode_jpeg(content) if kind == "JPEG" else _decode_other(content, str(kind))
    is_double = size != (tile_size, tile_size)
    made_of = f"{kind} of {2 * tile_size} pixels" if is_double else str(kind)
    return [
        _tile(
            whole if not is_double else _half(whole) if quarter is None else _cut(whole, quarter),
            made_of if quarter is None else f"quarter of {made_of}",
            stays_decoded,
        )
        for quarter, stays_decoded in zip(quarters, decoded, strict=True)
    ]


def _decode_jpeg(content: bytes) -> _Decoded:
    try:
        return _Decoded(simplejpeg.decode_jpeg(content, "RGB"), None)
    except ValueError as error:
        raise PictureError(f"is a JPEG that does not decode: {error}", kind="a damaged JPEG") from error


def _decode_other(content: bytes, kind: str) -> _Decoded:
    with _opened(content, kind) as picture:
        if picture.mode in ("I", "F") or picture.mode.startswith("I;"):
            raise PictureError(
                f"is a {kind} of 16 bits, whose brightness has no scale of its own",
                kind=f"a {kind} of 16 bits",
                remedy="convert the imagery to 8 bits, all tiles by one scale",
            )
        has_alpha = picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info
        try:
            colours = np.asarray(picture.convert("RGBA" if has_alpha else "RGB"))
        except Exception as error:
            raise _damaged(kind, error) from error
    if not has_alpha:
        return _Decoded(colours, None)
    valid = colours[..., 3] >= _OPAQUE_FROM
    if valid.all():
        return _Decoded(np.ascontiguousarray(colours[..., :3]), None)
    return _Decoded(np.where(valid[..., None], colours[..., :3], np.uint8(0)), valid)


def _opened(content: bytes, kind: str) -> Image.Image:
    """The picture with its header read; its pixels are decoded later, when its size is known to be right."""
    try:
        from PIL import Image
    except ImportError as error:
        raise RuntimeNotAvailableError(
            f"tiles as {kind} need pillow, which is not installed", remedy="pip install 'aerotile[imagery]'"
        ) from error
    try:
        return Image.open(io.BytesIO(content), formats=(kind.upper(),))
    except Exception as error:
        raise _damaged(kind, error) from error


def _damaged(kind: str, error: Exception) -> PictureError:
    """Pillow's decoders raise errors of many classes for bytes that they don't expect."""
    return PictureError(f"is a {kind} that does not decode: {error}", kind=f"a damaged {kind}")


def _half(decoded: _Decoded) -> _Decoded:
    half = halved(Picture(np.moveaxis(decoded.rgb, 2, 0), decoded.valid))
    valid = None if half.valid is None or half.valid.all() else half.valid
    return _Decoded(np.stack(list(half.planes), axis=2), valid)


def _cut(decoded: _Decoded, quarter: Quarter) -> _Decoded:
    half = len(decoded.rgb) // 2
    column, row = quarter
    there = (slice(row * half, (row + 1) * half), slice(column * half, (column + 1) * half))
    valid = None if decoded.valid is None else decoded.valid[there]
    return _Decoded(np.ascontiguousarray(decoded.rgb[there]), None if valid is None or valid.all() else valid)


def _tile(decoded: _Decoded, made_of: str, stays_decoded: bool) -> TilePicture:
    if decoded.valid is not None:
        return TilePicture(None, made_of, MaskedPicture(decoded.rgb, decoded.valid))
    if stays_decoded:
        return TilePicture(None, made_of, MaskedPicture.whole(decoded.rgb))
    encoded: Any = simplejpeg.encode_jpeg(decoded.rgb, quality=JPEG_QUALITY)
    return TilePicture(bytes(encoded), made_of)
