"""What a process need not have is not imported at its start: torch alone takes seconds, each time."""

import subprocess
import sys

import pytest

from console.command_line import COMMANDS

TORCH = ("torch", "sklearn", "scipy", "matplotlib")


@pytest.mark.parametrize(
    ("modules", "unwanted"),
    [
        (["console.cli"], ("typer", "rich", "structlog", "pydantic")),  # or Ctrl-C would be a traceback
        (["worker.decode_child"], (*TORCH, "celery", "redis", "boto3")),
        (["worker.app"], TORCH),  # says what is wrong with its settings before it loads what it works with
        (["training.app"], TORCH),  # beat's too
        ([f"console.commands.{name}" for name in {*COMMANDS.values()}], TORCH),  # what --help shows
    ],
    ids=["shoal", "decoding process", "worker", "trainer and beat", "commands"],
)
def test_a_start_brings_only_what_it_needs(modules: list[str], unwanted: tuple[str, ...]) -> None:
    program = f"import sys, {', '.join(modules)}\nprint([name for name in {unwanted} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout == "[]\n", done.stderr
