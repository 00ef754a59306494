import os
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
BUILT_FROM = ("pyproject.toml", "README.md", "LICENSE")
PACKAGES = ("producer", "worker", "model_store", "training", "console")
HEAVY = ("torch", "numpy", "boto3", "sklearn")
PROBE = f"""
import importlib.util, sys
import producer

assert producer.Producer and producer.ImageRef(image_id="i", bucket="b", key="k")
print([name for name in {HEAVY} if name in sys.modules or importlib.util.find_spec(name)])
"""


def run(*command: str, cwd: Path) -> str:
    clean = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    done = subprocess.run(
        command, cwd=cwd, env=clean, check=False, timeout=180, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


def test_base_install_imports_the_producer_and_brings_nothing_heavy(tmp_path: Path) -> None:
    source = tmp_path / "source"  # building in the repository would leave files behind
    source.mkdir()
    for name in BUILT_FROM:
        shutil.copy(REPOSITORY / name, source)
    for name in PACKAGES:
        shutil.copytree(REPOSITORY / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))

    run(sys.executable, "-m", "venv", "empty", cwd=tmp_path)
    python = str(tmp_path / "empty" / "bin" / "python")
    run(python, "-m", "pip", "install", "--quiet", str(source), cwd=tmp_path)

    assert run(python, "-c", PROBE, cwd=tmp_path) == "[]"
