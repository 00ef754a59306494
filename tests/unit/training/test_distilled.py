import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model_store.architecture import Architecture
from training.augmentation import Augmentation
from training.fit import FitSettings, embed, fit_autoencoder
from training.read_ahead import Pictures
from training.recipes import distilled
from training.recipes.distilled import Distilled
from training.recipes.objective import Batch
from training.teacher_targets import TeacherTargets, unit_length

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = Architecture(widths=(4, 6), embedding_dim=5)
STILL = Augmentation.model_validate(dict.fromkeys(Augmentation.model_fields, 0) | {"min_crop": 1})
Pixels = NDArray[np.uint8]


class MeanColour:
    """A teacher that sees nothing but the colour of the four quarters: T = 12."""

    name, side = "mean-colour", 32

    def __init__(self) -> None:
        self.seen: list[int] = []  # size of each batch

    def features(self, pixels: Pixels) -> NDArray[np.float32]:
        self.seen.append(len(pixels))
        quarters = pixels.reshape(-1, 2, 16, 2, 16, 3).mean((2, 4), dtype=np.float32)
        return np.asarray(quarters.reshape(len(pixels), -1), np.float32)


@pytest.fixture
def teacher(monkeypatch: pytest.MonkeyPatch) -> MeanColour:
    asked = MeanColour()
    monkeypatch.setattr(distilled, "load_teacher", lambda *_: asked)
    return asked


def noise(n: int, seed: int = 0) -> Pixels:
    """Each picture of one random colour, its quarters a little off it, in noise."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 150, (n, 1, 1, 3)) + rng.integers(0, 50, (n, 2, 2, 3))
    quarters = colours.repeat(16, 1).repeat(16, 2)
    return (quarters + rng.integers(0, 50, (n, 32, 32, 3))).astype(np.uint8)


def test_the_embedding_comes_to_agree_with_the_teacher(teacher: MeanColour) -> None:
    settings = FitSettings(
        recipe="distilled",
        architecture=SMALL,
        augmentation=STILL,
        min_steps=100,
        max_steps=100,
        batch_size=16,
        device="cpu",
    )
    pixels, validation = noise(64), noise(16, seed=1)

    fitted = fit_autoencoder(pixels, validation, settings)

    first, last = fitted.history[0].validation, fitted.history[-1].validation
    assert last["regression"] < 0.8 * first["regression"]
    assert sum(teacher.seen) == len(pixels) + len(validation)  # each picture once, not once an epoch


def test_validation_pictures_are_projected_as_the_training_pictures_were() -> None:
    targets, rows = TeacherTargets(MeanColour(), n_components=5), np.arange(40)

    together = targets(noise(40), rows)
    again = targets(noise(40), rows[10:20])

    np.testing.assert_allclose(again, together[10:20], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=1e-5)


def test_targets_stand_in_the_order_of_the_rows_that_were_asked_for() -> None:
    pixels, rows = noise(60), np.array([50, 3, 17, 8, 22, 41, 9, 30])

    of_rows = TeacherTargets(MeanColour(), n_components=4)(pixels, rows)
    of_copy = TeacherTargets(MeanColour(), n_components=4)(pixels[rows], np.arange(len(rows)))

    np.testing.assert_allclose(of_rows, of_copy, atol=1e-5)


def test_pictures_are_read_a_batch_at_a_time_and_each_once() -> None:
    teacher = MeanColour()

    TeacherTargets(teacher, n_components=4)(noise(70), np.arange(70))

    assert sum(teacher.seen) == 70
    assert max(teacher.seen) <= 32


def test_more_components_than_the_teacher_has_are_left_at_0() -> None:
    targets = TeacherTargets(MeanColour(), n_components=20)(noise(40), np.arange(40))

    assert targets.shape == (40, 20)
    assert not targets[:, 12:].any()
    np.testing.assert_allclose(np.linalg.norm(targets, axis=1), 1, rtol=1e-5)


def test_targets_keep_the_angles_between_centred_features() -> None:
    features = unit_length(MeanColour().features(noise(40)))
    expected = unit_length(features - features.mean(0))

    targets = TeacherTargets(MeanColour(), n_components=12)(noise(40), np.arange(40))

    np.testing.assert_allclose(targets @ targets.T, expected @ expected.T, atol=1e-4)


def test_a_better_prediction_has_a_lower_total() -> None:
    torch.manual_seed(0)
    objective = Distilled(SMALL, Augmentation()).eval()
    pixels = torch.from_numpy(noise(16))
    with torch.no_grad():
        ideal = objective.encoder(pixels.permute(0, 3, 1, 2).float() / 255)
        torch.manual_seed(1)
        close = objective(Batch(pixels, ideal))
        torch.manual_seed(1)
        far = objective(Batch(pixels, -ideal))

    assert close["regression"] < far["regression"]
    assert close["total"] < far["total"]


def test_the_teacher_is_neither_trained_nor_kept(teacher: MeanColour) -> None:
    objective = Distilled(SMALL, Augmentation())

    objective.targets(noise(20), np.arange(20))

    assert teacher.seen
    assert {name.split(".")[0] for name in objective.state_dict()} == {"encoder", "decoder"}


def test_training_on_rows_equals_training_on_a_copy_of_them(teacher: MeanColour) -> None:
    settings = FitSettings(
        recipe="distilled", architecture=SMALL, min_steps=20, max_steps=20, batch_size=16, device="cpu"
    )
    pixels, rows, held_out = noise(60), np.arange(0, 60, 2), np.arange(1, 60, 6)

    by_rows = fit_autoencoder(pixels, pixels, settings, rows=rows, validation_rows=held_out)
    by_copy = fit_autoencoder(pixels[rows], pixels[held_out], settings)

    np.testing.assert_array_equal(embed(by_rows.encoder, pixels), embed(by_copy.encoder, pixels))
    assert teacher.seen


def test_a_batch_holds_the_pictures_and_their_own_targets() -> None:
    pixels, rows = noise(10), np.array([2, 5, 7])
    targets = rows[:, None].astype(np.float32)

    batch = Pictures(pixels, rows, targets).batch(np.array([2, 0]), torch.device("cpu"))

    assert batch.targets is not None
    np.testing.assert_array_equal(batch.pixels.numpy(), pixels[[2, 7]])
    np.testing.assert_array_equal(batch.targets.numpy(), [[2], [7]])
