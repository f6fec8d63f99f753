"""An IP link with a rate, a delay and a queue, between two network namespaces of its own (root, Linux).

Each namespace has one end of the link: a TUN device whose packets this process carries to the other end,
late and no faster than the rate. TCP on both sides is the kernel's, so that windows, slow start and losses
are real; netem, which would do the same, is missing from many kernels. Nothing leaves the two namespaces.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import threading
import time
from collections import deque

import attrs

_TUNSETIFF = 0x400454CA
_IFF_TUN = 0x0001
_IFF_NO_PI = 0x1000
_MTU = 1500
_PACKETS_AT_ONCE = 64
_LONGEST_WAIT_S = 0.05


@attrs.define
class _Direction:
    """Packets on their way from one end to the other."""

    source: int
    sink: int
    free_at: float = 0.0
    """When the last packet taken in has left the queue for the wire."""
    carried_bytes: int = 0
    dropped_packets: int = 0
    under_way: deque[tuple[float, bytes]] = attrs.field(factory=deque)


class ShapedLink:
    """A link from `start` to `close`: namespaces `near` and `far`, addresses 192.0.2.1 and 192.0.2.2.

    The queue in front of the wire holds `queue_bytes`, what comes to a full one is dropped; by default that
    is one bandwidth-delay product, as a router would have it.
    """

    near_address = "192.0.2.1"
    far_address = "192.0.2.2"

    def __init__(
        self,
        *,
        bits_per_s: float,
        round_trip_s: float,
        queue_bytes: int | None = None,
        congestion_control: str = "cubic",
    ) -> None:
        """`congestion_control` as the kernel names it; cubic is Linux's default."""
        self.bits_per_s = bits_per_s
        self.round_trip_s = round_trip_s
        self.queue_bytes = queue_bytes or max(64 * _MTU, int(bits_per_s / 8 * round_trip_s))
        self.congestion_control = congestion_control
        self.near = f"aerotile-near-{os.getpid()}"
        self.far = f"aerotile-far-{os.getpid()}"
        self._directions: list[_Direction] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._carry, name="shaped-link", daemon=True)

    @property
    def carried_bytes(self) -> tuple[int, int]:
        """IP bytes carried so far: near to far, far to near."""
        there, back = self._directions
        return there.carried_bytes, back.carried_bytes

    @property
    def dropped_packets(self) -> int:
        """Packets that met a full queue."""
        return sum(direction.dropped_packets for direction in self._directions)

    def command(self, namespace: str, *arguments: str) -> list[str]:
        """A command that runs in one of the namespaces."""
        return ["ip", "netns", "exec", namespace, *arguments]

    def start(self) -> None:
        """Make the namespaces and carry packets from now on. Raises `OSError`, `CalledProcessError`."""
        ends = [
            self._make_end(self.near, self.near_address, self.far_address),
            self._make_end(self.far, self.far_address, self.near_address),
        ]
        self._directions = [_Direction(*ends), _Direction(*reversed(ends))]
        self._thread.start()

    def close(self) -> None:
        """Remove everything that `start` made."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        for direction in self._directions:
            os.close(direction.source)
        for namespace in (self.near, self.far):
            subprocess.run(["ip", "netns", "del", namespace], check=False, capture_output=True)

    def __enter__(self) -> ShapedLink:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _make_end(self, namespace: str, address: str, peer: str) -> int:
        """Make a namespace with a TUN device in it; the descriptor of the device."""
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        # %d: the kernel picks a number that is free.
        request = struct.pack("16sH22x", b"aerotile%d", _IFF_TUN | _IFF_NO_PI)
        name = fcntl.ioctl(device, _TUNSETIFF, request)[:16].rstrip(b"\0").decode()
        _ip("netns", "add", namespace)
        _ip("link", "set", "dev", name, "netns", namespace)
        _ip("-n", namespace, "link", "set", "dev", "lo", "up")
        _ip("-n", namespace, "address", "add", address, "peer", peer, "dev", name)
        _ip("-n", namespace, "link", "set", "dev", name, "mtu", str(_MTU), "up")
        route = ("route", "replace", peer, "dev", name, "src", address)
        _ip("-n", namespace, *route, "congctl", self.congestion_control)
        return device

    def _carry(self) -> None:
        while not self._stopping.is_set():
            for direction in self._directions:
                self._take_in(direction)
                _hand_over(direction)
            due = min((d.under_way[0][0] for d in self._directions if d.under_way), default=float("inf"))
            wait = min(max(0.0, due - time.monotonic()), _LONGEST_WAIT_S)
            # Not poll, whose timeout is in whole milliseconds: a packet lasts 0.6 ms at 20 Mbit/s.
            select.select([d.source for d in self._directions], [], [], wait)

    def _take_in(self, direction: _Direction) -> None:
        for _ in range(_PACKETS_AT_ONCE):
            try:
                packet = os.read(direction.source, 65_536)
            except BlockingIOError:
                return
            now = time.monotonic()
            queued_bytes = max(0.0, direction.free_at - now) * self.bits_per_s / 8
            if queued_bytes + len(packet) > self.queue_bytes:
                direction.dropped_packets += 1
                continue
            direction.free_at = max(direction.free_at, now) + len(packet) * 8 / self.bits_per_s
            direction.under_way.append((direction.free_at + self.round_trip_s / 2, packet))


def _hand_over(direction: _Direction) -> None:
    now = time.monotonic()
    while direction.under_way and direction.under_way[0][0] <= now:
        _, packet = direction.under_way.popleft()
        os.write(direction.sink, packet)
        direction.carried_bytes += len(packet)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
