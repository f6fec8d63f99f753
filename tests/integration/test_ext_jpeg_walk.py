"""The compiled walk over a JPEG's markers finds what the rule of the domain finds."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from aerotile.adapters.memory.example_jpeg import example_jpeg
from aerotile.domain.policies import jpeg
from aerotile.domain.policies.jpeg import JpegFault
from aerotile.ext import walk_jpeg


def encoded(**options: object) -> bytes:
    """A picture of noise, whose scan data hold stuffed bytes, as libjpeg writes it."""
    mode, channels = ("L", ()) if options.pop("grey", False) else ("RGB", (3,))
    noise = np.random.default_rng(18).integers(0, 256, (48, 48, *channels), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise, mode).save(stream, "JPEG", **options)
    return stream.getvalue()


REAL = {
    "baseline": encoded(quality=90),
    "progressive": encoded(progressive=True),
    "grey": encoded(grey=True),
    "restarts": encoded(restart_marker_rows=1),
    "4:2:0 with a comment": encoded(subsampling=2, comment=b"\xff\xd9\xff\xda"),
}


def assert_same(pixels: bytes) -> None:
    assert walk_jpeg(pixels) == tuple(jpeg.walk_jpeg(pixels)), pixels.hex()


@pytest.mark.parametrize("pixels", REAL.values(), ids=REAL)
def test_what_libjpeg_writes_is_whole_and_any_cut_of_it_is_not(pixels: bytes) -> None:
    assert walk_jpeg(pixels) == (JpegFault.NONE, len(pixels), 48, 48)
    for length in range(len(pixels)):
        assert_same(pixels[:length])
        assert walk_jpeg(pixels[:length])[0] != JpegFault.NONE


@pytest.mark.parametrize(
    "pixels", [example_jpeg(b"a\xffb\xff\xff"), REAL["grey"][:400] + b"\xff\xd9"], ids=len
)
def test_every_value_of_every_byte_is_judged_as_the_domain_judges_it(pixels: bytes) -> None:
    changed = bytearray(pixels)
    for position, before in enumerate(pixels):
        for value in range(256):
            changed[position] = value
            assert_same(bytes(changed))
        changed[position] = before


MARKERS = st.sampled_from(
    [0x00, 0x01, 0xC0, 0xC2, 0xC3, 0xC4, 0xC8, 0xC9, 0xD0, 0xD8, 0xD9, 0xDA, 0xDC, 0xF7, 0xFF]
)
PARTS = st.one_of(
    MARKERS.map(lambda marker: bytes([0xFF, marker])),
    st.binary(max_size=6),
    st.tuples(MARKERS, st.binary(max_size=12)).map(
        lambda part: bytes([0xFF, part[0]]) + (len(part[1]) + 2).to_bytes(2, "big") + part[1]
    ),
    st.just(b"\xff\xc0\0\x11\x08\1\0\1\0\3\1\x11\0\2\x11\1\3\x11\1"),
    st.lists(st.integers(0, 4), max_size=4).map(
        lambda ids: (
            b"\xff\xda"
            + (6 + 2 * len(ids)).to_bytes(2, "big")
            + bytes([len(ids)])
            + b"".join(bytes([one, 0]) for one in ids)
            + b"\0\x3f\0x"
        )
    ),
)


@given(st.lists(PARTS, max_size=8))
def test_any_sequence_of_markers_is_judged_as_the_domain_judges_it(parts: list[bytes]) -> None:
    assert_same(b"".join(parts))
    assert_same(b"\xff\xd8" + b"".join(parts))


@given(st.sampled_from(list(REAL.values())), st.data())
def test_a_real_picture_changed_anywhere_is_judged_as_the_domain_judges_it(
    pixels: bytes, data: st.DataObject
) -> None:
    changed = bytearray(pixels)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at : at + data.draw(st.integers(0, 40))] = data.draw(
            st.binary(max_size=3) | st.just(b"\xff\xd9")
        )
        if not changed:
            break
    assert_same(bytes(changed))


@pytest.fixture
def _threads_never_take_turns() -> Iterator[None]:
    """A thread has the interpreter until it gives the lock away itself."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1_000)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_threads_never_take_turns")
def test_the_walk_lets_other_threads_run() -> None:
    pixels = example_jpeg(bytes(4 << 20))
    began, others_run = threading.Event(), threading.Event()
    walks = 0

    def walk() -> None:
        nonlocal walks
        began.set()
        while walks < 5_000 and not others_run.is_set():
            walk_jpeg(pixels)
            walks += 1

    walker = threading.Thread(target=walk)
    walker.start()
    began.wait()
    others_run.set()
    walker.join()
    assert walks < 5_000


def test_only_bytes_are_walked() -> None:
    with pytest.raises(TypeError):
        walk_jpeg(bytearray(REAL["grey"]))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        walk_jpeg(None)  # type: ignore[arg-type]
