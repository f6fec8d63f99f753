"""A bad link to the reference provider breaks, slows and silences connections as it is told."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from provider_requests import ask_for_votes, held, send_to

from aerotile.adapters.provider.behaviour import FaultTarget
from aerotile.adapters.provider.link import BadLink, Breakage, Direction, LinkConditions
from aerotile.adapters.provider.server import ReferenceProvider

pytestmark = pytest.mark.usefixtures("nothing_is_logged")


@pytest.fixture
def link(provider: ReferenceProvider) -> Iterator[BadLink]:
    with BadLink("127.0.0.1", provider.port) as link:
        yield link


def test_a_good_link_carries_everything(link: BadLink, batch: bytes) -> None:
    assert send_to(f"http://127.0.0.1:{link.port}", batch).status_code == 200
    assert link.connections == 1


def test_a_link_breaks_every_nth_connection(link: BadLink, provider: ReferenceProvider) -> None:
    link.conditions = LinkConditions(breakage=Breakage.RESET, break_every=2, break_after_bytes=100)
    url = f"http://127.0.0.1:{link.port}"
    assert ask_for_votes(url).status_code == 200
    # A request without a body is one write: a client still sending may lose the reset, and read an end.
    with pytest.raises(httpx.ReadError):
        ask_for_votes(url)
    assert ask_for_votes(url).status_code == 200
    assert provider.requests(FaultTarget.VOTES) == 2


def test_a_link_that_ends_the_answer_lets_the_request_through(
    link: BadLink, provider: ReferenceProvider, batch: bytes
) -> None:
    link.conditions = LinkConditions(
        breakage=Breakage.END, break_after_bytes=10, break_in=Direction.TO_CLIENT
    )
    with pytest.raises(httpx.RemoteProtocolError):
        send_to(f"http://127.0.0.1:{link.port}", batch)
    assert held(provider) == 3


def test_a_silent_link_tells_nobody(link: BadLink, batch: bytes) -> None:
    link.conditions = LinkConditions(breakage=Breakage.SILENCE)
    with pytest.raises(httpx.ReadTimeout):
        send_to(f"http://127.0.0.1:{link.port}", batch, timeout_s=0.3)


def test_a_silent_connection_whose_client_gives_up_stays_until_the_link_is_closed(
    link: BadLink, batch: bytes
) -> None:
    url = f"http://127.0.0.1:{link.port}"
    link.conditions = LinkConditions(breakage=Breakage.SILENCE)
    with pytest.raises(httpx.ReadTimeout):
        send_to(url, batch, timeout_s=0.3)
    link.conditions = LinkConditions()
    assert send_to(url, batch).status_code == 200  # by now the link has seen the end of the first client
    gc.collect()  # a relay that only its own loop refers to would be destroyed here, which asyncio logs


def test_a_slow_link_takes_its_time_and_loses_nothing(link: BadLink, batch: bytes) -> None:
    link.conditions = LinkConditions(bytes_per_s=len(batch) / 0.3)
    answer = send_to(f"http://127.0.0.1:{link.port}", batch)
    assert len(answer.json()["results"]) == 3
    assert answer.elapsed.total_seconds() > 0.2


def test_a_link_to_nowhere_resets() -> None:
    with BadLink("127.0.0.1", 9) as link, pytest.raises(httpx.TransportError):
        send_to(f"http://127.0.0.1:{link.port}", b"any")


def test_a_relay_that_is_cancelled_before_it_began_closes_its_clients_side(tmp_path: Path) -> None:
    async def cancel_at_once() -> bool:
        accepted: list[asyncio.StreamWriter] = []

        server = await asyncio.start_unix_server(
            lambda _, writer: accepted.append(writer), tmp_path / "socket"
        )
        client = await asyncio.open_unix_connection(tmp_path / "socket")
        link = BadLink("127.0.0.1", 1)
        link._accept(*client)
        (relay,) = link._relays
        relay.cancel()
        await asyncio.gather(relay, return_exceptions=True)
        for writer in accepted:
            writer.transport.abort()
        server.close()
        link._listening.close()
        return client[1].transport.is_closing()

    assert asyncio.run(cancel_at_once())
