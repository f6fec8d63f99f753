"""Waits for sockets that take the GIL once."""

def is_readable(descriptor: int) -> bool:
    """Whether something can be read from a socket now, its end included; keeps the GIL."""

def await_readable(descriptor: int, timeout_s: float | None) -> bool:
    """Wait until something can be read from a socket; False after `timeout_s` seconds (None: never)."""

def holds_whole_answer(descriptor: int) -> bool:
    """Whether the server's whole answer has arrived, so that reading it does not wait; keeps the GIL."""

def await_burst(descriptor: int, alarm: int, burst_ms: int) -> bool:
    """Wait for something to read and `burst_ms` more; whether `alarm` can be read, which ends both."""
