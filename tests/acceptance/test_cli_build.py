"""`aerotile build`: a base from imagery without a store, the same bytes whoever made its blocks."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from archives import Place, write_by_gdal, write_folder, write_mbtiles, write_raster
from cli_calls import BAD_CALL, JOB_FAILED, Call
from PIL import Image
from small_networks import STEPS, SmallNetwork

import aerotile
from aerotile.adapters.composition.imagery_parts import digest_of_source
from aerotile.adapters.descriptor_models.gradient_vlad import GradientVlad
from aerotile.domain.intake.cut_block import cut_block
from aerotile.domain.values.datasets import SourceDigest
from aerotile.domain.values.tile_key import decode_tile_key

SIZE = 16
NETWORK = SmallNetwork.drawn(5)
ROOT = Path("aerotile-data")


def noise(number: int) -> bytes:
    rough = np.random.default_rng(number).integers(0, 256, (SIZE // 4, SIZE // 4, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(rough.repeat(4, axis=0).repeat(4, axis=1)).save(stream, "JPEG", quality=95)
    return stream.getvalue()


TILES: dict[Place, bytes] = {
    (zoom, x, y): noise(1000 * zoom + 50 * x + y)
    for zoom, side in ((11, 10), (12, 20))
    for x in range(1085 * 2 ** (zoom - 11), 1085 * 2 ** (zoom - 11) + side)
    for y in range(710 * 2 ** (zoom - 11), 710 * 2 ** (zoom - 11) + side)
}


@pytest.fixture
def site(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """The command beside an archive, a network and a plan; no database is configured."""
    monkeypatch.delenv("AEROTILE_DATABASE_DSN")
    monkeypatch.setenv("AEROTILE_TILES_TILE_SIZE_PIXELS", str(SIZE))
    write_mbtiles(tmp_path / "ortho.mbtiles", TILES)
    NETWORK.save(tmp_path / "network.onnx", {**STEPS, "headings": [0, 90]})
    write_plan(tmp_path)
    return call


def write_plan(folder: Path, text: str = '[describe]\nmodel = "network.onnx"\n', **more: Any) -> None:
    facts = {"sources": ["ortho.mbtiles"], "captured_at": "2026-05-01", "work": "work"} | more
    lines = [f"{name} = {json.dumps(value)}" for name, value in facts.items()]
    (folder / "plan.toml").write_text("\n".join([*lines, text]), encoding="utf-8")


def manifest_of(generation: str) -> bytes:
    return (ROOT / "base/generations" / generation / "manifest.json").read_bytes()


def test_a_base_is_built_without_a_store_and_flown(site: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    built = site("build", "plan.toml", "--json")
    assert built.code == 0, built.err
    assert (built.json["generation"], built.json["tiles"]) == ("000001", len(TILES))
    assert built.json["index"]["descriptors"] == 2 * len(TILES)
    assert built.json["steps"]["cut"]["counts"] == {"verbatim": len(TILES)}
    assert built.json["left_out_of_base"] == {}
    assert {"aerotile", "numpy", "faiss-cpu", "onnxruntime", "instruction set"} <= set(
        built.json["made_with"]
    )
    monkeypatch.setenv("AEROTILE_BASE_REQUIRE_SIGNATURE", "false")
    assert site("base", "switch").code == 0
    assert site("base", "verify").code == 0
    config = aerotile.load_config()
    base = aerotile.build_sealed_base(config)
    for (zoom, x, y), content in TILES.items():
        tile_id = aerotile.TileId(zoom, x, y, aerotile.TileSource.IMPORTED)
        assert base.read_tile_bytes(tile_id) == content
    index = aerotile.build_descriptor_index(config)
    model_name = index.metadata().descriptor_model
    assert model_name == built.json["index"]["descriptor_model"]
    wanted = (12, 2180, 1425)
    seen = np.asarray(Image.open(io.BytesIO(TILES[wanted])).convert("RGB"))
    (hit,) = index.search(NETWORK.by_numpy(seen[None])[0].astype(np.float32), 1)
    assert (hit.tile_id.zoom_level, hit.tile_id.x, hit.tile_id.y) == wanted
    aerotile.close_runtimes()


@pytest.mark.parametrize(
    "workers", [2, pytest.param(1, marks=pytest.mark.slow(reason="one worker does what two do"))]
)
def test_workers_make_the_bytes_of_one_process(site: Call, tmp_path: Path, workers: int) -> None:
    alone = site("build", "plan.toml", "--number", 1, "--json")
    write_plan(tmp_path, work="other")
    shared = site("--root", "second", "build", "plan.toml", "--number", 1, "--workers", workers, "--json")
    assert (alone.code, shared.code) == (0, 0), shared.err
    assert shared.err == ""
    assert shared.json["steps"]["cut"]["taken_over"] == 0
    assert shared.json["files"] == alone.json["files"]
    second = Path("second/base/generations/000001/manifest.json")
    assert second.read_bytes() == manifest_of("000001")


def test_a_second_build_takes_over_what_is_finished_and_makes_damaged_files_anew(
    site: Call, tmp_path: Path
) -> None:
    first = site("build", "plan.toml", "--json").json
    blocks = sorted(tmp_path.glob("work/tiles/*/*"))
    assert len(blocks) == first["steps"]["cut"]["blocks"] > 3
    content = bytearray(blocks[1].read_bytes())
    content[-1] ^= 1
    blocks[1].write_bytes(content)
    blocks[2].unlink()
    again = site("build", "plan.toml", "--json").json
    assert again["steps"]["cut"]["taken_over"] == len(blocks) - 2
    assert again["steps"]["describe"]["taken_over"] == again["steps"]["describe"]["blocks"]
    assert again["files"] == {**first["files"], "tiles.pmtiles": again["files"]["tiles.pmtiles"]}
    assert again["steps"]["graph"]["taken_over"] == 1
    (graph,) = tmp_path.glob("work/graphs/*/*/tiles.index")
    graph.chmod(0o600)
    graph.write_bytes(graph.read_bytes()[:-1])
    mended = site("build", "plan.toml", "--json").json
    assert mended["steps"]["graph"]["taken_over"] == 0
    assert mended["files"]["tiles.index"] == first["files"]["tiles.index"]
    (tmp_path / "network.onnx.json").write_text(
        json.dumps(STEPS | {"mean": [0.5, 0.5, 0.5]}), encoding="utf-8"
    )
    write_plan(tmp_path, "")
    bare = site("build", "plan.toml", "--json").json
    assert (bare["index"], bare["steps"]["cut"]["taken_over"]) == (None, len(blocks))
    write_plan(tmp_path)
    other = site("build", "plan.toml", "--json").json
    assert other["steps"]["cut"]["taken_over"] == len(blocks)
    assert other["steps"]["describe"]["taken_over"] == 0


def test_a_build_that_no_machine_has_the_memory_for_is_refused_before_the_first_block(
    site: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aerotile.adapters.build_files.one_process.available_memory_bytes", lambda: 30 << 20)
    refused = site("build", "plan.toml")
    assert refused.code == JOB_FAILED
    descriptors, dimension = 2 * len(TILES), NETWORK.by_numpy(np.zeros((1, SIZE, SIZE, 3), np.uint8)).shape[1]
    assert f"an index of {descriptors} x {dimension} takes up to" in refused.error
    assert "30 MiB are available — keep the vectors as float16, lower index.m, or " in refused.error
    assert not (tmp_path / "work").exists()
    write_plan(tmp_path, "")  # without an index
    assert site("build", "plan.toml").code == 0


def test_a_network_that_cant_describe_such_tiles_is_refused_before_the_first_block(
    site: Call, tmp_path: Path
) -> None:
    words, mean, projection = np.ones((64, 32)), np.zeros(64 * 32), np.ones((64 * 32, 512))
    GradientVlad(*(part.astype(np.float32) for part in (words, mean, projection))).save(tmp_path / "own.npz")
    write_plan(tmp_path, '[describe]\nmodel = "own.npz"\n')
    refused = site("build", "plan.toml")
    assert refused.code == BAD_CALL
    assert "can't describe such tiles: image must have shape (256, 256, 3)" in refused.error
    assert not (tmp_path / "work").exists()


def test_an_estimate_says_what_the_build_then_takes_and_builds_nothing(site: Call, tmp_path: Path) -> None:
    estimate = site("build", "plan.toml", "--estimate", "--json")
    assert estimate.code == 0, estimate.err
    assert not (tmp_path / "work").exists()
    assert not ROOT.exists() or not os.listdir(ROOT)  # noqa: PTH208 - nothing at all was made
    built = site("build", "plan.toml", "--json").json
    steps, said = built["steps"], estimate.json
    assert (said["tiles"], said["descriptors"]) == (steps["cut"]["rows"], steps["describe"]["rows"])
    assert (said["blocks"], said["shards"]) == (steps["cut"]["blocks"], steps["order"]["blocks"])
    assert said["tasks"] == sum(step["blocks"] for step in steps.values())
    for step, key in (("tiles", "tile"), ("descriptors", "descriptor"), ("shards", "shard")):
        taken = sum(file.stat().st_size for file in tmp_path.glob(f"work/{step}/*/*"))
        assert said[f"{key}_bytes"] == pytest.approx(taken, rel=0.01)
    for option in (["--number", 1], ["--workers", 2], ["--scheduler", "tcp://127.0.0.1:1"], ["--leave-out"]):
        refused = site("build", "plan.toml", "--estimate", *option)
        assert refused.code == BAD_CALL
        assert refused.error.startswith(f"{option[0]} is for a build, and --estimate builds nothing")
    words = site("build", "plan.toml", "--estimate").out
    assert f"{len(TILES)} tiles in {said['blocks']} blocks, {2 * len(TILES)} descriptors in 1 shards" in words
    write_plan(tmp_path, "")
    bare = site("build", "plan.toml", "--estimate", "--json").json
    assert (bare["descriptors"], bare["tasks"], bare["graph_memory_bytes"]) == (0, said["blocks"], 0)


BROKEN = """
import hashlib
import numpy as np

def dead(pictures):
    return np.ones((len(pictures), 4), np.float32)

def dead_on_tiles(pictures):
    rough = pictures[:, :4, :4].std(axis=(1, 2)).mean(axis=1)  # tiles here have cells of 4 x 4 pixels
    return np.where(rough > 50, rough, 1)[:, None].repeat(4, axis=1).astype(np.float32)

dead.digest = dead_on_tiles.digest = hashlib.sha256(b"broken").hexdigest()
"""


def test_a_network_that_describes_all_tiles_alike_gives_no_base(
    site: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_networks.py").write_text(BROKEN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    write_plan(tmp_path, '[describe]\ncallable = "broken_networks:dead"\n')
    refused = site("build", "plan.toml")
    assert refused.code == BAD_CALL
    assert "describes two different pictures alike" in refused.error
    assert not (tmp_path / "work").exists()
    write_plan(tmp_path, '[describe]\ncallable = "broken_networks:dead_on_tiles"\n')
    for _ in range(2):  # made, and taken over
        refused = site("build", "plan.toml")
        assert refused.code == JOB_FAILED
        assert f"all {len(TILES)} descriptors are the same" in refused.error
    assert not list(ROOT.glob("base/generations/*"))


def test_recalled_tiles_are_in_neither_the_tiles_nor_the_index_of_a_build(
    site: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = site("build", "plan.toml", "--json").json
    assert site("base", "keygen", "recall.key").code == 0
    monkeypatch.setenv("AEROTILE_RECALL_PUBLIC_KEYS", Path("recall.key.pub").read_text().strip())
    place = (12, 2180, 1425)
    digest = hashlib.sha256(TILES[place]).hexdigest()
    named = ("--number", "7", "--reason", "forged", "--digest", digest)
    assert site("recall", "make", "list.json", *named).code == 0
    assert site("recall", "sign", "list.json", "--key", "recall.key").code == 0
    assert site("recall", "apply", "list.json").code == 0
    built = site("build", "plan.toml", "--json").json
    assert (built["tiles"], built["left_out_of_base"]) == (len(TILES) - 1, {"recalled": 1})
    index = built["index"]
    assert (index["tiles"], index["descriptors"], index["dropped"]) == (
        len(TILES) - 1,
        whole["index"]["descriptors"] - 2,
        2,
    )
    monkeypatch.setenv("AEROTILE_BASE_REQUIRE_SIGNATURE", "false")
    assert site("base", "switch").code == 0
    assert site("base", "verify").code == 0
    keys, variants = aerotile.build_descriptor_index(aerotile.load_config()).tile_keys()  # type: ignore[attr-defined] # of `SupportsKeyListing`
    tiles = {decode_tile_key(key, variants) for key in keys.tolist()}
    assert aerotile.TileId(*place, aerotile.TileSource.IMPORTED) not in tiles
    assert len(tiles) == len(TILES) - 1
    aerotile.close_runtimes()


def test_a_png_of_a_folder_that_changes_is_cut_anew(site: Call, tmp_path: Path) -> None:
    folder = tmp_path / "pngs/11/1085"
    folder.mkdir(parents=True)
    for shade, row in ((10, 710), (20, 711)):
        Image.new("RGB", (SIZE, SIZE), (shade, 0, 0)).save(folder / f"{row}.png")
    write_plan(tmp_path, "", sources=["pngs"])
    first = site("build", "plan.toml", "--json").json
    assert first["steps"]["cut"]["counts"] == {"encoded from a PNG": 2}
    Image.new("RGB", (SIZE, SIZE), (0, 0, 200)).save(folder / "711.png")
    again = site("build", "plan.toml", "--json").json
    assert again["steps"]["cut"]["taken_over"] == 0
    assert again["files"]["facts"] != first["files"]["facts"]


def test_overviews_beside_a_raster_that_change_are_cut_anew(site: Call, tmp_path: Path) -> None:
    facts = {"width": 400, "height": 400, "count": 3, "dtype": "uint8", "crs": "EPSG:32632"}
    place = Affine(4.0, 0.0, 680_000.0, 0.0, -4.0, 5_330_000.0)
    with rasterio.open(tmp_path / "ortho.tif", "w", driver="GTiff", transform=place, **facts) as file:
        file.write(np.full((3, 400, 400), 90, np.uint8))
    write_plan(tmp_path, "", sources=["ortho.tif"], zooms=[15])
    first = site("build", "plan.toml", "--json").json
    assert site("build", "plan.toml", "--json").json["steps"]["cut"]["taken_over"] > 0
    with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(tmp_path / "ortho.tif", "r+") as file:
        file.build_overviews([2])
    assert (tmp_path / "ortho.tif.ovr").exists()
    again = site("build", "plan.toml", "--json").json
    assert again["steps"]["cut"]["taken_over"] == 0
    assert again["steps"]["cut"]["blocks"] == first["steps"]["cut"]["blocks"]


def test_a_source_that_changes_while_it_is_hashed_is_refused_by_name(
    site: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hashed(name: str, scheme: str | None) -> SourceDigest | None:
        digest = digest_of_source(name, scheme)
        os.utime(name, ns=(0, 1_700_000_000_000_000_000))
        return digest

    monkeypatch.setattr("aerotile.adapters.composition.imagery_parts.digest_of_source", hashed)
    refused = site("build", "plan.toml")
    assert refused.code == JOB_FAILED
    assert "ortho.mbtiles is not the file that the build began with" in refused.error
    assert not list(tmp_path.glob("work/tiles/*/*"))


@pytest.mark.parametrize("changes_at", ["before", "after"])
def test_a_file_that_changes_while_a_block_is_cut_leaves_no_block_behind(
    site: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes_at: str
) -> None:
    def cut(*arguments: Any, **terms: Any) -> Any:
        if changes_at == "before":
            os.utime("ortho.mbtiles", ns=(0, 1_700_000_000_000_000_000))
        tiles = cut_block(*arguments, **terms)
        if changes_at == "after":
            os.utime("ortho.mbtiles", ns=(0, 1_700_000_000_000_000_000))
        return tiles

    monkeypatch.setattr("aerotile.adapters.composition.build_steps.cut_block", cut)
    write_plan(tmp_path, "")
    refused = site("build", "plan.toml")
    assert refused.code == JOB_FAILED
    assert "ortho.mbtiles is not the file that the build began with" in refused.error
    assert not list(tmp_path.glob("work/tiles/*/*"))


def test_a_folder_that_changes_during_a_build_is_refused_by_name(
    site: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_folder(tmp_path / "folder", TILES)
    tile = folder / "11/1085/710.jpg"
    write_plan(tmp_path, "", sources=["folder"])

    def hashed(name: str, scheme: str | None) -> SourceDigest | None:
        digest = digest_of_source(name, scheme)
        tile.write_bytes(noise(1))
        return digest

    with monkeypatch.context() as patched:
        patched.setattr("aerotile.adapters.composition.imagery_parts.digest_of_source", hashed)
        refused = site("build", "plan.toml")
    assert refused.code == JOB_FAILED
    assert "folder is not the folder that the build began with" in refused.error
    assert not list(tmp_path.glob("work/tiles/*/*"))

    def cut(*arguments: Any, **terms: Any) -> Any:
        tile.write_bytes(noise(2))
        return cut_block(*arguments, **terms)

    monkeypatch.setattr("aerotile.adapters.composition.build_steps.cut_block", cut)
    refused = site("build", "plan.toml")
    assert refused.code == JOB_FAILED
    assert "710.jpg: has changed since the folder was listed" in refused.err
    assert "nothing was sealed" in refused.err


@pytest.mark.parametrize("work", ["folder", "folder/11", "aerotile-data", "aerotile-data/base/x", "."])
def test_a_working_folder_in_a_source_or_in_the_store_is_refused(
    site: Call, tmp_path: Path, work: str
) -> None:
    source = "tiles" if work == "." else "folder"
    write_folder(tmp_path / source, TILES)
    write_plan(tmp_path, "", sources=[source], work=work)
    before = sorted(tmp_path.rglob("*"))
    refused = site("build", "plan.toml")
    assert refused.code == BAD_CALL
    assert "would put files of the build into" in refused.error
    assert sorted(tmp_path.rglob("*")) == before


def test_the_time_of_a_tiff_is_not_taken_for_the_date_of_its_imagery(site: Call, tmp_path: Path) -> None:
    write_raster(tmp_path / "ortho.tif")
    with rasterio.open(tmp_path / "ortho.tif", "r+") as file:
        file.update_tags(TIFFTAG_DATETIME="2026:05:01 10:00:00")
    (tmp_path / "plan.toml").write_text('sources = ["ortho.tif"]\n', encoding="utf-8")
    refused = site("build", "plan.toml")
    assert refused.code == BAD_CALL
    assert "TIFFTAG_DATETIME, which is often when the file was made" in refused.error
    assert "say the date with captured_at" in refused.error


def test_a_table_of_a_geopackage_is_built(
    site: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AEROTILE_TILES_TILE_SIZE_PIXELS", "256")
    options = {"TILE_FORMAT": "JPEG", "TILING_SCHEME": "GoogleMapsCompatible", "RASTER_TABLE": "ORTHO"}
    write_by_gdal(tmp_path / "maps.gpkg", "GPKG", **options)
    write_plan(tmp_path, "", sources=["maps.gpkg#ORTHO"], partial=True)
    built = site("build", "plan.toml", "--json")
    assert built.code == 0, built.err
    assert built.json["tiles"] > 0


def test_descriptors_of_an_earlier_build_must_fit_the_storage_too(
    site: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "large_network.py").write_text(
        "def describe(pictures): return pictures[:, 0, :2].reshape(len(pictures), -1).astype('f4') + 1e5\n"
        "describe.digest = '0' * 64\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    write_plan(tmp_path, '[describe]\ncallable = "large_network:describe"\n', zooms=[11])
    monkeypatch.setenv("AEROTILE_INDEX_STORAGE", "float32")
    assert site("build", "plan.toml").code == 0
    monkeypatch.setenv("AEROTILE_INDEX_STORAGE", "float16")
    assert "does not fit into float16" in site("build", "plan.toml").error


def test_refused_places_keep_the_base_from_being_sealed_unless_they_are_left_out(
    site: Call, tmp_path: Path
) -> None:
    broken = dict(TILES)
    broken[12, 2175, 1422] = TILES[12, 2175, 1422][:-40]
    (tmp_path / "ortho.mbtiles").unlink()
    write_mbtiles(tmp_path / "ortho.mbtiles", broken)
    refused = site("build", "plan.toml", "--json")
    assert refused.code == JOB_FAILED
    assert refused.json["generation"] is None
    assert [each["tile"] for each in refused.json["refusals"]] == ["imported/12/2175/1422"]
    assert "nothing was sealed" in refused.err
    assert "--leave-out" in refused.err
    taken = site("build", "plan.toml", "--leave-out", "--json")
    assert taken.code == JOB_FAILED
    assert taken.json["tiles"] == len(TILES) - 1


def test_a_build_whose_every_place_is_refused_says_why(site: Call, tmp_path: Path) -> None:
    place = (12, 2175, 1422)
    write_mbtiles(tmp_path / "broken.mbtiles", {place: TILES[place][:-40]})
    write_plan(tmp_path, sources=["broken.mbtiles"])
    result = site("build", "plan.toml", "--leave-out")
    assert result.code == JOB_FAILED
    assert "no place of the plan gives a tile (1 refused; such as " in result.error
    assert not list(ROOT.glob("base/generations/*"))


def test_a_dataset_sectors_and_an_area_go_into_the_base(site: Call, tmp_path: Path) -> None:
    sector = {
        "type": "Feature",
        "properties": {"sector_id": "north", "classification": "active_conflict"},
        "geometry": {"type": "Polygon", "coordinates": [[[10, 45], [12, 45], [12, 46], [10, 45]]]},
    }
    drawing = {"type": "FeatureCollection", "features": [sector]}
    (tmp_path / "sectors.geojson").write_text(json.dumps(drawing), encoding="utf-8")
    table = (
        '[dataset]\nname = "ortho"\nlicence = "CC-BY-4.0"\nattribution = "Survey"\n'
        'may_be_stored_offline = true\ncaptured_from = "the order"\n'
    )
    write_plan(tmp_path, table, zooms=[12], area=["10.8,45.9,11.0,48.7"], sectors=["sectors.geojson"])
    built = site("build", "plan.toml", "--json")
    assert built.code == 0, built.err
    assert 0 < built.json["tiles"] < 400
    info = site("base", "info", "000001", "--json").json
    assert [each["name"] for each in info["datasets"]] == ["ortho"]
    assert info["datasets"][0]["tiles"] == built.json["tiles"]
    assert info["made_with"] == built.json["made_with"]
    assert b"north" in (ROOT / "base/generations/000001/sectors.json").read_bytes()
    write_plan(tmp_path, table.replace("true", "false"))
    assert "the dataset ortho may not be stored offline" in site("build", "plan.toml").error


def test_a_number_that_is_taken_is_refused_before_the_first_block(site: Call, tmp_path: Path) -> None:
    assert site("build", "plan.toml", "--number", 7).code == 0
    write_plan(tmp_path, work="other")
    assert "holds a generation 000007" in site("build", "plan.toml", "--number", 7).error
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("more", "table", "said"),
    [
        ({"sources": []}, "", "names no sources"),
        ({"source": "x"}, "", "there is no source in a plan"),
        ({"zooms": [30]}, "", "zooms: zooms lie within 0..22, got 30"),
        ({"zooms": [19]}, "", "no source has zoom 19"),
        ({"sources": ["none.tif"]}, "", "no file or folder"),
        ({"captured_at": "yesterday"}, "", "captured_at: 'yesterday' is no date"),
        ({"captured_at": "2226-05-01"}, "", "2226-05-01"),
        ({"enlarge": True}, "", "enlarge makes finer zooms"),
        ({"corridor": "5km"}, "", "no area is given"),
        ({"area": ["1e1,95,2e1,96"]}, "", "plan.toml: area: "),
        ({"sources": ["https://tiles.example/{z}/{x}/{y}.jpg?key=abc"]}, "", "one is an address"),
        ({"area": []}, "", "plan.toml: area: must name an area"),
        ({"sectors": ["none.geojson"]}, "", "plan.toml: sectors: there is no file "),
        ({"area": ["none.kml"]}, "", "plan.toml: area: there is no file "),
        ({"area": ["170,1,171,2"]}, "", "no source has a tile of the area"),
        ({}, "[describe]\nmodle = 'x'", "there is no describe.modle in a plan"),
        ({}, "[describe]\nbatch = 0", "describe.batch: must be a whole number within 1..256"),
        ({}, "[describe]\nmodel = 'none.onnx'", "none.onnx"),
        ({}, "[dataset]\nname = 'x'", "lacks dataset.licence"),
        ({}, "= 1", "is not TOML"),
        ({}, "#" * (1 << 20), "plan.toml can't be read: it is larger than"),
    ],
)
def test_a_wrong_plan_is_refused_in_one_line(
    site: Call, tmp_path: Path, more: dict[str, Any], table: str, said: str
) -> None:
    write_plan(tmp_path, table, **more)
    result = site("build", "plan.toml")
    assert result.code == BAD_CALL
    assert said in result.error
    assert not list(ROOT.glob("base/generations/*"))


def test_without_dask_the_extra_is_named(site: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    for name in [name for name in sys.modules if name.startswith("aerotile.adapters.dask")]:
        monkeypatch.delitem(sys.modules, name)
    assert "pip install 'aerotile[ground]'" in site("build", "plan.toml", "--workers", 2).error
    assert (
        "contradict" in site("build", "plan.toml", "--workers", 2, "--scheduler", "tcp://127.0.0.1:1").error
    )
    assert os.listdir(ROOT) == []  # noqa: PTH208 - nothing at all was made
