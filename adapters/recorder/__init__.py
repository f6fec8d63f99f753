"""The flight record on the disk: writing, reading, following and exporting it."""

from .mcap_export import export_mcap
from .reader import RecordFilter, RecordReader, read_record
from .writer import JsonLinesRecorder, RecorderStatus

__all__ = [
    "JsonLinesRecorder",
    "RecordFilter",
    "RecordReader",
    "RecorderStatus",
    "export_mcap",
    "read_record",
]
