"""`aerotile build`: a base from imagery without a store, the same bytes whoever made its blocks."""

from __future__ import annotations

import hashlib
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from archives import write_by_gdal
from build_site import NETWORK, ROOT, SIZE, TILES, manifest_of, write_plan
from cli_calls import BAD_CALL, Call
from PIL import Image
from small_networks import STEPS

import aerotile
from aerotile.domain.values.tile_key import decode_tile_key


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
    assert f"{len(TILES)} tiles in {said['blocks']} blocks, {2 * len(TILES)} descriptors in 1 shard" in words
    write_plan(tmp_path, "")
    bare = site("build", "plan.toml", "--estimate", "--json").json
    assert (bare["descriptors"], bare["tasks"], bare["graph_memory_bytes"]) == (0, said["blocks"], 0)


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
    assert (info["area"], info["zooms"]) == ([[10.8, 45.9, 11.0, 48.7]], [12])
    assert b"north" in (ROOT / "base/generations/000001/sectors.json").read_bytes()
    write_plan(tmp_path, table.replace("true", "false"))
    assert "the dataset ortho may not be stored offline" in site("build", "plan.toml").error
