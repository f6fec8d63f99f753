"""The descriptor index over FAISS. Importing this imports faiss, which takes a while."""

from .generations import IndexGenerations
from .index import FaissDescriptorIndex

__all__ = ["FaissDescriptorIndex", "IndexGenerations"]
