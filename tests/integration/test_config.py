"""Settings from a file, variables and options: what is taken, and what is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from loaded_settings import PASSWORD, load, refusal

from aerotile.adapters.composition import Runtime
from aerotile.adapters.config.health_section import HealthConfig
from aerotile.adapters.config.loader import load_config, read_config
from aerotile.adapters.config.settings import (
    AerotileConfig,
    BudgetConfig,
    DatabaseConfig,
    ReadsConfig,
    settings,
    shown,
)
from aerotile.adapters.config.values import parse_byte_size
from aerotile.domain.errors import ConfigurationError
from aerotile.domain.flight_events import EventKind, FlightEvent
from aerotile.domain.values.sectors import SectorClassification


def test_without_any_setting_the_defaults_hold(tmp_path: Path) -> None:
    assert load(tmp_path) == attrs.evolve(AerotileConfig(), root=tmp_path / "aerotile-data")


@pytest.mark.parametrize("name", ["budget.max_bytes", "record.segment_bytes", "record.max_total_bytes"])
def test_more_bytes_than_the_database_can_hold_are_refused(tmp_path: Path, name: str) -> None:
    variable = "AEROTILE_" + name.replace(".", "_").upper()
    error = refusal(tmp_path, **{variable: "99999999999TiB"})
    assert str(error).startswith(f"{name} must be within ")
    assert "9223372036854775807" in str(error)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("~nosuchuser/x", "root names the home of a user that is not known here"),
        ("a\\u0000b", "root must hold no null character"),
    ],
)
def test_a_folder_that_can_not_be_one_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    assert str(refusal(tmp_path, f'root = "{text}"')).startswith(reason)


def test_a_variable_that_is_no_text_is_refused_and_not_shown(tmp_path: Path) -> None:
    # Bytes that are not UTF-8 come out of the environment as lone surrogates.
    error = refusal(tmp_path, AEROTILE_DATABASE_DSN=f"postgresql://nav:{PASSWORD}@host/\udcff")
    assert str(error) == "database.dsn must be UTF-8 text, in variable AEROTILE_DATABASE_DSN"


def test_a_file_sets_what_it_names_and_leaves_the_rest(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        """
        [budget]
        max_bytes = "64 MiB"
        [freshness]
        default_classification = "active_conflict"
        """,
    )
    assert config.budget == BudgetConfig(max_bytes=64 << 20)
    assert config.freshness.default_classification is SectorClassification.ACTIVE_CONFLICT
    assert config.index == AerotileConfig().index


def test_a_variable_overrides_the_file_and_the_option_overrides_both(tmp_path: Path) -> None:
    (tmp_path / "aerotile.toml").write_text('root = "from-file"\n[index]\nm = 16\n')
    environment = {"AEROTILE_ROOT": "from-variable", "AEROTILE_INDEX_M": "48"}
    by_variable = load_config(environment=environment, folder=tmp_path)
    assert (by_variable.root, by_variable.index.m) == (tmp_path / "from-variable", 48)
    by_option = load_config(environment=environment, folder=tmp_path, root=Path("from-option"))
    assert by_option.root == tmp_path / "from-option"


def test_every_setting_can_be_set_by_its_variable(tmp_path: Path) -> None:
    for setting in settings():
        url = "https://host/" if setting.key == "url" else "postgresql://host/db"
        default = shown(setting.default)
        text = url if default is None else ",".join(default) if isinstance(default, list) else str(default)
        loaded = read_config(environment={setting.variable: text}, folder=tmp_path)
        assert loaded.origins[setting.name] == f"variable {setting.variable}"


def test_origins_say_where_each_value_came_from(tmp_path: Path) -> None:
    (tmp_path / "aerotile.toml").write_text("[index]\nm = 16\n")
    origins = read_config(environment={}, folder=tmp_path).origins
    assert origins["index.m"] == str(tmp_path / "aerotile.toml")
    assert origins["index.ef_search"] == "default"


def test_a_relative_path_of_a_program_is_that_of_the_folder_in_which_its_parts_were_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon leaves its folder; the flight record must not begin elsewhere then."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    monkeypatch.chdir(first)
    settings = AerotileConfig(root=Path("data"), health=HealthConfig(file=Path("health.json")))
    with Runtime(settings) as runtime:
        monkeypatch.chdir(second)
        assert runtime.config.health_file == first / "health.json"
        runtime.recorder.record(FlightEvent(EventKind.WRITE, "committed", {}))
    assert list((first / "data/record").iterdir())
    assert not list(second.iterdir())


def test_a_relative_path_in_a_file_is_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "mission.toml").write_text('root = "../data"')
    config = load_config(environment={"AEROTILE_CONFIG": "etc/mission.toml"}, folder=tmp_path)
    assert config.root.resolve() == tmp_path / "data"


@pytest.mark.parametrize(
    ("toml", "message", "remedy"),
    [
        ("[budget]\nmax_byte = 1", "unknown key budget.max_byte", "did you mean budget.max_bytes?"),
        ("[budgte]\nmax_bytes = 1", "unknown section budgte", "did you mean budget?"),
        ("max_bytes = 1", "unknown key max_bytes", "did you mean budget.max_bytes?"),
        ("colour = 1", "unknown key colour", "remove it"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_one(
    tmp_path: Path, toml: str, message: str, remedy: str
) -> None:
    error = refusal(tmp_path, toml)
    assert str(error) == f"{message}, in {tmp_path / 'aerotile.toml'}"
    assert error.remedy == remedy


def test_an_unknown_variable_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    error = refusal(tmp_path, AEROTILE_BUDGET_MAX_BYTE="1")
    assert str(error) == "unknown variable AEROTILE_BUDGET_MAX_BYTE, in the environment"
    assert error.remedy == "did you mean AEROTILE_BUDGET_MAX_BYTES?"


def test_variables_of_others_are_none_of_our_business(tmp_path: Path) -> None:
    load(tmp_path, PGPASSWORD="x", AEROTILES="x", aerotile_root="x")


@pytest.mark.parametrize("environment", [{"AEROTILE_ROOT": 5}, {b"AEROTILE_ROOT": b"x"}, {"HOME": None}])
def test_an_environment_of_anything_but_texts_is_refused(environment: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^environment must have texts alone, got a"):
        load_config(environment=environment, folder=tmp_path)


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[budget]\nmax_bytes = 0", "budget.max_bytes must be within 1..9223372036854775807, got 0"),
        ("[budget]\nmax_bytes = 1.5", "budget.max_bytes must be a whole number, got 1.5"),
        ("[budget]\nmax_bytes = true", "budget.max_bytes must be a whole number, got True"),
        ("[budget]\nmax_bytes = 'much'", "budget.max_bytes must be a number of bytes or a size"),
        ("[index]\nm = '32'", "index.m must be a whole number, got '32'"),
        ("[index]\ndescriptor_model = ''", "index.descriptor_model must be one line of 1 to 500 printable"),
        ("[index]\nm = 1", "index.m must be within 2..512, got 1"),
        ("[index]\nwarm_up = 1", "index.warm_up must be true or false, got 1"),
        ("[index]\nmetric = 'cosine'", "index.metric must be one of l2, inner_product, got 'cosine'"),
        ("[freshness]\ndefault_classification = []", "freshness.default_classification must be one of"),
        ("[lru]\nflush_interval_s = nan", "lru.flush_interval_s must be a number of seconds, got nan"),
        ("[lru]\nflush_interval_s = 0", "lru.flush_interval_s must be within 0.01..3600 seconds"),
        ("[record]\nsync_interval_s = '1'", "record.sync_interval_s must be a number of seconds"),
        ("[record]\nsync_interval_s = 0.09", "record.sync_interval_s must be within 0.1..60 seconds"),
        ("[database]\npool_max_size = 0", "database.pool_max_size must be within 1..1000, got 0"),
        ("[database]\nembedded_binaries = 3", "database.embedded_binaries must be a text, got a number"),
        ("[base]\npublic_keys = 'ab'", "base.public_keys must be a list of texts, got 'ab'"),
        ("[base]\npublic_keys = [1]", "base.public_keys must be a list of texts, got [1]"),
        ("[base]\npublic_keys = ['AB']", "base.public_keys must be of 64 lower hexadecimal digits each"),
        ("[base]\nthreshold = 0", "base.threshold must be within 1..100, got 0"),
        ("root = ''", "root must name a folder"),
        ("budget = 3", "budget must be a section, got a number"),
    ],
)
def test_a_value_of_the_wrong_type_or_range_is_refused_by_name(
    tmp_path: Path, toml: str, message: str
) -> None:
    error = refusal(tmp_path, toml)
    assert str(error).startswith(message)
    assert str(error).endswith(f", in {tmp_path / 'aerotile.toml'}")


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("AEROTILE_INDEX_M", "many", "index.m must be a whole number in plain digits, got 'many'"),
        ("AEROTILE_INDEX_M", "1", "index.m must be within 2..512, got 1"),
        ("AEROTILE_INDEX_WARM_UP", "maybe", "index.warm_up must be true or false, got 'maybe'"),
        (
            "AEROTILE_BASE_PUBLIC_KEYS",
            '["aa"]',
            """base.public_keys must have commas between values, no brackets or quotes, got '["aa"]'""",
        ),
        ("AEROTILE_LRU_FLUSH_INTERVAL_S", "soon", "lru.flush_interval_s must be a number in plain digits"),
        ("AEROTILE_BUDGET_MAX_BYTES", "-5", "budget.max_bytes must be a number of bytes or a size"),
        ("AEROTILE_BUDGET_MAX_BYTES", "9" * 5000, "budget.max_bytes must be a number of bytes or a size"),
    ],
)
def test_a_variable_of_the_wrong_type_or_range_is_refused_by_name(
    tmp_path: Path, variable: str, text: str, message: str
) -> None:
    error = refusal(tmp_path, **{variable: text})
    assert str(error).startswith(message)
    assert str(error).endswith(f", in variable {variable}")


def test_two_settings_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    error = refusal(tmp_path, "[database]\npool_min_size = 50")
    assert "database.pool_min_size must not exceed pool_max_size (8), got 50" in str(error)


def test_a_contradiction_with_a_default_names_the_setting_that_was_given(tmp_path: Path) -> None:
    error = refusal(tmp_path, '[record]\nmax_total_bytes = "1 MiB"')
    assert "record.segment_bytes must not exceed max_total_bytes (1048576)" in str(error)
    assert str(error).endswith("aerotile.toml")


def test_a_file_that_is_no_toml_is_refused_by_place_and_without_its_content(tmp_path: Path) -> None:
    error = refusal(tmp_path, f'[database]\ndsn = "postgresql://nav:{PASSWORD}@host/db')
    assert str(error).startswith(f"{tmp_path / 'aerotile.toml'} is not TOML")
    assert PASSWORD not in str(error)


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "aerotile.toml").write_text('root = "elsewhere"', encoding="utf-8-sig")
    assert load_config(environment={}, folder=tmp_path).root == tmp_path / "elsewhere"


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "aerotile.toml").write_bytes(b"root = '\xff'")
    assert "is not TOML" in str(refusal(tmp_path))


def test_a_named_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    error = refusal(tmp_path, AEROTILE_CONFIG="missing.toml")
    assert str(tmp_path / "missing.toml") in str(error)
    assert "AEROTILE_CONFIG" in str(error)


def test_a_working_folder_that_was_removed_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(ConfigurationError, match="the current folder can't be read: No such file"):
        load_config()


def test_an_empty_name_of_the_file_is_refused_and_no_flight_without_it_begins(tmp_path: Path) -> None:
    (tmp_path / "aerotile.toml").write_text("[index]\nm = 16")
    error = refusal(tmp_path, AEROTILE_CONFIG="")
    assert error.explained.startswith("variable AEROTILE_CONFIG is empty — ")


def test_a_variable_whose_name_has_two_lines_is_refused_on_one(tmp_path: Path) -> None:
    error = refusal(tmp_path, **{"AEROTILE_INDEX\nM": "1"})
    assert str(error) == r"unknown variable AEROTILE_INDEX\nM, in the environment"
    assert error.explained.isprintable()


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("AEROTILE_INDEX_EF_SEARCH", "1_6"),
        ("AEROTILE_INDEX_EF_SEARCH", " 16"),
        ("AEROTILE_READS_DEADLINE_S", "3\n"),
        ("AEROTILE_READS_DEADLINE_S", "1_0"),
        ("AEROTILE_READS_DEADLINE_S", "٣"),
    ],
)
def test_a_number_of_a_variable_has_plain_digits(tmp_path: Path, variable: str, text: str) -> None:
    assert f"number in plain digits, got {text!r}" in str(refusal(tmp_path, **{variable: text}))


def test_a_setting_has_one_name_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "aerotile.toml").write_text('budget.max_bytes = "1 GiB"\n"budget.max_bytes" = "2 GiB"\n')
    assert "unknown key budget.max_bytes" in str(refusal(tmp_path))


def test_an_empty_dsn_means_the_embedded_database(tmp_path: Path) -> None:
    assert load(tmp_path, AEROTILE_DATABASE_DSN="").database.dsn is None


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1024", 1024),
        ("64 GiB", 64 << 30),
        ("1.5 KiB", 1536),
        ("2kB", 2000),
        ("500 MB", 500_000_000),
        ("1 tib", 1 << 40),
        ("7 B", 7),
    ],
)
def test_a_byte_size_is_read_exactly(text: str, size: int) -> None:
    assert parse_byte_size(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "1e9", "-1", "1 GiB/s", "1.0001 KiB", "٣", "1 parsec", "nan"])
def test_what_is_no_whole_number_of_bytes_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a"):
        parse_byte_size(text)


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:81"])
def test_plain_http_is_for_this_machine_unless_it_is_allowed(tmp_path: Path, host: str) -> None:
    assert load(tmp_path, AEROTILE_UPLOAD_URL=f"http://{host}/base").upload.url == f"http://{host}/base"
    assert "must begin with https://" in str(refusal(tmp_path, AEROTILE_UPLOAD_URL="http://10.0.0.1"))
    load(tmp_path, AEROTILE_UPLOAD_URL="http://10.0.0.1", AEROTILE_UPLOAD_ALLOW_PLAINTEXT="true")


def test_the_constructors_refuse_bad_values_by_themselves() -> None:
    with pytest.raises(ValueError, match=r"max_bytes must be within 1\.\.9223372036854775807, got 0"):
        BudgetConfig(max_bytes=0)
    with pytest.raises(ValueError, match="dsn must be a Secret"):
        DatabaseConfig(dsn="postgresql://host/db")  # type: ignore[arg-type] # that is the point


def test_every_setting_says_what_it_means() -> None:
    for setting in settings():
        assert setting.about.endswith(".")


def test_numbers_of_numpy_are_taken_as_plain_ones() -> None:
    budget = BudgetConfig(max_bytes=np.int64(5_000), eviction_batch_size=np.uint8(3))
    assert (type(budget.max_bytes), budget) == (int, BudgetConfig(max_bytes=5_000, eviction_batch_size=3))
    reads = ReadsConfig(deadline_s=np.float32(0.5))
    assert (type(reads.deadline_s), reads) == (float, ReadsConfig(deadline_s=0.5))
    assert ReadsConfig(verify_hash=np.True_).verify_hash is True
    with pytest.raises(ValueError, match=r"^verify_hash must be a bool, got 1$"):
        ReadsConfig(verify_hash=1)  # type: ignore[arg-type] # that is the test
    for wrong in (True, 5.0, "5"):
        with pytest.raises(ValueError, match=r"^max_bytes must be a whole number, got "):
            BudgetConfig(max_bytes=wrong)  # type: ignore[arg-type] # that is the test
