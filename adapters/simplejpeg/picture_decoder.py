"""`SimplejpegDecoder`: the `PictureDecoder` over libjpeg-turbo."""

from __future__ import annotations

import simplejpeg

from ...domain.ports.picture_decoder import DecodedPicture

_ENDS_TOO_EARLY = "premature end"


class SimplejpegDecoder:
    """A `PictureDecoder` over libjpeg-turbo, which decodes without the interpreter's lock.

    A warning of the library counts as damage: bytes left over behind a scan are what a bit flip in it leaves.
    """

    def decode(self, pixels: bytes) -> DecodedPicture:
        try:
            # Brightness alone is half the work, and all of the scan is read for it.
            grey = simplejpeg.decode_jpeg(pixels, "GRAY")
            if grey.min() != grey.max():
                return DecodedPicture()
            colours = simplejpeg.decode_jpeg(pixels, "RGB")
        except ValueError as error:
            if _ENDS_TOO_EARLY in str(error):
                return DecodedPicture(damage="its picture ends before its size does")
            return DecodedPicture(damage=f"its picture is damaged ({error})")
        return DecodedPicture(is_blank=bool((colours == colours[0, 0]).all()))
