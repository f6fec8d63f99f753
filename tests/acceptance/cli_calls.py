"""Calls of the program, and the codes that they end with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Call = Callable[..., Any]
JOB_FAILED = 1
BAD_CALL = 2
