"""What `aerotile build` refuses, and when."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from archives import write_folder, write_mbtiles, write_raster
from build_site import NETWORK, ROOT, SIZE, TILES, noise, write_plan
from cli_calls import BAD_CALL, JOB_FAILED, Call

from aerotile.adapters.composition.imagery_parts import digest_of_source
from aerotile.adapters.descriptor_models.gradient_vlad import GradientVlad
from aerotile.domain.intake.cut_block import cut_block
from aerotile.domain.values.datasets import SourceDigest


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


def test_a_source_that_fails_during_a_build_is_no_bad_call(
    site: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hashed(name: str, scheme: str | None) -> SourceDigest | None:
        digest, before = digest_of_source(name, scheme), Path(name).stat()
        with Path(name).open("r+b") as file:  # a disk that goes bad: neither size nor date tells
            file.write(bytes(100))
        os.utime(name, ns=(before.st_atime_ns, before.st_mtime_ns))
        return digest

    monkeypatch.setattr("aerotile.adapters.composition.imagery_parts.digest_of_source", hashed)
    write_plan(tmp_path, "")
    failed = site("build", "plan.toml")
    assert failed.code == JOB_FAILED
    assert "ortho.mbtiles is no source of imagery that can be read" in failed.error


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


def test_a_number_that_no_generation_has_is_refused(site: Call) -> None:
    for number in (0, 10**18):
        result = site("build", "plan.toml", "--number", number)
        assert (result.code, f"{number} is not in the range 1<=x<=" in result.error) == (BAD_CALL, True)


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
