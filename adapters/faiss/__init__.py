"""The descriptor index over FAISS. Importing this imports faiss, which takes a while, and chooses kernels."""

from .generations import IndexGenerations
from .index import FaissDescriptorIndex
from .kernels import choose_kernels

__all__ = ["FaissDescriptorIndex", "IndexGenerations"]

choose_kernels()
