"""A tile server on this machine whose bad behaviour is switched by tests."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import attrs
from reserved_ports import reserved_port

from aerotile.adapters.memory.example_jpeg import example_jpeg
from aerotile.domain.ports.clock import Clock

_PICTURE = example_jpeg()
PORTAL = b"<!DOCTYPE html><html><body>Please log in</body></html>"


def tile_of(path: str) -> bytes:
    """A JPEG that no other path has: bytes behind its end name the path."""
    return _PICTURE + path.encode()


@attrs.define
class Behaviour:
    """How the server answers; any of these may change at any time."""

    fail_every: int | None = None
    """Each so many-th request is answered with `status`."""
    throttle_every: int | None = None
    """Each so many-th request is answered with status 429 and `Retry-After: 1`."""
    status: int = 500
    retry_after_s: int | None = None
    """Beside `status`, in seconds, or as a date with `retry_as_date`."""
    retry_as_date: bool = False
    drop: range = range(0)
    """Requests with these numbers, from 1, get no answer: their connection is closed."""
    is_missing: Callable[[str], bool] = lambda path: False
    missing_status: int = 404
    body: Callable[[str], bytes] = tile_of
    cut_short: Callable[[int], bool] = lambda number: False
    """Whether the request of this number gets half a body and a closed connection."""
    redirect_to: Callable[[str], str | None] = lambda path: None
    token: str | None = None
    """A request without it is answered 401."""
    token_in_query: bool = False
    """It is sent as `?key=` in place of the header."""
    token_expires_after: int | None = None
    etag: Callable[[str], str | None] = lambda path: None
    """A request with this in `If-None-Match` is answered 304."""
    last_modified: str | None = None
    """The same for `If-Modified-Since`."""
    held: threading.Event | None = None
    """Answers wait until it is set."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client may close its connection before the answer is over."""


class TileServer:
    """Runs while its `with` block does; `stop` and `start` again on the same port."""

    def __init__(self, behaviour: Behaviour | None = None, *, clock: Clock | None = None) -> None:
        self.behaviour = behaviour or Behaviour()
        self.requests: Counter[str] = Counter()
        """How often each path was asked for."""
        self.served: Counter[str] = Counter()
        """How often each path was answered with a whole tile."""
        self.headers: list[dict[str, str]] = []
        self.arrivals: list[float] = []
        """When each request came, by `time.monotonic`."""
        self.most_at_once = 0
        self._at_once = 0
        self._clock = clock
        self._lock = threading.Lock()
        self._starting = threading.Lock()
        self._server: _Server | None = None
        self._reserved, self._port = reserved_port()
        self.start()

    @property
    def address(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Listen, always on the same port; nothing happens where it listens already. From any thread."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:  # the library's name
                outer._answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing is logged."""

        with self._starting:
            if self._server is None:
                self._server = _Server(("127.0.0.1", self._port), Handler)
                threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Close the port; connections that are open end with their next request."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> TileServer:
        return self

    def __exit__(self, *raised: object) -> None:
        self.stop()
        self._reserved.close()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        with self._lock:
            self.requests[request.path] += 1
            number = self.requests.total()
            self.headers.append(dict(request.headers.items()))
            self.arrivals.append(time.monotonic())
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            self._answer_as(self.behaviour, request, number)
        finally:
            with self._lock:
                self._at_once -= 1

    def _answer_as(self, behaviour: Behaviour, request: BaseHTTPRequestHandler, number: int) -> None:
        path = request.path
        if behaviour.held is not None:
            behaviour.held.wait()
        if self._server is None or number in behaviour.drop:
            request.close_connection = True
            return
        expired = behaviour.token_expires_after is not None and number > behaviour.token_expires_after
        if behaviour.token is not None:
            in_header = request.headers.get("Authorization") == f"Bearer {behaviour.token}"
            in_query = path.endswith(f"?key={behaviour.token}")
            if expired or not (in_query if behaviour.token_in_query else in_header):
                _send(request, 401, b"who are you?")
                return
        if behaviour.fail_every and number % behaviour.fail_every == 0:
            headers = {}
            if behaviour.retry_after_s is not None:
                headers["Retry-After"] = self._retry_after(behaviour)
            _send(request, behaviour.status, PORTAL, headers)
            return
        if behaviour.throttle_every and number % behaviour.throttle_every == 0:
            _send(request, 429, b"too many", {"Retry-After": "1"})
            return
        target = behaviour.redirect_to(path)
        if target is not None:
            _send(request, 302, b"", {"Location": target})
        elif behaviour.is_missing(path):
            _send(request, behaviour.missing_status, b"" if behaviour.missing_status == 204 else PORTAL)
        elif behaviour.cut_short(number):
            body = behaviour.body(path)
            request.send_response(200)
            request.send_header("Content-Length", str(len(body)))
            request.end_headers()
            request.wfile.write(body[: len(body) // 2])
            request.close_connection = True
        else:
            named = {"ETag": behaviour.etag(path), "Last-Modified": behaviour.last_modified}
            headers = {name: value for name, value in named.items() if value is not None}
            known = request.headers.get("If-None-Match"), request.headers.get("If-Modified-Since")
            if any(value in known for value in headers.values()):
                _send(request, 304, b"", headers | {"Location": "http://elsewhere.example/"})
                return
            with self._lock:
                self.served[path] += 1
            _send(request, 200, behaviour.body(path), {"Content-Type": "image/jpeg"} | headers)

    def _retry_after(self, behaviour: Behaviour) -> str:
        seconds = behaviour.retry_after_s or 0
        if not behaviour.retry_as_date or self._clock is None:
            return str(seconds)
        return format_datetime(self._clock.now() + timedelta(seconds=seconds), usegmt=True)


def _send(
    request: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str] | None = None
) -> None:
    # No `Date`: the clock of the test is the only one.
    request.send_response_only(status)
    for name, value in (headers or {}).items():
        request.send_header(name, value)
    if status not in (204, 304):
        request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    if status not in (204, 304):
        request.wfile.write(body)
