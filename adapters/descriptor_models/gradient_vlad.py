"""`GradientVlad`: the demo's `DescriptorModel`, the gradients of an image's patches, wherever they are in it.

It stands where the flight stack's own network would. Small patches are described by histograms of gradient
orientations (Lowe, 2004), square-rooted (Arandjelovic and Zisserman, RootSIFT, 2012), and summed per visual
word (Jegou et al., VLAD, 2010) with each word normalised by itself (Arandjelovic and Zisserman, All about
VLAD, 2013); the sums are projected to 512 numbers with damped PCA whitening. Brightness cancels in the
gradient, contrast in the patch's sum, and sums over the image hardly change when the camera is off the grid.
Words and projection are learned from the base's own tiles. Colour is not used.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from ...domain.errors import DescriptorModelError
from ...domain.values.pictures import Descriptors, Pictures, check_pictures
from ..files.atomic_file import atomic_file
from ..files.regular_file import read_regular
from .checks import checked_answer, model_name

DIMENSION = 512
IMAGE_SIZE_PIXELS = 256
WORD_COUNT = 64
_ORIENTATIONS = 8
_CELL = 8
_CELL_STEP = 4
_PATCH_LENGTH = 4 * _ORIENTATIONS
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Rec. 601 weights of red, green and blue."""
_SAMPLED_PATCHES = 30_000
_KMEANS_ROUNDS = 15

_LABEL = f"gradient-vlad-{DIMENSION}"
_MAX_FILE_BYTES = 16 << 20

Pixels = npt.NDArray[np.uint8]
"""One image, of shape (height, width, 3)."""
Vectors = npt.NDArray[np.float32]


@attrs.frozen(eq=False)
class GradientVlad:
    """Visual words and a projection, learned once from tiles; the same file gives the same descriptors.

    See `DescriptorModel`. Images have 256 x 256 pixels. Safe for threads.
    """

    words: Vectors
    """Shape (64, 32): centres of the patch descriptors."""
    mean: Vectors
    """Shape (2048,): the mean of the learning tiles' word sums."""
    projection: Vectors
    """Shape (2048, 512); trailing columns are 0 when there were fewer than 513 learning tiles."""

    @classmethod
    def fit(
        cls,
        images: Sequence[Pixels],
        *,
        seed: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ) -> GradientVlad:
        """Learn from at least 64 images, each of shape (256, 256, 3), with seeded k-means and PCA.

        Holds 0.2 MB per image while it runs; `progress(done, total)` counts images. Raises `ValueError` for
        fewer or otherwise shaped images.
        """
        if len(images) < WORD_COUNT:
            raise ValueError(f"a descriptor model needs at least {WORD_COUNT} images, got {len(images)}")
        rng = np.random.default_rng(seed)
        patches = []
        for done, image in enumerate(images, start=1):
            patches.append(_patches(image))
            if progress is not None:
                progress(done, len(images))
        pool = np.concatenate(patches)
        sample = pool[rng.choice(len(pool), min(_SAMPLED_PATCHES, len(pool)), replace=False)]
        words = _cluster(sample, rng)
        sums = np.stack([_word_sums(image_patches, words) for image_patches in patches])
        mean = sums.mean(axis=0)
        _, scales, axes = np.linalg.svd(sums - mean, full_matrices=False)
        # Fewer than 513 images span fewer directions; the last one is only rounding.
        kept = np.flatnonzero(scales[:DIMENSION] > 1e-4 * scales[0])
        projection = np.zeros((len(mean), DIMENSION), np.float32)
        # Halfway to whitening: common directions say little about a place, rare ones are mostly noise.
        projection[:, : len(kept)] = axes[kept].T / np.sqrt(scales[kept])
        return cls(words, mean, projection)

    @classmethod
    def load(cls, path: Path) -> GradientVlad:
        """Read what `save` wrote. Raises `DescriptorModelError`."""
        try:
            with np.load(io.BytesIO(read_regular(path, _MAX_FILE_BYTES, follow=True))) as arrays:
                parts = [arrays[name] for name in _SHAPES]
        except OSError as error:
            raise DescriptorModelError(f"can't read {path}: {error.strerror}") from error
        except Exception as error:  # numpy and zipfile raise many kinds, and numpy advises to unpickle
            raise DescriptorModelError(
                f"{path} is no learned descriptor, or it is damaged",
                remedy="name the .npz that the demo learned from its tiles, or a network in a .onnx",
            ) from error
        for (name, shape), part in zip(_SHAPES.items(), parts, strict=True):
            if part.shape != shape or part.dtype != np.float32 or not np.isfinite(part).all():
                raise DescriptorModelError(
                    f"{path}: {name} must be finite float32 of shape {shape}, "
                    f"it is {part.dtype} of shape {part.shape}"
                )
        return cls(*parts)

    def save(self, path: Path) -> None:
        """Write the numbers to a file, durably. Raises `OSError`."""
        with atomic_file(path, 0o644) as file:
            np.savez(file, words=self.words, mean=self.mean, projection=self.projection)

    @property
    def name(self) -> str:
        """See `DescriptorModel`."""
        return model_name(_LABEL, self.digest)

    @property
    def digest(self) -> str:
        """See `DescriptorModel`."""
        digest = hashlib.sha256(_LABEL.encode())
        for part in (self.words, self.mean, self.projection):
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()

    @property
    def headings(self) -> tuple[int, ...]:
        """See `DescriptorModel`: frames of the demo are turned north."""
        return (0,)

    def describe(self, pictures: Pictures) -> Descriptors:
        """See `DescriptorModel`: shape (n, 512), unit length; pictures have shape (n, 256, 256, 3)."""
        check_pictures(pictures)
        rows = [
            _unit((_word_sums(_patches(image), self.words) - self.mean) @ self.projection)
            for image in pictures
        ]
        return checked_answer(np.stack(rows), len(pictures), _LABEL)


_SHAPES = {
    "words": (WORD_COUNT, _PATCH_LENGTH),
    "mean": (WORD_COUNT * _PATCH_LENGTH,),
    "projection": (WORD_COUNT * _PATCH_LENGTH, DIMENSION),
}


def _patches(image: Pixels) -> Vectors:
    """Descriptors of overlapping patches of 2 x 2 cells, shape (841, 32), of the image at half size."""
    size = IMAGE_SIZE_PIXELS
    if image.shape != (size, size, 3) or image.dtype != np.uint8:
        raise ValueError(
            f"image must have shape ({size}, {size}, 3) and type uint8, got {image.shape}, {image.dtype}"
        )
    half = size // 2
    luma = image.reshape(half, 2, half, 2, 3).mean(axis=(1, 3), dtype=np.float32) @ _LUMA
    down, right = np.gradient(luma)
    strength = np.hypot(right, down)
    turn = np.arctan2(down, right) / (2 * np.pi) * _ORIENTATIONS
    lower = np.floor(turn)
    upper_share = turn - lower
    bins = lower.astype(np.intp) % _ORIENTATIONS
    rows, columns = np.indices(bins.shape, sparse=True)
    histogram = np.zeros((half, half, _ORIENTATIONS))
    histogram[rows, columns, bins] = strength * (1 - upper_share)
    histogram[rows, columns, (bins + 1) % _ORIENTATIONS] += strength * upper_share
    cells = _cell_means(histogram)
    # A patch's four cells touch, so the neighbour is one cell away, not one step.
    apart = _CELL // _CELL_STEP
    corners = (cells[:-apart, :-apart], cells[:-apart, apart:], cells[apart:, :-apart], cells[apart:, apart:])
    patches = np.concatenate(corners, axis=-1).reshape(-1, _PATCH_LENGTH)
    # The square roots of shares have unit length; a patch without any gradient stays 0.
    total = patches.sum(axis=1, keepdims=True)
    rooted: Vectors = np.sqrt(patches / np.where(total > 0, total, 1.0)).astype(np.float32)
    return rooted


def _cell_means(histogram: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Means over overlapping squares of 8 x 8 pixels, every 4 pixels, by a summed-area table."""
    table = np.pad(histogram.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0), (0, 0)))
    start = np.arange(0, histogram.shape[0] - _CELL + 1, _CELL_STEP)
    upper, lower = table[start], table[start + _CELL]
    total = lower[:, start + _CELL] - lower[:, start] - upper[:, start + _CELL] + upper[:, start]
    # The subtraction can leave a tiny negative where there is no gradient at all.
    means: npt.NDArray[np.float64] = np.maximum(total, 0.0) / _CELL**2
    return means


def _nearest_words(patches: Vectors, words: Vectors) -> npt.NDArray[np.intp]:
    # |p - w|^2 without |p|^2, which is the same for every word.
    nearest: npt.NDArray[np.intp] = (np.square(words).sum(axis=1) - 2 * patches @ words.T).argmin(axis=1)
    return nearest


def _cluster(sample: Vectors, rng: np.random.Generator) -> Vectors:
    """The words: k-means from randomly chosen patches."""
    words = sample[rng.choice(len(sample), WORD_COUNT, replace=False)]
    for _ in range(_KMEANS_ROUNDS):
        nearest = _nearest_words(sample, words)
        for word in range(WORD_COUNT):
            members = sample[nearest == word]
            words[word] = members.mean(axis=0) if len(members) else sample[rng.integers(len(sample))]
    return words


def _word_sums(patches: Vectors, words: Vectors) -> Vectors:
    """For each word the direction in which its patches differ from it, shape (2048,), unit length."""
    nearest = _nearest_words(patches, words)
    sums = np.zeros_like(words)
    np.add.at(sums, nearest, patches - words[nearest])
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    np.divide(sums, length, out=sums, where=length > 0)
    return _unit(sums.ravel())


def _unit(vector: npt.NDArray[np.floating[Any]]) -> Vectors:
    length = float(np.linalg.norm(vector))
    return (vector / length if length > 0 else vector).astype(np.float32, copy=False)
