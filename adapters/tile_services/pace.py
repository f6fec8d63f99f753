"""`Pace`: what all requests to one server share, which is its rate, its pauses and its last success."""

from __future__ import annotations

import threading

from ...domain.policies.tile_fetching import FetchLimits, next_start_s
from ...domain.ports.clock import Clock

_SHORTEST_NAP_S = 0.001
"""A clock may not advance by less than its resolution."""
_LONGEST_NAP_S = 0.2
"""A stop is noticed within this time."""


class Pace:
    """Lets requests start at their time; from any number of threads."""

    def __init__(self, limits: FetchLimits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._last_start_s: float | None = None
        self._pause_until_s = 0.0
        self._last_success_s: float | None = None
        self._silent_since_s: float | None = None
        self.stopping = threading.Event()
        """Set: no request starts any more."""

    def wait_for_start(self) -> bool:
        """Wait until a request may start; False when none may any more."""
        while not self.stopping.is_set():
            with self._lock:
                now_s = self._clock.monotonic()
                start_s = next_start_s(now_s, self._last_start_s, self._pause_until_s, self._limits)
                self._last_start_s = start_s
            self.sleep(start_s - now_s)
            with self._lock:
                # A pause that came meanwhile: the requests that waited must not start together behind it.
                is_paused = self._pause_until_s > self._clock.monotonic()
            if not is_paused:
                return not self.stopping.is_set()
        return False

    def sleep(self, seconds: float) -> None:
        """Let seconds pass, or less when the run stops."""
        until_s = self._clock.monotonic() + seconds
        while not self.stopping.is_set() and (left_s := until_s - self._clock.monotonic()) > 0:
            self._clock.sleep(min(max(left_s, _SHORTEST_NAP_S), _LONGEST_NAP_S))

    def pause_everybody(self, seconds: float) -> None:
        """No request starts for so long."""
        with self._lock:
            self._pause_until_s = max(self._pause_until_s, self._clock.monotonic() + seconds)

    def note_success(self) -> None:
        """The server answered a request."""
        with self._lock:
            self._last_success_s = self._clock.monotonic()
            self._silent_since_s = None

    def note_failure(self) -> bool:
        """A request failed; True for the first one since a success."""
        with self._lock:
            is_first = self._silent_since_s is None
            if is_first:
                self._silent_since_s = self._clock.monotonic()
            return is_first

    @property
    def has_answered(self) -> bool:
        """Whether a request succeeded ever."""
        with self._lock:
            return self._last_success_s is not None

    def has_answered_since(self, moment_s: float) -> bool:
        """Whether a request succeeded after a moment."""
        with self._lock:
            return self._last_success_s is not None and self._last_success_s > moment_s

    def silent_for_s(self) -> float:
        """Seconds since the first failure that no success followed."""
        with self._lock:
            return 0.0 if self._silent_since_s is None else self._clock.monotonic() - self._silent_since_s
