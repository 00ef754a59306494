from pathlib import Path

import pytest
from typer.testing import CliRunner

from console.command_line import build_app
from training.cluster_settings import ClusterSettings
from training.recipes import RECIPES

README = Path(__file__).parents[3] / "README.md"
K = ClusterSettings().n_clusters


@pytest.fixture
def told() -> str:
    """What `shoal train --help` says, without the lines that it is drawn with."""
    shown = CliRunner().invoke(build_app("train"), ["train", "--help"]).output
    return " ".join(shown.replace("│", " ").split())


def test_the_help_says_of_each_recipe_what_it_is_for(told: str) -> None:
    assert [name for name in RECIPES if f"{name}: " not in told.replace(" (default)", "")] == []
    assert "the one with a trustworthy `unknown`, for some ninety times the CPU time" in told


def test_the_number_of_clusters_that_nobody_chose_is_told_in_help_and_readme(told: str) -> None:
    assert f"the champion's, else {K}" in told
    assert f"a first model, of {K} clusters; --n-clusters 7 for another number, auto" in README.read_text()
