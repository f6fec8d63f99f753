"""A provider on loopback that does to each connection what it is told."""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any


class Exchange:
    """One request on a connection, and whatever is done in answer to it."""

    def __init__(self, provider: ScriptedProvider, connection: socket.socket) -> None:
        self.provider = provider
        self.connection = connection
        self.headers: dict[str, str] = {}
        self.body = b""
        self.closed = False

    def receive_head(self) -> bool:
        """Read the request's head; False when the client has gone."""
        head = b""
        while b"\r\n\r\n" not in head:
            part = self.connection.recv(1)
            if not part:
                return False
            head += part
        self.request_line, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.split(": ", 1) for line in lines if line)
        self.headers = {name.lower(): value for name, value in pairs}
        return True

    @property
    def length(self) -> int:
        return int(self.headers.get("content-length", "0"))

    def receive_body(self, count: int | None = None) -> None:
        """Read `count` bytes of the body, or all of it."""
        wanted = self.length if count is None else count
        while len(self.body) < wanted:
            part = self.connection.recv(min(65_536, wanted - len(self.body)))
            if not part:
                raise ConnectionError("the client has gone")
            self.body += part

    def tiles(self) -> Iterator[tuple[str, str]]:
        """The tile_uuid and the hash of the content of each tile in the body."""
        at = 0
        while at < len(self.body):
            header_at = at + 4
            content_at = header_at + int.from_bytes(self.body[at:header_at], "big")
            header = json.loads(self.body[header_at:content_at])
            at = content_at + header["disk_bytes"]
            yield header["tile_uuid"], hashlib.sha256(self.body[content_at:at]).hexdigest()

    def store(self) -> list[dict[str, Any]]:
        """Take the whole body and keep its tiles; the results that a good provider answers."""
        self.receive_body()
        results = []
        for tile_uuid, sha256 in self.tiles():
            with self.provider.storing:  # a request that its client gave up may still be at work
                outcome = "duplicate" if tile_uuid in self.provider.stored else "accepted"
                self.provider.stored.setdefault(tile_uuid, sha256)
                self.provider.accepted.update([tile_uuid] * (outcome == "accepted"))
            results.append({"tile_uuid": tile_uuid, "outcome": outcome, "stored_sha256": sha256})
        return results

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def answer(self, status: int, body: bytes | dict[str, Any] = b"", **headers: str) -> None:
        """Send a whole answer; header names are written with underscores."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {"Content-Length": str(len(content))} | {k.replace("_", "-"): v for k, v in headers.items()}
        lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in named.items())]
        self.send("\r\n".join([*lines, "", ""]).encode() + content)

    def close(self) -> None:
        self.closed = True
        self.connection.close()

    def reset(self) -> None:
        """End the connection with a RST."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()


Act = Callable[[Exchange], None]


def obey(exchange: Exchange) -> None:
    """What a good provider does."""
    exchange.answer(200, {"results": exchange.store()})


class ScriptedProvider:
    """A provider on loopback that does `acts`, one for each request, and then `always`."""

    def __init__(self, certificate: Path | None = None) -> None:
        self.stored: dict[str, str] = {}
        self.accepted: Counter[str] = Counter()
        self.storing = threading.Lock()
        self.acts: list[Act] = []
        self.always: Act = obey
        self.requests: list[dict[str, str]] = []
        self._context: ssl.SSLContext | None = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate)
        self._listening = socket.create_server(("127.0.0.1", 0))
        scheme = "http" if certificate is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._listening.getsockname()[1]}"
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        self.ended = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        self.ended.set()
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        with self._guard:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while not self.ended.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            with self._guard:
                self._open.add(connection)
            while not self.ended.is_set():
                exchange = Exchange(self, connection)
                if not exchange.receive_head():
                    break
                self.requests.append(exchange.headers)
                (self.acts.pop(0) if self.acts else self.always)(exchange)
                if exchange.closed:
                    break
        with self._guard:
            self._open.discard(connection)
        connection.close()
