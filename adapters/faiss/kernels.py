"""Which of FAISS's kernels compare descriptors on this processor."""

from __future__ import annotations

from typing import Any

import faiss

_faiss: Any = faiss  # the type stubs that faiss ships lack some names


def choose_kernels() -> None:
    """Take the kernels of AVX-512 where FAISS took those of Sapphire Rapids and later, for the whole process.

    In FAISS 1.15.1 those for float16 and 8 bits compare a query with one descriptor of a graph at a time. The
    older ones compare four, and come to the same distances in two thirds of the time: see P-7 in
    docs/performance.md. A level that the environment names in FAISS_SIMD_LEVEL stays.
    """
    config = _faiss.SIMDConfig
    if config.get_level() == _faiss.SIMDLevel_AVX512_SPR and config.is_simd_level_available(
        _faiss.SIMDLevel_AVX512
    ):
        config.set_level(_faiss.SIMDLevel_AVX512)
