"""What the map page refuses: names of other servers, paths out of it, parameters that mean nothing."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from map_sites import NORTH, TILES, WEST, ZOOM, make_site, served

from aerotile.adapters.map_page.guard import KnownHosts

TILE = f"/tiles/{ZOOM}/{WEST}/{NORTH}"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    site = make_site(tmp_path_factory.mktemp("site") / "root", TILES[:40])
    with served(site, names=["Ground.local"]) as url:
        yield int(url.rpartition(":")[2])


def asked(
    port: int, path: str, *hosts: str, method: str = "GET"
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """The answer to a request whose path goes out as it is, with these Host headers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection._validate_path = lambda url: None  # type: ignore[attr-defined] # what a client should not send
    try:
        connection.putrequest(method, path, skip_host=True)
        for host in hosts:
            connection.putheader("Host", host)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:80", "127.0.0.1:8087", "[::1]:1", "127.9.9.9", "ground.LOCAL.:8087"]
)
def test_it_answers_to_names_of_its_own(port: int, host: str) -> None:
    status, _, body = asked(port, f"{TILE}.jpg", host)
    assert (status, body[:2]) == (200, b"\xff\xd8")


@pytest.mark.parametrize(
    "hosts",
    [
        ("evil.example",),
        ("127.0.0.1.evil.example",),
        ("localhost.evil.example:8087",),
        ("192.168.7.2:8087",),
        ("0.0.0.0",),
        ("",),
        ("localhost/",),
        ("user@localhost",),
        ("localhost:port",),
        ("[::1",),
        ("2130706433",),
    ],
)
def test_another_name_is_refused_whatever_is_asked(port: int, hosts: tuple[str, ...]) -> None:
    for path in ("/", f"{TILE}.jpg", "/catalog", "/base.pmtiles", "/metrics", "/nothing"):
        status, _, body = asked(port, path, *hosts)
        assert (status, body) == (
            421,
            b"this server is not called by that name; name it with aerotile serve --name NAME\n",
        )


@pytest.mark.parametrize("hosts", [(), ("localhost", "evil.example"), ("localhost", "localhost")])
def test_no_name_and_two_names_are_no_request(port: int, hosts: tuple[str, ...]) -> None:
    status, _, body = asked(port, f"{TILE}.jpg", *hosts)
    assert (status in (400, 421), b"\xff\xd8" in body) == (True, False)


def test_where_others_reach_it_any_address_may_be_its_own_and_no_name() -> None:
    hosts = KnownHosts()
    hosts.bind("0.0.0.0")
    assert hosts.know("192.168.7.2:8087")
    assert hosts.know("[fe80::1]:8087")
    assert not hosts.know("evil.example")


@pytest.mark.parametrize(
    "path",
    [
        "/static/../../../../etc/passwd",
        "/static/..%2f..%2f..%2fetc%2fpasswd",
        "/static/%2e%2e/page.html",
        "/static/leaflet/../page.html",
        "/static//etc/passwd",
        "/static/page.html%00.js",
        "/static/",
        "/static",
        "/page.html",
        "//static/page.js",
        "/tiles/../catalog",
        f"{TILE}.jpg/",
        f"{TILE}.png",
        "/tiles/10/545/../../../etc/passwd",
        "/base.pmtiles/..",
        "/generations/000001/tiles.pmtiles",
        "/aerotile.toml",
        "/record/record-000001.jsonl",
        "/docs",
        "/openapi.json",
    ],
)
def test_a_path_leads_to_nothing_but_views(port: int, path: str) -> None:
    status, _, body = asked(port, path, "localhost")
    assert status in (400, 404)
    assert body.count(b"\n") == 1
    assert b"root:" not in body


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("/tiles/23/0/0.jpg", "the zoom must be a whole number within 0..22, got '23'"),
        ("/tiles/-1/0/0.jpg", "the zoom must be a whole number within 0..22, got '-1'"),
        ("/tiles/1/2/0.jpg", "x must be a whole number within 0..1, got '2'"),
        ("/tiles/1/0/1e0.jpg", "y must be a whole number within 0..1, got '1e0'"),
        (f"/tiles/1/0/{'9' * 500}.jpg", "y must be a whole number within 0..1, got '999"),
        ("/tiles/1/0/%D9%A1.jpg", "y must be a whole number within 0..1, got '\u0661'"),
        ("/tiles/a/b/c", "the zoom must be a whole number within 0..22, got 'a'"),
        ("/coverage/10?bbox=1,2,3", "bbox must be MIN_LON,MIN_LAT,MAX_LON,MAX_LAT in degrees"),
        ("/coverage/10?bbox=nan,0,1,1", "bbox must be"),
        ("/coverage/10?bbox=1_0,0,11,1", "bbox must be"),
        ("/coverage/10?bbox=%D9%A1,0,11,1", "bbox must be"),
        ("/coverage/10?bbox=170,0,-170,1", "a box across the antimeridian is two"),
        ("/coverage/10?bbox=0,0,1,1e999", "bbox must be"),
        ("/coverage/10?finest=99", "finest must be a whole number within 0..22, got '99'"),
        ("/coverage/10?finest=1&finest=2", "finest is given twice"),
        ("/coverage/10?at=2026-05-01", "no parameter 'at' here; there are: bbox, finest"),
        ("/freshness/10?at=yesterday", "at must be a date such as 2026-05-01 or 2026-05-01T12:00:00Z"),
        ("/freshness/10?at=2026-05-01T12:00:00", "at must be a date"),
        ("/freshness/10?at=99999-01-01", "at must be a date"),
        ("/record?since=2026-05-02&until=2026-05-01", "since is later than until"),
        ("/record?limit=9", "no parameter 'limit' here; there are: since, until"),
        ("/catalog?x=1", "no parameter 'x' here; there are: none"),
        ("/base.pmtiles?x=1", "no parameter 'x' here; there are: none"),
        ("/health?%0aforged=1", r"no parameter '\nforged' here; there are: none"),
    ],
)
def test_nonsense_is_refused_in_one_line(port: int, path: str, line: str) -> None:
    status, headers, body = asked(port, path, "localhost")
    text = body.decode("utf-8")
    assert (status, line in text) == (400, True), text
    assert text.count("\n") == 1
    assert len(text) < 300
    assert headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_nothing_is_written(port: int, method: str) -> None:
    for path in ("/", f"{TILE}.jpg", "/catalog", "/base.pmtiles", "/static/page.js"):
        status, headers, body = asked(port, path, "localhost", method=method)
        assert (status, headers["Allow"]) == (405, "GET, HEAD") or (status, headers["Allow"]) == (
            405,
            "HEAD, GET",
        )
        assert body.decode() == f"{method} is not answered here; {path} takes GET, HEAD\n"


def test_every_answer_forbids_a_browser_to_load_from_elsewhere(port: int) -> None:
    for path in ("/", "/catalog", f"{TILE}.jpg", "/tiles/10/0/0.jpg", "/nothing", "/tiles/a/b/c"):
        _, headers, _ = asked(port, path, "localhost")
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        allowed = {source for rule in policy.split(";") for source in rule.split()[1:]}
        assert allowed == {"'none'", "'self'", "data:"}
        assert policy.count("data:") == 1  # pictures alone
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_no_file_of_the_page_names_another_server() -> None:
    import aerotile.adapters.map_page as map_page

    folder = Path(map_page.__file__).parent / "static"
    files = list(folder.iterdir())
    assert len(files) > 8
    for path in files:
        addresses = set(re.findall(r"(?:https?:)?//[a-z][\w.]+[^\s\"'<]*", path.read_text("utf-8")))
        assert addresses <= {"http://www.w3.org/2000/svg"}, path.name
