"""Opening a server of tiles: by the address of its tiles, or by its WMTS capabilities."""

from __future__ import annotations

from collections.abc import Callable, Collection

from ...domain.errors import ImagerySourceError
from ...domain.policies.file_kinds import file_kind
from ...domain.policies.tile_fetching import AnswerKind, judge_answer
from ...domain.ports.imagery_source import ImageryFacts, ReadPlace, TilePlace
from .address import ServerAddress, TileAddress, has_numbers
from .capabilities import ServiceLayer, read_capabilities
from .exchange import Exchange
from .service_source import ServiceTerms as ServiceTerms
from .service_source import TileServiceSource


def open_tile_service(
    name: str,
    terms: ServiceTerms,
    *,
    tile_size: int,
    picture: Callable[[TilePlace, bytes, Collection[TilePlace]], ReadPlace],
) -> TileServiceSource:
    """The server at an address of tiles, or at one of WMTS capabilities with `#LAYER` behind it.

    Capabilities are fetched with one request. Raises `ImagerySourceError`.
    """
    if has_numbers(name):
        address, layer = TileAddress(name, terms.token), None
    else:
        address, layer = _of_capabilities(name, terms, tile_size)
    return TileServiceSource(
        address,
        terms,
        picture=picture,
        extents=None if layer is None else layer.extents,
        facts=None if layer is None else _facts(layer),
        name=name,
    )


def _of_capabilities(name: str, terms: ServiceTerms, tile_size: int) -> tuple[TileAddress, ServiceLayer]:
    document, _, layer_name = name.partition("#")
    address = ServerAddress(document, terms.token)
    layer = read_capabilities(
        _fetched(address, terms),
        name=document,
        url=document,
        layer=layer_name or None,
        tile_size=tile_size,
        hide=address.without_token,
    )
    tiles = TileAddress(layer.template, terms.token, layer.matrices)
    if tiles.origin != address.origin:
        raise ImagerySourceError(
            f"{document} says that its tiles lie on another server, {tiles.server}",
            remedy=f"name the address of its tiles, if they are wanted from there: {layer.template}",
        )
    return tiles, layer


def _fetched(address: ServerAddress, terms: ServiceTerms) -> bytes:
    exchange = Exchange(
        address,
        connections=1,
        timeout_s=terms.request_timeout_s,
        clock=terms.clock,
        user_agent=terms.user_agent,
    )
    try:
        answer = exchange.get(address.whole_url)
    finally:
        exchange.close()
    if answer.problem is not None:
        raise ImagerySourceError(
            f"{address.server} does not answer: {answer.problem}", remedy="check the address"
        )
    if answer.garbage is not None:
        raise ImagerySourceError(
            f"{address.template} answers with {answer.garbage}", remedy="check the address"
        )
    if judge_answer(answer.status, answer.body).kind is AnswerKind.REFUSED:
        raise ImagerySourceError(
            f"{address.server} refuses this client (status {answer.status})",
            remedy="renew the token" if address.token else "name a --token-file, or ask the server's owner",
        )
    if answer.status != 200:
        raise ImagerySourceError(
            f"{address.template} answers with status {answer.status}", remedy="check the address"
        )
    what, _ = file_kind(answer.body)
    if "XML" not in what and not answer.body.lstrip().startswith(b"<"):
        raise ImagerySourceError(
            f"{address.template} is no address of tiles, and its answer, no WMTS capabilities, {what}",
            remedy="name the address of tiles as https://host/{z}/{x}/{y}.jpg",
        )
    return answer.body


def _facts(layer: ServiceLayer) -> ImageryFacts:
    return ImageryFacts(
        kind="WMTS server", name=layer.title, attribution=layer.attribution, licence=layer.licence
    )
