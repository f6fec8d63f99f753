from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from cli_calls import Call

TILES = [f"imported/6/0/{y}" for y in range(40)]


@pytest.fixture
def descriptors() -> npt.NDArray[np.float32]:
    return np.random.default_rng(5).normal(size=(len(TILES), 16)).astype(np.float32)


@pytest.fixture
def build(call: Call, descriptors: npt.NDArray[np.float32]) -> Callable[..., Any]:
    def run(*arguments: str, factor: float = 1.0) -> Any:
        np.savez("d.npz", tiles=TILES, descriptors=descriptors * np.float32(factor))
        return call("index", "build", "--no-store-check", "d.npz", "--model", "demo-16", "--json", *arguments)

    return run


def test_a_search_finds_the_tile_that_was_described(
    call: Call, build: Callable[..., Any], descriptors: npt.NDArray[np.float32]
) -> None:
    build()
    np.save("q.npy", descriptors[7] + np.float32(0.01))
    facts = call("search", "q.npy", "-k", "3", "--json").json
    assert (facts["descriptor_model"], facts["metric"]) == ("demo-16", "l2")
    assert facts["hits"][0]["tile"] == TILES[7]
    distances = [hit["distance"] for hit in facts["hits"]]
    assert len(distances) == 3
    assert distances == sorted(distances)


def test_a_search_for_a_person_is_a_table(
    call: Call, build: Callable[..., Any], descriptors: npt.NDArray[np.float32]
) -> None:
    build()
    np.save("q.npy", descriptors[0])
    lines = call("search", "q.npy", "-k", "2").out.splitlines()
    assert lines[0].split() == ["rank", "tile", "distance", "lat", "lon"]
    assert lines[1].split()[:2] == ["1", TILES[0]]


def test_a_search_asks_no_database(
    call: Call, build: Callable[..., Any], descriptors: npt.NDArray[np.float32]
) -> None:
    build()
    np.save("q.npy", descriptors[0])
    gone = "postgresql://nobody@127.0.0.1:1/none"
    assert call("search", "q.npy", AEROTILE_DATABASE_DSN=gone).code == 0


def test_a_query_of_one_row_and_of_double_precision_is_read(
    call: Call, build: Callable[..., Any], descriptors: npt.NDArray[np.float32]
) -> None:
    build()
    np.save("q.npy", descriptors[2:3].astype(np.float64))
    assert call("search", "q.npy", "-k1", "--json").json["hits"][0]["tile"] == TILES[2]


def test_a_search_near_a_place_names_its_tiles_alone_and_all_of_them(
    call: Call, build: Callable[..., Any], descriptors: npt.NDArray[np.float32]
) -> None:
    build()
    np.save("q.npy", descriptors[7])
    near = call("search", "q.npy", "-k", "50", "--near", "0.1,-177,10km", "--json").json["hits"]
    assert [hit["tile"] for hit in near] == [TILES[31]]  # the equator is its southern edge
    assert call("search", "q.npy", "-k", "50", "--near", "0,-177,1km", "--json").json["hits"] != near
    assert call("search", "q.npy", "--near", "0.1,-177,10km", "--zoom", "7", "--json").json["hits"] == []
    assert len(call("search", "q.npy", "-k", "50", "--near", "60,-177,2000 km", "--json").json["hits"]) > 5


def test_a_search_in_an_area_names_the_tiles_of_files_and_boxes_alone(
    call: Call, build: Callable[..., Any], descriptors: npt.NDArray[np.float32]
) -> None:
    build()
    np.save("q.npy", descriptors[7])
    Path("r.gpx").write_text(
        '<gpx version="1.1" xmlns="http://www.topografix.com/GPX/1/1"><wpt lat="1" lon="1"/>'
        '<rte><rtept lat="0.1" lon="-177"/><rtept lat="0.2" lon="-177"/></rte></gpx>'
    )
    line = ("search", "q.npy", "-k", "50", "--area", "r.gpx", "--corridor", "10km")
    found = call(*line, "--json").json
    assert [hit["tile"] for hit in found["hits"]] == [TILES[31]]
    assert found["left_out"] == {"r.gpx: single place": 1}
    assert call(*line, "--zoom", "7", "--json").json["hits"] == []
    told = "left out of the area: 1 x r.gpx: single place\n"
    warned = "warning: no described tile lies in that area at those zooms, but for recalled ones\n"
    assert call(*line, "--zoom", "7").err == told + warned
    assert call(*line).err == told
    box = "-177.1,0.1,-176.9,0.2"
    boxed = call("search", "q.npy", "-k", "50", "--area", box, "--json").json
    assert (boxed["hits"], boxed["left_out"]) == (found["hits"], {})


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--area", "nothing.gpx"], "--area: no file nothing.gpx"),
        (["--area", "0,10,1,5"], "--area: "),
        (["--area", "0,0,1"], "--area: '0,0,1' is no box"),
        (["--area", "line.kml"], "holds 1 line without a width"),
        (["--area", "0,0,1,1", "--corridor", "5"], "a distance has a unit"),
        (["--corridor", "5km"], "no --area is given"),
        (["--area", "0,0,1,1", "--near", "0,0,1km"], "exclude each other"),
    ],
)
def test_an_area_that_is_none_is_refused_by_name(
    call: Call,
    build: Callable[..., Any],
    descriptors: npt.NDArray[np.float32],
    arguments: list[str],
    named: str,
) -> None:
    build()
    np.save("q.npy", descriptors[0])
    Path("line.kml").write_text(
        "<kml><Placemark><LineString><coordinates>0,0 1,1</coordinates></LineString></Placemark></kml>"
    )
    refused = call("search", "q.npy", *arguments)
    assert (refused.code, named in refused.error) == (2, True), refused.err


@pytest.mark.parametrize(
    ("prior", "named"),
    [
        ("48.1,11.6", "LAT,LON,RADIUS"),
        ("48.1,11.6,5", "LAT,LON,RADIUS"),
        ("48.1,11.6,5 miles", "LAT,LON,RADIUS"),
        ("north,11.6,5km", "LAT,LON,RADIUS"),
        ("98.1,11.6,5km", "lat must be"),
        ("48.1,nan,5km", "LAT,LON,RADIUS"),
        ("48.1,11.6,-5km", "radius_m must be"),
        ("48.1,11.6,50000km", "radius_m must be"),
    ],
)
def test_a_prior_that_is_no_place_is_refused_by_name(
    call: Call, build: Callable[..., Any], descriptors: npt.NDArray[np.float32], prior: str, named: str
) -> None:
    build()
    np.save("q.npy", descriptors[0])
    refused = call("search", "q.npy", "--near", prior)
    assert refused.code == 2
    assert named in refused.error


def test_a_zoom_without_a_place_is_a_wrong_call(
    call: Call, build: Callable[..., Any], descriptors: npt.NDArray[np.float32]
) -> None:
    build()
    np.save("q.npy", descriptors[0])
    assert call("search", "q.npy", "--zoom", "6").code == 2


def test_info_shows_what_was_built(call: Call, build: Callable[..., Any]) -> None:
    built = build().json
    assert call("index", "info", "--json").json == built
    assert (built["count"], built["dimension"], built["storage"]) == (len(TILES), 16, "float16")
    assert built["generation"] == "000001"


def test_a_rollback_answers_from_the_generation_before(call: Call, build: Callable[..., Any]) -> None:
    first, second = build().json, build(factor=2.0).json
    assert first["sha256"] != second["sha256"]
    assert call("index", "rollback", "--json").json == first
    assert call("index", "info", "--json").json == first
    assert call("index", "generations", "--json").json == [
        {"generation": "000001", "in_use": True},
        {"generation": "000002", "in_use": False},
    ]
    assert call("index", "rollback", "--to", "000002", "--json").json == second


def test_a_rollback_without_an_older_generation_fails_and_changes_nothing(
    call: Call, build: Callable[..., Any]
) -> None:
    built = build().json
    assert call("index", "rollback").code == 1
    assert call("index", "info", "--json").json == built


def test_a_damaged_generation_in_use_can_be_rolled_back_and_built_over(
    call: Call, build: Callable[..., Any], tmp_path: Any
) -> None:
    first = build().json
    build(factor=2.0)
    damaged = tmp_path / "aerotile-data/index/generations/000002/tiles.index"
    damaged.chmod(0o640)
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert call("index", "info").code == 1
    assert call("index", "rollback", "--json").json == first
    assert call("index", "rollback", "--to", "000002").code == 1
    assert build(factor=3.0).code == 0


def test_descriptors_that_are_not_finite_are_refused_and_the_old_index_stays(
    call: Call, build: Callable[..., Any], descriptors: npt.NDArray[np.float32]
) -> None:
    built = build().json
    descriptors[3, 3] = np.nan
    result = build()
    assert result.code == 1
    assert "the descriptor of tile imported/6/0/3 (row 3) is not finite" in result.error
    assert call("index", "info", "--json").json == built


@pytest.mark.parametrize("word", ["0", "off", "False", "NO"])
def test_an_index_that_is_switched_off_says_so(call: Call, build: Callable[..., Any], word: str) -> None:
    build()
    for command in (["index", "info"], ["index", "build", "--no-store-check", "d.npz", "--model", "m"]):
        result = call(*command, BUILD_FAISS_INDEX=word)
        assert result.code == 1
        assert result.error == (
            f"the descriptor index is switched off by BUILD_FAISS_INDEX={word} — unset BUILD_FAISS_INDEX"
        )


@pytest.mark.parametrize("word", ["1", "on", "True", "YES"])
def test_an_index_that_is_switched_on_is_built(call: Call, build: Callable[..., Any], word: str) -> None:
    built = build().json
    assert call("index", "info", "--json", BUILD_FAISS_INDEX=word).json == built


@pytest.mark.parametrize("word", ["", "2", "maybe"])
def test_a_word_that_is_no_yes_or_no_is_refused(call: Call, build: Callable[..., Any], word: str) -> None:
    build()
    result = call("index", "info", BUILD_FAISS_INDEX=word)
    assert result.code != 0
    assert result.error == (
        f"BUILD_FAISS_INDEX must be true or false, got {word!r} — "
        "unset it, or set 0 to leave the descriptor index out"
    )


def test_the_configured_graph_is_what_is_built(call: Call, descriptors: npt.NDArray[np.float32]) -> None:
    np.savez("d.npz", tiles=TILES, descriptors=descriptors)
    built = call(
        "index",
        "build",
        "--no-store-check",
        "d.npz",
        "--model=m",
        "--json",
        AEROTILE_INDEX_M="8",
        AEROTILE_INDEX_METRIC="inner_product",
        AEROTILE_INDEX_STORAGE="float32",
    ).json
    assert (built["m"], built["metric"], built["storage"]) == (8, "inner_product", "float32")


def test_an_estimate_says_what_each_kind_takes_and_builds_nothing(
    call: Call, build: Callable[..., Any], descriptors: npt.NDArray[np.float32], tmp_path: Any
) -> None:
    np.savez("d.npz", tiles=TILES, descriptors=descriptors)
    whole, codes = call("index", "build", "d.npz", "--estimate", "--json").json
    assert (whole["kind"], whole["chosen"], codes["kind"], codes["chosen"]) == (
        "hnsw",
        True,
        "hnsw_sq8",
        False,
    )
    for facts in (whole, codes):
        assert (facts["count"], facts["dimension"]) == (len(TILES), 16)
        assert facts["build_memory_bytes"] > descriptors.nbytes
        assert facts["build_seconds"] > 0
    assert whole["graph_bytes"] - codes["graph_bytes"] == len(TILES) * 16
    assert not (tmp_path / "aerotile-data/index").exists()
    assert "True" not in build().out
    assert "searches_areas    yes" in call("index", "info").out
    text = call("index", "build", "d.npz", "--estimate").out
    assert text.splitlines()[0] == "40 descriptors of 16 components"
    assert "MiB" in text


@pytest.mark.parametrize("option", [("--model", "demo-16"), ("--no-store-check",)])
def test_options_of_a_build_are_refused_beside_an_estimate(
    call: Call, descriptors: npt.NDArray[np.float32], option: tuple[str, ...]
) -> None:
    np.savez("d.npz", tiles=TILES, descriptors=descriptors)
    for file in ((), ("d.npz",)):
        refused = call("index", "build", *file, *option, "--estimate")
        assert refused.code == 2
        assert refused.error.startswith(f"{option[0]} is for a build, and --estimate builds nothing")


def test_an_index_over_codes_finds_what_was_described_with_the_distances_of_whole_vectors(
    call: Call, build: Callable[..., Any], descriptors: npt.NDArray[np.float32]
) -> None:
    np.save("q.npy", descriptors[7] + np.float32(0.01))
    assert build().json["kind"] == "hnsw"
    whole = call("search", "q.npy", "-k", "5", "--json").json["hits"]
    assert build("--kind", "hnsw_sq8").json["kind"] == "hnsw_sq8"
    codes = call("search", "q.npy", "-k", "5", "--json").json["hits"]
    assert [hit["tile"] for hit in codes] == [hit["tile"] for hit in whole]
    assert [hit["distance"] for hit in codes] == pytest.approx([hit["distance"] for hit in whole], rel=1e-5)
    estimates = call("index", "build", "d.npz", "--estimate", "--kind", "hnsw_sq8", "--json").json
    assert [facts["kind"] for facts in estimates if facts["chosen"]] == ["hnsw_sq8"]


def test_a_build_without_a_file_takes_the_descriptors_kept(
    call: Call, build: Callable[..., Any], descriptors: npt.NDArray[np.float32]
) -> None:
    none = call("index", "build")
    assert (none.code, "there is no descriptor index" in none.error) == (1, True)
    first = build().json
    line = ("index", "build", "--no-store-check", "--json")
    again = call(*line, "--kind", "hnsw_sq8", AEROTILE_INDEX_M="8").json
    assert (again["generation"], again["kind"], again["m"]) == ("000002", "hnsw_sq8", 8)
    same = ("count", "dimension", "descriptor_model", "metric", "storage")
    assert {name: again[name] for name in same} == {name: first[name] for name in same}
    np.save("q.npy", descriptors[7])
    for near in ((), ("--near", "0,-177,10000km")):
        assert call("search", "q.npy", *near, "--json").json["hits"][0]["tile"] == TILES[7]
    assert call("index", "build", "--estimate", "--json").json[0]["count"] == len(TILES)
    assert call(*line, "--model", "demo-16").code == 2
