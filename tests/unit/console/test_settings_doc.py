from pathlib import Path

import pytest

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


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("SHOAL_STORE__BUKET", "x"),
        ("SHOAL_STOR__BUCKET", "x"),
        ("SHOAL_WORKER__THREADS", "none"),
        ("SHOAL_X", "1"),
    ],
)
def test_a_mistyped_setting_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: str
) -> None:
    monkeypatch.setenv(setting, value)
    with pytest.raises(ConfigurationError, match=setting):
        load_settings(Settings)
