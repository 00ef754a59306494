import numpy as np
import pytest

from tests.system.running_platform import Platform
from tests.system.shoal_command import Shoal
from tests.tiny_model import tiny_pixels

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS = {
    "SHOAL_TRAINING__FIT__RECIPE": "pixel",
    "SHOAL_TRAINING__FIT__ARCHITECTURE__WIDTHS": "[8, 16]",
    "SHOAL_TRAINING__FIT__BATCH_SIZE": "16",
    "SHOAL_TRAINING__FIT__FROM_CHAMPION": "false",
    "SHOAL_TRAINING__CLUSTER__N_COMPONENTS": "8",
}


def test_a_worse_model_stays_challenger_unless_it_is_forced_with_a_reason(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shoal = Shoal(platform, monkeypatch, capsys)
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    np.save(platform.workdir / "x.npy", tiny_pixels(120))
    train = ("train", "x.npy", "--collection", platform.collection)
    good = shoal.json(*train, "--n-clusters", "3", "--epochs", "20")
    assert (good["promoted"], good["gates_passed"], good["n_clusters"]) == (True, True, 3)

    monkeypatch.setenv("SHOAL_TRAINING__FIT__LEARNING_RATE", "1e-9")  # learns nothing
    worse = shoal.json(*train, "--epochs", "1", "--seed", "7")

    registry = platform.registry()
    assert (worse["promoted"], worse["gates_passed"], worse["n_clusters"]) == (False, False, 3)
    assert "reconstruction error" in worse["reason"]
    assert registry.current().version == good["version"]
    challenger = registry.alias("challenger")
    assert challenger is not None
    assert challenger.version == worse["version"]
    gates = registry.manifest(worse["version"])[0].gates
    assert not all(gate.passed for gate in gates)

    forced = shoal.json(*train, "--epochs", "1", "--seed", "7", "--force", "--reason", "it is a test")

    assert (forced["promoted"], forced["gates_passed"]) == (True, False)
    assert registry.current().reason == "forced: it is a test"
