"""Secrets in the settings: shown nowhere, whatever is wrong with them."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from loaded_settings import PASSWORD, load, refusal

from aerotile.adapters.config.secret import Secret, passwords_in, redact_dsn


def test_a_secret_shows_itself_only_when_revealed() -> None:
    secret = Secret(PASSWORD)
    assert secret.reveal() == PASSWORD
    for text in (repr(secret), str(secret), f"{secret}", f"{secret!r}", repr({"a": [secret]})):
        assert PASSWORD not in text
    with pytest.raises(TypeError):
        pickle.dumps(secret)


DSNS = [
    f"postgresql://nav:{PASSWORD}@host:5432/tiles",
    f"postgres://nav:{PASSWORD}@host/tiles?sslmode=require",
    f"postgresql://nav:with@sign/{PASSWORD}@host/tiles",
    f"postgresql://host/tiles?user=nav&password={PASSWORD}&sslmode=require",
    f"host=host user=nav password={PASSWORD} dbname=tiles",
    f"host=host password = '{PASSWORD} it\\'s' dbname=tiles",
    f"PASSWORD={PASSWORD} host=host",
    f"host=host sslpassword={PASSWORD}",
    f"host=host password='{PASSWORD}",
]


@pytest.mark.parametrize("dsn", DSNS)
def test_a_password_never_shows_in_a_redacted_dsn(dsn: str) -> None:
    assert PASSWORD not in redact_dsn(dsn)
    assert "host" in redact_dsn(dsn)
    assert any(PASSWORD in password for password in passwords_in(dsn))


@pytest.mark.parametrize(
    ("dsn", "shown"),
    [
        (f"host=host pasword={PASSWORD} dbname=tiles", "host=host pasword=*** dbname=tiles"),
        (f"host=host password=two {PASSWORD} dbname=tiles", "host=host password=*** ***"),
        (f"host=host password=it's {PASSWORD} dbname=tiles", "host=host password=*** ***"),
        (f"host=host options='-c secret={PASSWORD}'", "host=host options=***"),
        (
            f"postgresql://host/tiles?user=nav&pasword={PASSWORD}",
            "postgresql://host/tiles?user=nav&pasword=***",
        ),
        (f"postgresql://host/tiles?{PASSWORD}&user=nav", "postgresql://host/tiles?***&user=nav"),
        ("host='/run/my db' port=5432 user=nav", "host='/run/my db' port=5432 user=nav"),
    ],
)
def test_of_an_address_only_what_can_be_no_secret_is_shown(dsn: str, shown: str) -> None:
    assert redact_dsn(dsn) == shown


def test_a_dsn_of_neither_form_is_hidden_whole() -> None:
    assert redact_dsn(PASSWORD) == "***"


@pytest.mark.parametrize("dsn", DSNS)
def test_a_password_never_shows_in_a_configuration(tmp_path: Path, dsn: str) -> None:
    config = load(tmp_path, AEROTILE_DATABASE_DSN=dsn)
    assert config.database.dsn == Secret(dsn)
    assert PASSWORD not in f"{config!r} {config} {config.describe()}"


@pytest.mark.parametrize(
    "toml",
    [
        f'[database]\ndsn = "{PASSWORD}"',
        f'[database]\ndns = "{PASSWORD}"',
        f'[database]\ndsn = ["{PASSWORD}"]',
        f'database = "{PASSWORD}"',
        f'dsn = "{PASSWORD}"',
    ],
)
def test_a_password_never_shows_in_a_refusal(tmp_path: Path, toml: str) -> None:
    error = refusal(tmp_path, toml)
    assert PASSWORD not in f"{error} {error.remedy}"


@pytest.mark.parametrize("token", [PASSWORD, "cGFzc3dvcmQ=", "password=abc", f"postgresql://{PASSWORD}@host"])
def test_a_token_never_shows_in_a_configuration(tmp_path: Path, token: str) -> None:
    config = load(tmp_path, AEROTILE_UPLOAD_TOKEN=token)
    assert config.upload.token == Secret(token)
    assert token not in f"{config!r} {config} {config.describe()}"
    assert config.describe()["upload.token"] == "***"


@pytest.mark.parametrize(
    "url",
    [
        f"https://nav:{PASSWORD}@host/",
        f"https://{PASSWORD}@host/",
        f"https://host/?token={PASSWORD}",
        f"https://host/#{PASSWORD}",
        f"ftp://host/{PASSWORD}",
        f"https:///{PASSWORD}",
        f"https://host:99999/{PASSWORD}",
        f"https://host/{PASSWORD}\nX-Evil: 1",
    ],
)
def test_an_upload_address_that_could_hold_a_secret_or_is_none_is_refused_unshown(
    tmp_path: Path, url: str
) -> None:
    error = refusal(tmp_path, AEROTILE_UPLOAD_URL=url)
    assert str(error).startswith("upload.url must ")
    assert PASSWORD not in f"{error} {error.remedy}"


def test_two_places_for_one_token_are_refused(tmp_path: Path) -> None:
    error = refusal(tmp_path, AEROTILE_UPLOAD_TOKEN=PASSWORD, AEROTILE_UPLOAD_TOKEN_FILE="token")
    assert "upload.token must not be set beside token_file" in str(error)
    assert PASSWORD not in str(error)
