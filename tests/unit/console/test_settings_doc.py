import sys
from pathlib import Path

import pytest

from console.cli import main
from console.commands.settings import settings_table
from model_store.process_settings import ProcessSettings, load_settings
from producer.errors import ConfigurationError
from worker.settings import Settings

DOC = Path(__file__).parents[3] / "docs" / "settings.md"


def test_the_document_lists_every_setting_as_it_is() -> None:
    assert DOC.read_text() == settings_table(), "write it anew: .venv/bin/shoal settings > docs/settings.md"


def test_an_error_in_a_secret_does_not_show_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOAL_BROKER__URL", "http://:hunter2@broker/0")
    with pytest.raises(ConfigurationError, match="SHOAL_BROKER") as caught:
        load_settings(ProcessSettings)
    assert "hunter2" not in str(caught.value)


def test_the_stacks_file_is_read_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".shoal").mkdir()
    lines = "SHOAL_STORE__BUCKET=from-file\nSHOAL_STORE__UPLOADS_BUCKET=from-file\n"
    (tmp_path / ".shoal" / "stack.env").write_text(lines)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOAL_STORE__BUCKET", "from-environment")
    settings = load_settings(ProcessSettings)
    assert settings.store.bucket == "from-environment"
    assert settings.store.uploads_bucket == "from-file"


MISTYPED = {
    "SHOAL_STORE__BUKET": "did you mean SHOAL_STORE__BUCKET?",
    "SHOAL_STOR__BUCKET": "did you mean SHOAL_STORE__BUCKET?",
    "SHOAL_BROKER_URL": "did you mean SHOAL_BROKER__URL?",
    "SHOAL_X": "`shoal settings` lists all",
}


@pytest.mark.parametrize(("setting", "hint"), MISTYPED.items())
def test_a_mistyped_setting_is_refused_by_name_with_the_nearest_right_one(
    monkeypatch: pytest.MonkeyPatch, setting: str, hint: str
) -> None:
    monkeypatch.setenv(setting, "x")
    with pytest.raises(ConfigurationError) as caught:
        load_settings(Settings)
    assert str(caught.value) == f"unknown setting {setting}; {hint}"


@pytest.mark.parametrize(("command", "status"), [("status", 78), ("init", 78), ("settings", 0)])
def test_every_command_refuses_it_also_in_a_section_that_it_does_not_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, status: int
) -> None:
    monkeypatch.setenv("SHOAL_TRAINING__FIT__MAX_STEP", "9")
    monkeypatch.setattr(sys, "argv", ["shoal", command])
    with pytest.raises(SystemExit) as ended:
        main()
    said = (
        "error: unknown setting SHOAL_TRAINING__FIT__MAX_STEP; did you mean SHOAL_TRAINING__FIT__MAX_STEPS?\n"
    )
    assert ended.value.code == status
    assert capsys.readouterr().err == (said if status else "")


def test_a_value_that_is_wrong_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_WORKER__THREADS", "none")
    with pytest.raises(ConfigurationError, match="SHOAL_WORKER__THREADS"):
        load_settings(Settings)


def test_a_section_may_be_set_as_json_and_those_of_other_processes_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOAL_STORE", '{"bucket": "b"}')
    monkeypatch.setenv("SHOAL_TRAINING__EVERY_S", "60")
    assert load_settings(Settings).store.bucket == "b"
