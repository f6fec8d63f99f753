"""`aerotile ready`, as an operator calls it: go, or no-go with every hole and the command that mends it."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path

import pytest
from cli_calls import BAD_CALL, JOB_FAILED, Call
from PIL import Image
from random_seed import random_of
from ready_calls import (
    NOW,
    POINTS,
    READY,
    Place,
    damage,
    expanded,
    gpx,
    named,
    places_of,
    stored_file,
    tile,
    turning_stale,
)

from aerotile.adapters.cli.program import COMMANDS
from aerotile.adapters.clocks import SystemClock
from aerotile.adapters.composition import readiness_parts
from aerotile.domain.readiness.flight_plan import FlightPlan
from aerotile.domain.values.areas import Area
from aerotile.domain.values.corridors import Corridor
from aerotile.domain.values.routes import Route


def test_a_flight_whose_tiles_are_all_there_is_a_go(call: Call, filled: list[Place]) -> None:
    told = call(*READY)
    assert (told.code, told.err, told.out.splitlines()[-1]) == (0, "", "GO")
    facts = call(*READY, "--json").json
    assert (facts["go"], facts["noes"], facts["tiles"]) == (True, [], len(filled))
    assert {one["name"]: one["holds"] for one in facts["conditions"]} == dict.fromkeys(
        ["index", "index and tiles agree", "tiles as described", "clock", "take-off", "room", "record"], True
    )
    assert [(leg["leg"], leg["first_point"], leg["last_point"]) for leg in facts["legs"]] == [
        (1, 1, 2),
        (2, 2, 3),
    ]
    page = (Path(__file__).parents[3] / "docs" / "ready.md").read_text(encoding="utf-8")
    answer = page.partition("## The answer")[2].partition("\n## ")[0]
    first_cells = re.findall(r"^\| (`.*?`) \|", answer, re.MULTILINE)
    assert [key for cell in first_cells for key in re.findall(r"`(\w+)`", cell)] == list(facts)
    for part in (facts["legs"][0], facts["legs"][0]["zooms"][0], facts["conditions"][0]):
        assert set(part) - {"zoom"} <= set(re.findall(r"`(\w+)`", answer))
    conditions = page.partition("## What else must be true")[2].partition("\n## ")[0]
    assert [one["name"] for one in facts["conditions"]] == [
        name for name in re.findall(r"^\| `(.*?)` \|", conditions, re.MULTILINE) if name != "base"
    ]


def test_each_no_is_mended_by_the_command_that_it_names(
    call: Call, filled: list[Place], bring: Call, describe: Call, days_ago: Callable[[int], str]
) -> None:
    missing, damaged, undescribed = filled[0], filled[2], filled[4]

    def noes() -> dict[str, tuple[int, str]]:
        told = call(*READY, "--json")
        assert (told.code, told.json["go"]) == (JOB_FAILED, False)
        assert told.err.startswith("error: no-go: ")
        facts = told.json
        assert {what: len(tiles) for what, tiles in named(facts).items()} == {
            each["what"]: each["tiles"] for each in facts["noes"]
        }
        return {each["what"]: (each["tiles"], each["remedy"]) for each in facts["noes"]}

    assert call("delete", tile(missing)).code == 0
    damage(stored_file(damaged))
    describe([place for place in filled if place != undescribed])
    assert set(noes()) == {"missing", "undescribed"}  # nobody has looked at the damaged tile since
    assert call("verify").code == JOB_FAILED
    found = noes()
    assert {what: tiles for what, (tiles, _) in found.items()} == dict.fromkeys(
        ["missing", "damaged", "undescribed"], 1
    )
    assert named(call(*READY, "--json").json) == {
        "missing": {missing},
        "damaged": {damaged},
        "undescribed": {undescribed},
    }
    brings = (
        "aerotile provision SOURCE... --area ROUTE --corridor 2km --zoom 10-11 --missing-only "
        "--captured-at DATE, then aerotile verify"
    )
    assert found["damaged"][1] == f"aerotile verify --repair, then {brings}"
    assert call("verify", "--repair").code == 3
    assert noes()["missing"][0] == 2
    assert found["missing"][1] == brings
    bring([missing, damaged], days_ago(100))
    assert noes()["not checked"] == (2, "aerotile verify")
    assert call("verify").code == 0
    assert set(noes()) == {"undescribed"}
    assert found["undescribed"][1] == (
        "aerotile describe FILE.npz --model NETWORK, then aerotile index build FILE.npz"
    )
    describe(filled)
    assert call(*READY).code == 0


def test_a_tile_is_stale_by_the_time_over_its_leg(call: Call, filled: list[Place]) -> None:
    turning = turning_stale(call, filled[0])
    take_off = turning - timedelta(hours=2)
    fast = call(*READY, "--at", take_off.isoformat(), "--speed", "100km/h", "--json")
    assert (fast.code, fast.json["go"]) == (0, True)
    # 25 km and 24 km at 5 m/s are 84 and 79 minutes: the second leg ends after the tiles turned stale.
    slow = call(*READY, "--at", take_off.isoformat(), "--speed", "5m/s", "--json")
    assert slow.code == JOB_FAILED
    assert [leg["ready"] for leg in slow.json["legs"]] == [True, False]
    assert {each["what"] for each in slow.json["noes"]} == {"stale"}
    # The same by the times of the route, which --at shifts.
    hours = [NOW + timedelta(hours=hour) for hour in (0, 1, 3)]
    Path("route.gpx").write_text(gpx(POINTS, hours))
    timed = call(*READY, "--at", take_off.isoformat(), "--json").json
    assert timed["pace"] == "by the times of the route"
    assert [leg["ready"] for leg in timed["legs"]] == [True, False]
    assert datetime.fromisoformat(timed["legs"][1]["ends_at"]) == take_off + timedelta(hours=3)


def test_a_diversion_is_judged_as_the_route_is(call: Call, filled: list[Place]) -> None:
    Path("field.kml").write_text(
        "<kml><Placemark><LineString><coordinates>11.4,48.3 11.9,48.35</coordinates></LineString>"
        "</Placemark></kml>"
    )
    told = call(*READY, "--diversion", "field.kml", "--json")
    facts = told.json
    assert told.code == JOB_FAILED
    assert [(leg["route"], leg["ready"]) for leg in facts["legs"]] == [
        ("route", True),
        ("route", True),
        ("field", False),
    ]
    assert facts["legs"][2]["begins_at"] == facts["legs"][1]["ends_at"]
    assert named(facts) == {
        "missing": set(places_of([(11.4, 48.3), (11.9, 48.35)], 2_000.0, (10, 11))) - set(filled)
    }


def test_an_answer_whose_picture_can_not_be_written_is_told_all_the_same(
    call: Call, filled: list[Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    import aerotile.adapters.cli.coverage_map as coverage_map

    def full(picture: object) -> bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(coverage_map, "encode_png", full)
    result = call(*READY, "--map", "go.png")
    assert (result.code, result.out.splitlines()[-1] in ("GO", "NO-GO")) == (JOB_FAILED, True)
    assert result.err.startswith("error: go.png can't be written: No space left on device")
    assert call(*READY, "--map", "go.png", "--json").json["go"] in (True, False)


def test_the_picture_shows_every_fault_and_the_legs(call: Call, filled: list[Place], describe: Call) -> None:
    def colours(*arguments: str) -> set[tuple[int, ...]]:
        call(*READY, "--map", "go.png", *arguments)
        with Image.open("go.png") as image:
            assert image.format == "PNG"
            return {pixel for _, pixel in image.getcolors(1 << 20)}

    missing, damaged, undescribed, stale = (220, 0, 0), (140, 0, 90), (60, 110, 220), (255, 176, 64)
    assert (0, 112, 60) in colours()
    assert not colours() & {missing, damaged, undescribed, stale}
    call("delete", tile(filled[0]))
    damage(stored_file(filled[1]))
    call("verify")
    describe([place for place in filled if place != filled[2]])
    assert colours() >= {missing, damaged, undescribed, (0, 0, 0)}
    assert stale in colours("--at", (NOW + timedelta(days=300)).isoformat())


def test_room_and_record_and_clock_are_conditions(
    call: Call, filled: list[Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    def noes(*arguments: str) -> dict[str, str]:
        told = call(*READY, "--json", *arguments)
        return {one["name"]: one["remedy"] for one in told.json["conditions"] if not one["holds"]}

    assert re.search(r"budget\.|disk", noes("--makes", "900 TiB")["room"])
    assert noes("--makes", "1 MiB") == {}
    assert noes("--at", (datetime.now(timezone.utc) - timedelta(hours=23)).isoformat()) == {}
    past = (NOW - timedelta(days=365)).isoformat()
    assert noes("--at", past) == {"take-off": "give the time of this flight: --at TIME"}
    assert "no: take-off: " in call(*READY, "--at", past).out
    with monkeypatch.context() as patch:
        patch.setattr(SystemClock, "now", lambda _: datetime(2001, 1, 1, tzinfo=timezone.utc))
        assert noes("--at", NOW.isoformat())["clock"].startswith("set the clock")
    shutil.rmtree("aerotile-data/record")
    Path("aerotile-data/record").write_text("")
    assert noes()["record"].startswith("make room, and let this user write to")


@pytest.mark.parametrize(
    ("of_share", "of_budget", "on_disk", "room", "where"),
    [
        (50, 70, 90, 80, "of the onboard share"),
        (50, 40, 90, 70, "of the budget"),
        (50, 40, 10, 40, "on the disk"),
        (-20, 70, 90, 10, "of the onboard share"),
        (-40, 70, 90, 0, "of the onboard share"),
        (-40, -1, 90, 0, "of the budget"),
    ],
)
def test_a_limit_that_is_passed_leaves_no_more_room_than_a_write_would_find(
    of_share: int, of_budget: int, on_disk: int, room: int, where: str
) -> None:
    found = readiness_parts.room_for_onboard(
        of_share=of_share, of_budget=of_budget, on_disk=on_disk, evictable=30
    )
    assert found[:2] == (room, where)


BAD_CALLS: list[tuple[list[str], str]] = [
    (["--route", "nothing.gpx"], "nothing.gpx"),
    (["--route", "polygon.geojson"], "holds no line to fly along (1 x polygon)"),
    (["--route", "point.gpx"], "holds no line to fly along"),
    (["--route", "picture.jpg"], "picture.jpg: it is a JPEG"),
    (["--route", "empty.gpx"], "empty.gpx: it is empty"),
    (["--route", "far.gpx"], "put a point between them"),
    (["--corridor", "5"], "'5'"),
    (["--corridor", "0km"], "more than 0"),
    (["--corridor", "-1km"], "'-1km'"),
    (["--zoom", "17-15"], "from the lower to the higher"),
    (["--zoom", "23"], "within 0..22"),
    (["--zoom", "22", "--corridor", "100km"], "fewer zooms or a narrower corridor"),
    (["--at", "2026-06-01T08:00"], "offset"),
    (["--at", "9999-12-31T23:59:59Z"], "lasts too long"),
    (["--speed", "0m/s"], "'0m/s'"),
    (["--speed", "fast"], "'fast'"),
    (["--makes", "much"], "much"),
    (["--diversion", "point.gpx"], "point.gpx holds no line"),
    (["--map", "go.jpg"], "is no name of a PNG"),
    (["--map", "nowhere/go.png"], "can't be written"),
    (["--root", "nowhere"], "nowhere — correct --root"),
]


@pytest.mark.usefixtures("places")
def test_a_bad_call_ends_in_one_line(call: Call) -> None:
    ring = [[[0, 0], [1, 0], [1, 1], [0, 0]]]
    Path("polygon.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": ring}))
    Path("point.gpx").write_text(gpx(POINTS[:1]))
    Path("far.gpx").write_text(gpx([(0, 0), (170, 0)]))
    Path("picture.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    Path("empty.gpx").write_text("")
    for arguments, reason in BAD_CALLS:
        # In place of those of `READY`: an option that takes one value is refused a second one.
        options = dict(zip(READY[1::2], READY[2::2], strict=True)) | dict(
            zip(arguments[::2], arguments[1::2], strict=True)
        )
        told = call("ready", *itertools.chain(*options.items()))
        assert (told.code, reason in told.error) == (BAD_CALL, True), told.err


def test_recalled_tiles_are_mended_by_what_their_list_lets_in(
    call: Call,
    filled: list[Place],
    jpeg: Callable[..., bytes],
    describe: Call,
    days_ago: Callable[[int], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert call("base", "keygen", "recall.key").code == 0
    monkeypatch.setenv("AEROTILE_RECALL_PUBLIC_KEYS", Path("recall.key.pub").read_text().strip())

    def recall(number: int, *options: str) -> None:
        made = call("recall", "make", f"{number}.json", "--number", number, "--reason", "forged", *options)
        assert made.code == 0, made.err
        assert call("recall", "sign", f"{number}.json", "--key", "recall.key").code == 0
        assert call("recall", "apply", f"{number}.json").code == 0

    def missing() -> tuple[int, str]:
        (no,) = call(*READY, "--json").json["noes"]
        assert no["what"] == "missing"
        return no["tiles"], no["remedy"]

    contents = {place: stored_file(place).read_bytes() for place in filled}
    first = next(place for place in filled if list(contents.values()).count(contents[place]) == 1)
    recall(7, "--digest", hashlib.sha256(contents[first]).hexdigest())
    tiles, remedy = missing()
    assert tiles == 1
    assert remedy.endswith(
        "; what recall list 7 names (aerotile recall explain TILE): aerotile delete TILE, imagery that the "
        "list does not name, by its bytes and date; ground that it names: aerotile recall make, a newer list "
        "without that ground"
    )
    assert call("delete", tile(first)).code == 0
    other = Path("other", *map(str, first)).with_suffix(".jpg")
    other.parent.mkdir(parents=True)
    other.write_bytes(jpeg(200))
    assert other.read_bytes() != contents[first]
    assert call("ingest", "other", "--captured-at", days_ago(1)).code == 0
    assert call("verify").code == 0
    describe(filled, {first: jpeg(200)})  # the index has the descriptor of the recalled picture
    assert call(*READY).code == 0
    recall(8, "--bbox", "10,47,12,49")
    assert missing()[0] == len(filled)
    assert call("delete", tile(first)).code == 0
    assert call("ingest", "other", "--captured-at", days_ago(1)).code == JOB_FAILED
    recall(9)
    assert missing()[0] == 1
    assert "recall" not in missing()[1]


def test_every_command_and_option_of_a_remedy_exists(call: Call) -> None:
    source = Path(readiness_parts.__file__).read_text(encoding="utf-8")
    texts = set(re.findall(r"aerotile ((?:base |index )?[a-z]+)((?: --[a-z-]+)?)", source))
    texts = {text for text in texts if text[0] in COMMANDS or text[0].split()[0] in ("base", "index")}
    assert {command for command, _ in texts} >= {"provision", "verify", "index build", "base sign", "amend"}
    for command, option in texts:
        shown = call(*command.split(), "--help")
        assert (shown.code, option.strip() in shown.out) == (0, True), (command, option)
    plan = FlightPlan(Route(POINTS), 2_000.0, (10, 11), NOW, (Route(POINTS),))
    remedies = [
        remedy
        for with_base, with_store in ((True, True), (True, False), (False, True))
        for remedy in readiness_parts._remedies(
            plan, with_base=with_base, with_store=with_store, recalling=7
        ).values()
    ]
    for remedy in remedies:
        calls = re.findall(r"aerotile ((?:base |index )?[a-z]+)([^,;]*)", remedy)
        assert calls, remedy
        for command, rest in calls:
            shown = call(*command.split(), "--help")
            assert shown.code == 0, remedy
            assert all(option in shown.out for option in re.findall(r"--[a-z-]+", rest)), remedy


LONG = [(11.0, 48.0), (12.5, 49.0), (14.0, 49.5), (16.5, 49.2), (17.0, 49.0)]


def test_of_500_km_every_hole_is_named_and_the_figures_are_those_of_a_count_by_hand(
    call: Call, bring: Call, describe: Call, days_ago: Callable[[int], str]
) -> None:
    drawn = random_of("500 km")
    Path("long.gpx").write_text(gpx(LONG))
    every = places_of(LONG, 5_000.0, (10, 11))
    state = {
        place: drawn.choice(["whole"] * 6 + ["hole", "old", "damaged", "undescribed"]) for place in every
    }
    bring([place for place in every if state[place] not in ("hole", "old")], days_ago(30))
    old = [place for place in every if state[place] == "old"]
    bring(old, days_ago(300))
    describe([place for place in every if state[place] not in ("hole", "undescribed")])
    for place in every:
        if state[place] == "damaged":
            damage(stored_file(place))
    call("verify")
    turning = turning_stale(call, old[0])
    arguments = ["ready", "--route", "long.gpx", "--corridor", "5km", "--zoom", "10-11", "--speed", "10m/s"]
    # The flight takes 13 hours: old tiles turn stale in its middle.
    arguments += ["--at", (turning - timedelta(hours=6)).isoformat()]
    told = call(*arguments, "--json", "--map", "go.png")
    assert told.code == JOB_FAILED
    words = {"hole": "missing", "damaged": "damaged", "undescribed": "undescribed", "old": "stale"}
    noes: dict[str, set[Place]] = {}
    for leg, (start, end) in zip(told.json["legs"], pairwise(LONG), strict=True):
        stale = datetime.fromisoformat(leg["ends_at"]) > turning
        area = Area((Corridor([start, end], 5_000.0),))
        for zoom in leg["zooms"]:
            of_leg = [place for place in every if place[0] == zoom["zoom"] and area.touches(*place)]
            expected: dict[str, set[Place]] = {}
            for place in of_leg:
                what = state[place]
                if what != "whole" and (what != "old" or stale):
                    expected.setdefault(words[what], set()).add(place)
            found = {f["what"]: {e for text in f["places"] for e in expanded(text)} for f in zoom["faults"]}
            assert found == expected
            counts = Counter({what: len(tiles) for what, tiles in expected.items()})
            wanted, missing = len(of_leg), counts["missing"]
            assert zoom["wanted"] == wanted
            assert zoom["present"] == wanted - missing
            assert zoom["whole"] == wanted - missing - counts["damaged"]
            assert zoom["fresh"] == wanted - missing - counts["stale"]
            assert zoom["described"] == wanted - missing - counts["undescribed"]
            assert zoom["ready"] == wanted - counts.total()
            for what, tiles in expected.items():
                noes.setdefault(what, set()).update(tiles)
    assert {each["what"]: each["tiles"] for each in told.json["noes"]} == {
        what: len(tiles) for what, tiles in noes.items()
    }
    assert told.json["tiles"] == len(every)
    text = call(*arguments)
    assert text.code == JOB_FAILED
    assert len(text.out.splitlines()) < 80
    for what, tiles in noes.items():
        assert f"no: {len(tiles)} tiles {what} — " in text.out
