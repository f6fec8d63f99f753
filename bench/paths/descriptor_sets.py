"""Descriptors to search in, and queries with their exact neighbours.

Uniform noise would tell nothing: without structure all are equally far from each other, and no graph finds
its way.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import faiss
import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]

NEIGHBOURS = 10
_CLUSTER_SIZE = 40
_LATENT_DIMENSION = 48
_SPREAD = 0.6
_VIEW_CHANGE = 0.35
_NOISE = 0.02
_SEED = 7


@attrs.frozen(kw_only=True, eq=False)
class DescriptorSet:
    """What is indexed, what is asked, and the right answers."""

    name: str
    descriptors: Vectors
    """Shape (n, d), unit length."""
    queries: Vectors
    """Shape (q, d), unit length; none of them is in `descriptors`."""
    nearest: npt.NDArray[np.int64]
    """Shape (q, 10): rows of the exact neighbours by L2, nearest first."""

    @classmethod
    def of(cls, name: str, descriptors: Vectors, queries: Vectors) -> DescriptorSet:
        """The set with its neighbours found by exact search."""
        return cls(
            name=name,
            descriptors=descriptors,
            queries=queries,
            nearest=exact_neighbours(descriptors, queries),
        )

    def recall(self, found: Sequence[Sequence[int]]) -> float:
        """recall@10: the share of the exact neighbours that `found`, rows per query, holds."""
        hits = sum(
            len(set(rows) & set(right)) for rows, right in zip(found, self.nearest.tolist(), strict=True)
        )
        return hits / self.nearest.size


def exact_neighbours(descriptors: Vectors, queries: Vectors) -> npt.NDArray[np.int64]:
    """Rows of the ten nearest by L2, by comparing with every descriptor."""
    rows: npt.NDArray[np.int64] = faiss.knn(queries, descriptors, NEIGHBOURS)[1]
    return rows


def clustered(count: int, dimension: int, queries: int) -> DescriptorSet:
    """Made-up places, the same in every run.

    About 40 places look alike: a cluster. Cluster centres are Gaussian in 48 dimensions whose strength falls
    as i**-0.5, members lie 0.6 times as wide around them, and cluster sizes fall as rank**-0.5. That is
    turned into the full dimension by a random rotation, given 0.02 of noise in every component, and brought
    to unit length. A query is a member seen again: moved by 0.35 times the spread within its cluster, with
    noise of its own.
    """
    rng = np.random.default_rng(_SEED)
    latent = min(_LATENT_DIMENSION, dimension)
    strength = (np.arange(1, latent + 1) ** -0.5).astype(np.float32)
    clusters = max(1, count // _CLUSTER_SIZE)
    share = np.arange(1, clusters + 1) ** -0.5
    centres = rng.standard_normal((clusters, latent), np.float32) * strength
    places = centres[rng.choice(clusters, count, p=share / share.sum())]
    places += _SPREAD * strength * rng.standard_normal(places.shape, np.float32)
    moves = _VIEW_CHANGE * _SPREAD * strength * rng.standard_normal((queries, latent), np.float32)
    seen = places[rng.choice(count, queries)] + moves
    rotation = np.linalg.qr(rng.standard_normal((dimension, latent)))[0].T.astype(np.float32)
    return DescriptorSet.of(
        f"clustered, {count} x {dimension}", _embedded(places, rotation, rng), _embedded(seen, rotation, rng)
    )


def _embedded(places: Vectors, rotation: Vectors, rng: np.random.Generator) -> Vectors:
    vectors: Vectors = places @ rotation
    vectors += np.float32(_NOISE) * rng.standard_normal(vectors.shape, np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors
