from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from model_store.settings import StoreSettings
from producer.errors import ConfigurationError

SECRET = "s3cr3t-of-the-store"
GOOD = f"[default]\naws_access_key_id = AKIA\naws_secret_access_key = {SECRET}%$\n"


def with_file(tmp_path: Path, text: str) -> StoreSettings:
    path = tmp_path / "credentials"
    path.write_text(text)
    return StoreSettings(credentials_file=path)


def test_keys_come_from_the_credentials_file(tmp_path: Path) -> None:
    assert with_file(tmp_path, GOOD).keys == ("AKIA", SECRET + "%$")


def test_keys_of_the_settings_go_before_the_file(tmp_path: Path) -> None:
    settings = StoreSettings(
        credentials_file=tmp_path / "absent", access_key=SecretStr("AKIA"), secret_key=SecretStr(SECRET)
    )

    assert settings.keys == ("AKIA", SECRET)


def test_without_any_keys_the_usual_aws_sources_are_left_to_answer() -> None:
    assert StoreSettings().keys is None


def test_a_missing_credentials_file_names_the_file_and_the_variable(tmp_path: Path) -> None:
    settings = StoreSettings(credentials_file=tmp_path / "absent")

    with pytest.raises(ConfigurationError, match=r"absent: set SHOAL_STORE__CREDENTIALS_FILE"):
        _ = settings.keys


@pytest.mark.parametrize("text", [GOOD.replace("default", "other"), "[default]\naws_access_key_id = AKIA\n"])
def test_a_credentials_file_without_the_keys_says_what_it_needs(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"needs a \[default\] profile"):
        _ = with_file(tmp_path, text).keys


@pytest.mark.parametrize("text", [f"{SECRET}\n", f"[default]\n{SECRET}\n", f"[default\nkey = {SECRET}\n"])
def test_a_malformed_credentials_file_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match="SHOAL_STORE__CREDENTIALS_FILE") as caught:
        _ = with_file(tmp_path, text).keys

    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__  # nor in its traceback


@pytest.mark.parametrize("name", ["access_key", "secret_key"])
def test_half_a_pair_of_keys_is_refused(name: str) -> None:
    settings = StoreSettings.model_validate({name: SECRET})

    with pytest.raises(ConfigurationError, match="set both or neither"):
        _ = settings.keys


def test_secrets_are_not_shown_even_after_they_were_read(tmp_path: Path) -> None:
    direct = StoreSettings(access_key=SecretStr("AKIA"), secret_key=SecretStr(SECRET))
    from_file = with_file(tmp_path, GOOD)

    for settings in (direct, from_file):
        assert settings.keys is not None
        assert SECRET not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


def test_a_mistyped_setting_is_refused() -> None:
    with pytest.raises(ValidationError, match="buckett"):
        StoreSettings.model_validate({"buckett": "shoal"})


def test_the_uploads_buckets_and_no_others_may_be_named() -> None:
    settings = StoreSettings(uploads_bucket="uploads", more_uploads_buckets=("archive",))

    assert settings.allowed_buckets == ("uploads", "archive")
