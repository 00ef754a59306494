import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from console.cli import main
from console.guarded_process import GuardedProcess
from tests.system.running_platform import picture, wait_until

SHOAL = [sys.executable, "-m", "console.cli"]
ROOT = Path(__file__).parents[2]
QUICK = {
    "SHOAL_TRAINING__FIT__RECIPE": "pixel",
    "SHOAL_TRAINING__FIT__ARCHITECTURE__WIDTHS": "[8, 16]",
    "SHOAL_TRAINING__FIT__MIN_STEPS": "20",
    "SHOAL_TRAINING__FIT__MAX_STEPS": "20",
    "SHOAL_WORKER__MODEL_POLL_S": "0.2",
    "OMP_NUM_THREADS": "1",
}


class Shell:
    """Runs `shoal` in a folder, as a person would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {**os.environ, **QUICK, "PYTHONPATH": str(ROOT)}

    def run(self, *arguments: str, status: int = 0) -> str:
        done = subprocess.run(
            [*SHOAL, *arguments],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == status, done.stderr
        return done.stdout if status == 0 else done.stderr

    def json(self, *arguments: str) -> dict[str, object]:
        answer: dict[str, object] = json.loads(self.run(*arguments, "--json").splitlines()[-1])
        return answer


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return Shell(tmp_path_factory.mktemp("shell"))


@pytest.fixture(scope="module")
def pictures(shell: Shell) -> Path:
    folder = shell.folder / "pictures"
    for i in range(60):
        kind = folder / "abc"[i % 3]
        kind.mkdir(parents=True, exist_ok=True)
        (kind / f"{i}.png").write_bytes(picture(i % 3, i))
    return folder


@pytest.fixture(scope="module")
def up(stack: object, shell: Shell) -> Iterator[Path]:
    """`shoal up` in the shell's folder; gives its log. `stack` only tells whether the wheels are there."""
    assert stack
    log = shell.folder / "up.log"
    with log.open("wb") as out:
        process = GuardedProcess([*SHOAL, "up"], output=out, env=shell.env, cwd=shell.folder, grace_s=60)
        try:
            ready = ("worker ready", "trainer ready", "beat: Starting")
            wait_until(lambda: all(r in log.read_text() for r in ready), 90, "up")
            yield log
        finally:
            process.terminate()
            process.wait()


def test_a_person_goes_from_up_to_results(up: Path, shell: Shell, pictures: Path) -> None:
    trained = shell.json("train", str(pictures), "--n-clusters", "3")
    assert trained["promoted"] is True
    submitted = shell.json("submit", str(pictures), "--wait")
    assert submitted["submitted"] == 60
    results = submitted["results"]
    assert isinstance(results, list)
    assert len(results) == 60
    (shell.folder / "empty").mkdir()
    (shell.folder / "empty" / "README.txt").write_text("no picture")
    said = shell.run("submit", "empty", status=1)
    assert "no pictures by their names: 1 (empty/README.txt)" in said
    assert "nothing to submit: no picture in empty" in said
    one = shell.json("result", results[0]["image_id"])
    assert one["status"] in {"assigned", "unknown"}
    status = shell.json("status")
    assert {"broker_url", "store", "credentials_file", "workers", "lanes"} <= set(status)
    workers = status["workers"]
    assert isinstance(workers, list)
    assert len(workers) == 1
    assert workers[0]["models"]["default"]["version"] == trained["version"]
    assert "***" in shell.run("status").replace("\n", "")
    assert str(trained["version"]) in shell.run("models", "show", str(trained["version"]))
    again = shell.json("train", "--seed", "1", "--force", "--reason", "a test")  # from the ledger
    assert again["n_images"] == 60
    assert again["n_clusters"] == 3  # as the champion
    assert again["generation"] == 2
    stored = shell.json("models", "report", str(trained["version"]), "--out", "stored")
    assert stored["made_anew"] is False
    assert "/19.png" in (shell.folder / "stored" / "report.html").read_text()  # of the folder
    assert (shell.folder / "stored" / "map-clusters.png").stat().st_size
    assert shell.json("models", "rollback")["version"] == trained["version"]
    assert shell.json("models", "promote", str(again["version"]))["generation"] == 4
    versions = json.loads(shell.run("models", "list", "--json"))
    assert [v["aliases"] for v in versions] == [["previous"], ["champion"]]
    assert "worker-1" in up.read_text()


def test_a_second_up_in_the_same_folder_is_refused(up: Path, shell: Shell) -> None:
    env_file = shell.folder / ".shoal" / "stack.env"
    assert env_file.stat().st_mode & 0o777 == 0o600
    second = shell.run("up", status=1)
    assert "error:" in second
    assert up.exists()


def test_a_bundle_is_trained_and_judged_without_servers(shell: Shell, pictures: Path) -> None:
    shell.run("train", str(pictures), "--n-clusters", "3", "--out", "bundle")
    assert "<h2>The map</h2>" in (shell.folder / "bundle" / "report.html").read_text()
    files = sorted(pictures.rglob("*.png"))
    kinds = np.array([file.parent.name for file in files])
    rng = np.random.default_rng(0)
    images = np.stack([rng.integers(0, 60, (32, 32, 3), dtype=np.uint8) for _ in files])
    for image, kind in zip(images, kinds, strict=True):
        image[..., "abc".index(kind)] += 150
    np.save(shell.folder / "x.npy", images)
    np.save(shell.folder / "y.npy", kinds)
    arguments = ("evaluate", "--images", "x.npy", "--labels", "y.npy", "--bundle", "bundle")
    answer = shell.json(*arguments)
    assert answer["n"] == 60
    assert {"accuracy", "nmi", "ari"} <= set(answer)
    assert shell.json(*arguments, "--refit", "--n-clusters", "3")["accuracy"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train", "nowhere", "--out", "x"), "nowhere"),
        (("evaluate", "--images", "x", "--labels", "y", "--bundle", "."), "no manifest.json"),
        (("submit", "nowhere"), "no file or folder nowhere"),
        (("submit", "pictures", "--lane", "express"), "--lane is one of interactive, bulk, not express"),
        (("submit", "pictures", "--collection", "bad/name"), "no name for a collection"),
        (("demo", "--images", "nowhere"), "no folder nowhere"),
        (("train", "pictures", "--collection", "bad/name", "--out", "x"), "no name for a collection"),
        (("train", "pictures", "--input-size", "33", "--out", "x"), "input_size"),
        (("train", "pictures", "--recipe", "magic", "--out", "x"), "magic"),
        (
            ("train", "pictures", "--recipe", "pretrained", "--input-size", "33", "--out", "x"),
            "input_size: it takes 32, 64, 96, 128, 160, 192, 224 pixels, not 33",
        ),
        (("train", "pictures", "--force", "--out", "x"), "--reason"),
        (
            ("train", "pictures", "--n-clusters", "1", "--out", "x"),
            "n_clusters: it takes a number from 2 to 4096, or auto",
        ),
    ],
)
def test_a_mistake_is_one_line_that_says_what_is_wrong(
    pictures: Path,
    arguments: tuple[str, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(pictures.parent)
    for name in ("ACCESS_KEY", "SECRET_KEY"):  # no mistake gets as far as their use
        monkeypatch.setenv(f"SHOAL_STORE__{name}", "x")
    monkeypatch.setattr(sys, "argv", ["shoal", *arguments])  # in this process: starting one takes seconds
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    error = capsys.readouterr().err.replace("\n", " ")
    assert said in error.partition("error: ")[2]
