"""`aerotile datasets` and `aerotile ingest --dataset`, as an operator calls them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_calls import BAD_CALL, JOB_FAILED, Call

MakeFolder = Callable[..., Path]


def day(number: int) -> str:
    """A day of a month that has been."""
    return f"2024-05-{number:02}"


@pytest.fixture
def define(call: Call) -> Callable[..., object]:
    """Define a dataset; options that are given replace those of the same name, None removes them."""

    def run(name: str, **options: str | None) -> object:
        given: dict[str, str | None] = {
            "licence": "CC-BY-4.0",
            "attribution": "Survey Office",
            "may_be_stored_offline": "yes",
            "source": "ortho.tif",
            "sha256": "ab" * 32,
            "captured_at": day(9),
        }
        pairs = [(key, value) for key, value in (given | options).items() if value is not None]
        return call(
            "datasets",
            "define",
            name,
            "--json",
            *(part for key, value in pairs for part in (f"--{key.replace('_', '-')}", value)),
        )

    return run


def test_a_dataset_is_defined_shown_listed_and_corrected(
    call: Call, define: Call, xyz_folder: MakeFolder
) -> None:
    facts = define("ortho").json
    assert facts == {
        "name": "ortho",
        "licence": "CC-BY-4.0",
        "attribution": "Survey Office",
        "may_be_stored_offline": True,
        "source": "ortho.tif",
        "source_sha256": "ab" * 32,
        "digest_of": "stated",
        "captured_at": f"{day(9)}T00:00:00+00:00",
        "captured_from": "by hand",
        "tiles": 0,
    }
    assert define("ortho").json == facts
    assert call("ingest", xyz_folder(count=3), "--dataset", "ortho").code == 0
    assert call("datasets", "show", "ortho", "--json").json == facts | {"tiles": 3}
    amended = call(
        "datasets", "amend", "ortho", "--licence", "ODbL", "--may-be-stored-offline", "no", "--json"
    )
    assert amended.json == facts | {"tiles": 3, "licence": "ODbL", "may_be_stored_offline": False}
    ahead = call("datasets", "amend", "ortho", "--captured-at", "9999-12-31")
    assert (ahead.code, "9999-12-31T00:00:00" in ahead.error) == (BAD_CALL, True)
    both = call("datasets", "amend", "ortho", "--captured-at", day(1), "--dates-from", "a CSV")
    assert (both.code, "contradicts --dates-from" in both.error) == (BAD_CALL, True)
    nothing = call("datasets", "amend", "ortho")
    assert (nothing.code, "nothing of the dataset ortho" in nothing.error) == (BAD_CALL, True)
    assert call("datasets", "show", "ortho", "--json").json == amended.json
    by_tile = call("datasets", "amend", "ortho", "--dates-from", "a CSV", "--json").json
    assert by_tile == amended.json | {"captured_at": None, "captured_from": "a CSV"}
    listed = call("datasets", "list").out.splitlines()
    assert listed[1].split()[:4] == ["ortho", "3", "NO", "ODbL"]
    assert listed[-1] == "0 tiles without a dataset"
    assert call("datasets", "list", "--json").json["tiles_without_dataset"] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"may_be_stored_offline": None}, "not said whether the tiles may be stored offline"),
        ({"captured_at": None}, "exactly one thing must say when"),
        ({"dates_from": "a CSV"}, "exactly one thing must say when"),
        ({"sha256": "AB" * 32}, "source_sha256 must be 64 lower-case"),
        ({"sha256": None}, "no file and no folder ortho.tif"),
        ({"sha256": None, "source": "."}, "holds no tiles zoom/x/y.jpg, .png or .webp"),
        ({"sha256": None, "source": "https://a.example/?key=s3cret"}, "may hold a token"),
        ({"source": "see https://nav:s3cret@a.example/x"}, "may hold a token"),
        ({"licence": " "}, "licence must be one line"),
        ({"captured_at": "9999-12-31"}, "9999-12-31T00:00:00"),
    ],
)
def test_a_definition_that_leaves_something_open_is_refused(
    call: Call, define: Call, options: dict[str, str | None], message: str
) -> None:
    result = define("ortho", **options)
    assert result.code == BAD_CALL
    assert message in result.error
    assert "s3cret" not in result.error
    assert call("datasets", "list", "--json").json["datasets"] == []


def test_a_name_never_comes_to_stand_for_another_source(call: Call, define: Call, tmp_path: Path) -> None:
    (tmp_path / "ortho.tif").write_bytes(b"one")
    first = define("ortho", sha256=None).json
    assert (first["digest_of"], first["source_sha256"]) == ("file", hashlib.sha256(b"one").hexdigest())
    (tmp_path / "ortho.tif").write_bytes(b"two")
    changed = define("ortho", sha256=None)
    assert changed.code == BAD_CALL
    assert f"source_sha256 {hashlib.sha256(b'one').hexdigest()}, not " in changed.error
    assert "define it under another name" in changed.error
    assert call("datasets", "show", "ortho", "--json").json == first


def test_a_dataset_that_is_unknown_or_may_not_be_stored_is_refused_before_a_byte_is_written(
    call: Call, define: Call, xyz_folder: MakeFolder, tmp_path: Path
) -> None:
    define("view-only", may_be_stored_offline="no", licence="viewing alone")
    folder = xyz_folder()
    for name, message in (
        ("missing", "no dataset 'missing' is defined — define it with `aerotile datasets define missing`"),
        ("view-only", "the dataset view-only may not be stored offline by its licence, viewing alone"),
    ):
        result = call("ingest", folder, "--dataset", name, "--captured-at", day(1))
        assert result.code == BAD_CALL
        assert message in result.error
    assert list((tmp_path / "aerotile-data").glob("tiles/*/*")) == []
    for command in (["show", "missing"], ["amend", "missing", "--licence", "x"]):
        assert "no dataset 'missing'" in call("datasets", *command).error


def test_each_tile_says_its_dataset_and_status_counts_those_without_one(
    call: Call, define: Call, xyz_folder: MakeFolder
) -> None:
    define("ortho")
    result = call("ingest", xyz_folder(count=2), "--dataset", "ortho", "--json")
    assert (result.code, result.json["stored"]) == (0, 2)
    assert "stated ortho.tif" in result.json["source_digest_not_compared"]
    call("ingest", xyz_folder("others", x=61, count=3), "--captured-at", day(1))
    rows = {row["tile"]: (row["dataset"], row["captured_at"][:10]) for row in call("dump").json_lines}
    assert rows["imported/7/60/0"] == ("ortho", day(9))
    assert rows["imported/7/61/0"] == (None, day(1))
    tiles = call("status", "--json").json["tiles"]
    assert (tiles["by_dataset"], tiles["without_dataset"]) == ({"ortho": 2}, 3)


def test_a_folder_that_has_changed_since_its_dataset_was_defined_is_refused(
    call: Call, define: Call, xyz_folder: MakeFolder, jpeg: Callable[..., bytes]
) -> None:
    folder = xyz_folder()
    assert define("city", source=str(folder), sha256=None).json["digest_of"] == "folder"
    (folder / "7/60/1.jpg").write_bytes(jpeg(99))
    changed = call("ingest", folder, "--dataset", "city", "--zoom", "7")
    assert changed.code == BAD_CALL
    assert "the source has changed since the dataset city was defined" in changed.error
    assert call("dump").json_lines == []
    (folder / "7/60/1.jpg").write_bytes(jpeg(1))
    again = call("ingest", folder, "--dataset", "city", "--json")
    assert (again.code, again.json["source_digest_not_compared"]) == (0, None)


def test_a_folder_is_digested_with_its_pngs_and_what_is_left_out_is_counted(
    call: Call, define: Call, xyz_folder: MakeFolder
) -> None:
    folder = xyz_folder(count=2)
    plain = define("plain", source=str(folder), sha256=None)
    assert plain.err == ""
    png = folder / "7/60/9.png"
    png.write_bytes(b"one picture")
    (folder / "7/60/8.gif").write_bytes(b"no tile")
    (folder / "7/60/notes.txt").write_bytes(b"no picture")
    first = define("one", source=str(folder), sha256=None)
    assert first.err.splitlines() == [
        "left out of the digest: 1 x GIF",
        "left out of the digest: 1 x file that is no tile",
    ]
    assert first.json["left_out_of_digest"] == {"GIF": 1, "file that is no tile": 1}
    png.write_bytes(b"another picture")
    second = define("two", source=str(folder), sha256=None)
    digests = {each.json["source_sha256"] for each in (plain, first, second)}
    assert len(digests) == 3
    changed = call("provision", folder, "--dataset", "one", "--captured-at", day(2))
    assert "the source has changed since the dataset one was defined" in changed.error
    (folder / "7/60/7.jpg").symlink_to("nowhere")
    refused = define("three", source=str(folder), sha256=None)
    assert refused.code == BAD_CALL
    assert "7.jpg: is a broken link to nowhere" in refused.error


def test_tiles_get_their_dates_from_a_csv_and_those_without_a_line_are_counted_and_left_out(
    call: Call, xyz_folder: MakeFolder, tmp_path: Path
) -> None:
    xyz_folder()
    lines = [f"7,60,{y},{day(y + 1)}" for y in (0, 2)]
    (tmp_path / "dates.csv").write_text("\n".join(["z,x,y,captured_at", *lines]))
    result = call("ingest", "tiles", "--dates", "dates.csv")
    assert result.code == JOB_FAILED
    assert "2 left out: no capture date is known for them\n" in result.out
    assert "2 of 4 tiles have no capture date, such as tiles/7/60/1.jpg — add their lines" in result.err
    dates = {row["y"]: row["captured_at"][:10] for row in call("dump").json_lines}
    assert dates == {0: day(1), 2: day(3)}
    facts = call("ingest", "tiles", "--dates", "dates.csv", "--json").json
    assert (facts["present"], facts["undated"], facts["left"]) == (2, 2, 0)


def test_a_stac_item_dates_all_tiles_by_the_start_of_its_range(
    call: Call, xyz_folder: MakeFolder, tmp_path: Path
) -> None:
    xyz_folder(count=1)
    (tmp_path / "item.json").write_text(
        '{"type": "Feature", "stac_version": "1.0.0", "id": "S2", "properties": {"datetime": null, '
        f'"start_datetime": "{day(2)}T00:00:00Z", "end_datetime": "{day(20)}T00:00:00Z"}}}}'
    )
    result = call("ingest", "tiles", "--stac", "item.json", "--json")
    assert result.json["captured_at"] == f"{day(2)}T00:00:00+00:00"
    assert "STAC item S2, the start of a range" in result.json["captured_from"]
    assert call("dump").json_lines[0]["captured_at"] == f"{day(2)}T00:00:00+00:00"


def test_a_stac_item_of_other_ground_dates_no_tile(
    call: Call, xyz_folder: MakeFolder, tmp_path: Path
) -> None:
    xyz_folder(count=1)
    (tmp_path / "item.json").write_text(
        '{"type": "Feature", "stac_version": "1.0.0", "id": "S2", "bbox": [-70.1, -33.1, -70.0, -33.0], '
        f'"properties": {{"datetime": "{day(2)}T00:00:00Z"}}}}'
    )
    result = call("ingest", "tiles", "--stac", "item.json")
    assert result.code == 1
    assert "1 of 1 tiles have no capture date" in result.err
    assert "give the STAC item of their ground" in result.err
    assert call("dump").json_lines == []


def test_a_stac_item_with_a_bbox_dates_a_dataset(call: Call, define: Call, tmp_path: Path) -> None:
    (tmp_path / "item.json").write_text(
        '{"type": "Feature", "stac_version": "1.0.0", "id": "S2", "bbox": [-70.1, -33.1, -70.0, -33.0], '
        f'"properties": {{"datetime": "{day(2)}T00:00:00Z"}}}}'
    )
    facts = define("ortho", captured_at=None, stac="item.json").json
    assert facts["captured_at"] == f"{day(2)}T00:00:00+00:00"
    define("survey")
    corrected = call("datasets", "amend", "survey", "--stac", "item.json", "--json").json
    assert corrected["captured_at"] == f"{day(2)}T00:00:00+00:00"


@pytest.mark.parametrize("command", ["ingest", "provision"])
@pytest.mark.parametrize("bbox", ["", '"bbox": [-180, -85, 180, 85], '])
def test_a_stac_item_of_the_future_is_a_bad_call(
    call: Call, xyz_folder: MakeFolder, tmp_path: Path, command: str, bbox: str
) -> None:
    xyz_folder(count=1)
    (tmp_path / "item.json").write_text(
        f'{{"type": "Feature", "stac_version": "1.0.0", "id": "S2", {bbox}'
        '"properties": {"datetime": "2124-05-02T00:00:00Z"}}'
    )
    result = call(command, "tiles", "--stac", "item.json")
    assert result.code == BAD_CALL
    assert "2124-05-02" in result.err


def test_a_call_that_leaves_the_date_or_the_dataset_open_stores_nothing(
    call: Call, define: Call, xyz_folder: MakeFolder, tmp_path: Path
) -> None:
    folder = xyz_folder(count=1)
    define("undated", captured_at=None, dates_from="a CSV by tile")
    (tmp_path / "dates.csv").write_text("z,x,y,captured_at\n")
    for options, message in (
        ([], "it is not known when the tiles were captured"),
        (["--dataset", "undated"], "the dataset undated has no capture date"),
        (["--captured-at", day(1), "--dates", "dates.csv"], "--captured-at and --dates both say when"),
        (["--captured-at", day(1), "--keep"], "no dataset is named — give --dataset"),
        (["--dataset", "ortho", "--keep", "--replace"], "--keep and --replace contradict each other"),
    ):
        result = call("ingest", folder, *options)
        assert (result.code, message in result.error) == (BAD_CALL, True)
    assert call("dump").json_lines == []


def test_a_place_that_another_dataset_holds_is_contested_and_kept_on_request(
    call: Call, define: Call, xyz_folder: MakeFolder, jpeg: Callable[..., bytes]
) -> None:
    define("ortho")
    define("newer")
    folder = xyz_folder(count=3)
    call("ingest", "tiles", "--dataset", "ortho", "--zoom", "7")
    (folder / "7/60/1.jpg").write_bytes(jpeg(99))
    (folder / "7/60/3.jpg").write_bytes(jpeg(3))
    result = call("ingest", "tiles", "--dataset", "newer")
    assert result.code == JOB_FAILED
    assert "contested: tiles/7/60/1.jpg: imported/7/60/1 is stored, of the dataset ortho" in result.err
    assert "3 of 4 tiles lie where another dataset has tiles — run again with --keep" in result.err
    assert "or with --replace to put newer ones there" in result.err
    assert "1 stored" in result.out
    facts = call("ingest", folder, "--dataset", "newer", "--json").json
    assert (facts["present"], facts["contested"]) == (1, 3)
    assert {each["held_by"] for each in facts["contests"]} == {"ortho"}
    kept = call("ingest", folder, "--dataset", "newer", "--keep", "--json")
    assert (kept.code, kept.json["kept"], kept.json["contested"]) == (0, 3, 0)
    assert [row["dataset"] for row in sorted(call("dump").json_lines, key=lambda row: row["y"])] == [
        *["ortho"] * 3,
        "newer",
    ]


def test_a_base_shows_the_attributions_of_its_tiles_and_refuses_those_that_may_not_be_stored(
    call: Call, define: Call, xyz_folder: MakeFolder
) -> None:
    define("ortho")
    define("city", attribution="City of M")
    call("ingest", xyz_folder(count=2), "--dataset", "ortho")
    call("ingest", xyz_folder("more", x=61, count=3), "--dataset", "city")
    call("ingest", xyz_folder("others", x=62, count=1), "--captured-at", day(1))
    facts = call("base", "seal", "--json").json
    assert {each["name"]: (each["attribution"], each["tiles"]) for each in facts["datasets"]} == {
        "city": ("City of M", 3),
        "ortho": ("Survey Office", 2),
    }
    assert facts["tiles_without_dataset"] == 1
    shown = call("base", "info", "000001").out
    assert "city (3 tiles, CC-BY-4.0, City of M); ortho (2 tiles, CC-BY-4.0, Survey Office)" in shown
    call("datasets", "amend", "city", "--may-be-stored-offline", "no")
    refused = call("base", "seal")
    assert refused.code == JOB_FAILED
    assert (
        "may not be stored offline: city (3 tiles) — leave them out: --without-dataset city" in refused.error
    )
    without = call("base", "seal", "--without-dataset", "city", "--json").json
    assert without["left_out"] == {"of the dataset city": 3}
