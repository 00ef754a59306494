"""What `shoal demo` refuses before anything starts."""

import sys
from pathlib import Path

import pytest

from console.cli import main
from console.commands.demo import FOR_DIGITS, PURE_FOR_DIGITS, shortened
from console.stack_folder import lock
from training.fit_settings import FitSettings, plan_steps
from training.settings import Settings


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> "Refused":
    monkeypatch.chdir(tmp_path)
    return Refused(monkeypatch, capsys)


class Refused:
    """Runs `shoal demo`, which must not come as far as its servers; gives what it says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self) -> str:
        def started(*_: object, **__: object) -> None:
            pytest.fail("servers are started")

        self._monkeypatch.setattr("console.commands.demo.Stack", started)
        self._monkeypatch.setattr(sys, "argv", ["shoal", "demo"])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 1
        return self._capsys.readouterr().err


def test_a_wrong_recipe(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_TRAINING__FIT__RECIPE", "magic")
    assert "no recipe is called 'magic'; known: " in refused()


def test_a_folder_in_which_another_demo_is_at_work(refused: Refused) -> None:
    Path("shoal-demo").mkdir()
    with lock(Path("shoal-demo") / ".lock"):
        assert "shoal-demo is in use by process" in refused()


def test_the_training_of_the_digits_is_short_unless_the_settings_say_how_long_it_is() -> None:
    def fit(images: Path | None = None, **own: float | str) -> FitSettings:
        settings = Settings.model_validate({"training": {"fit": own}})
        return shortened(settings, images).training.fit

    assert fit() == FitSettings.model_validate(PURE_FOR_DIGITS)
    assert 200 <= plan_steps(1294, fit()).n_steps < 210  # whole epochs
    assert fit(min_steps=50) == FitSettings(min_steps=50)
    assert fit(max_steps=50) == FitSettings(max_steps=50)
    assert fit(learning_rate=1e-3) == FitSettings(learning_rate=1e-3)
    assert fit(Path("photos")) == FitSettings()
    assert fit(recipe="pixel") == FitSettings.model_validate({"recipe": "pixel"} | FOR_DIGITS)
