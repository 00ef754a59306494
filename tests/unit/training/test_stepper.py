from collections.abc import Iterator

import numpy as np
import pytest
import torch

from model_store.architecture import Architecture
from tests.tiny_model import tiny_pixels
from training.augment import augment
from training.augmentation import Augmentation
from training.checkpoint import FitState
from training.fit import embed, fit_autoencoder
from training.fit_settings import FitSettings
from training.read_ahead import Pictures, ReadAhead
from training.recipes import Batch, recipe
from training.stepper import Stepper

CPU = torch.device("cpu")
SMALL = {"architecture": Architecture(widths=(4, 6), embedding_dim=5), "batch_size": 16}
BUDGET = {"min_steps": 20, "max_steps": 20}

pytestmark = pytest.mark.usefixtures("one_thread")


def settings(**changed: object) -> FitSettings:
    return FitSettings.model_validate({"recipe": "pure", "device": "cpu", **SMALL, **BUDGET, **changed})


def stepper(chosen: FitSettings, device: torch.device = CPU) -> Stepper:
    torch.manual_seed(0)
    objective = recipe(chosen.recipe)(chosen.network, chosen.augmentation).to(device)
    return Stepper(objective, chosen, 40, None)


def batch(device: torch.device = CPU) -> Batch:
    return Batch(torch.from_numpy(tiny_pixels(16)).to(device))


def test_sixteen_bits_train_about_as_well_and_leave_weights_of_thirty_two() -> None:
    pixels = tiny_pixels(48)
    exact, mixed = (
        fit_autoencoder(pixels, pixels[:8], settings(precision=precision))
        for precision in ("float32", "bfloat16")
    )

    assert mixed.history[-1].validation["total"] == pytest.approx(
        exact.history[-1].validation["total"], rel=0.1
    )
    assert {weight.dtype for weight in mixed.encoder.parameters()} == {torch.float32}


def test_a_cpu_computes_in_float32_unless_it_is_told_otherwise() -> None:
    assert settings().compute_dtype(CPU) == torch.float32
    assert settings(precision="bfloat16").compute_dtype(CPU) == torch.bfloat16


@pytest.mark.parametrize(("has_it", "dtype"), [(True, torch.bfloat16), (False, torch.float16)])
def test_a_gpu_computes_in_the_sixteen_bits_that_its_hardware_has(
    *, has_it: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    def supported(*, including_emulation: bool = True) -> bool:
        return has_it or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)

    assert settings().compute_dtype(torch.device("cuda")) == dtype
    assert settings(precision="float32").compute_dtype(torch.device("cuda")) == torch.float32


def test_views_are_drawn_in_full_precision_whatever_surrounds_them() -> None:
    images = torch.rand(4, 3, 32, 32)
    torch.manual_seed(1)
    exact = augment(images, Augmentation())
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16):
        surrounded = augment(images, Augmentation())

    assert torch.equal(surrounded, exact)


def test_convolutions_keep_their_weights_channels_last() -> None:
    weights = [p for p in stepper(settings()).objective.parameters() if p.dim() == 4 and p.shape[1] > 1]

    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)


def test_a_stepper_goes_on_from_its_state_as_if_it_had_not_stopped() -> None:
    unbroken = stepper(settings(recipe="pixel"))
    for _ in range(3):
        unbroken.step(batch())
    tensors, facts = unbroken.state()
    kept = FitState.from_bytes(FitState(tensors, facts).to_bytes())
    expected = unbroken.step(batch())["total"]

    resumed = stepper(settings(recipe="pixel"))
    resumed.restore(kept.tensors, kept.facts)

    assert torch.equal(resumed.step(batch())["total"], expected)


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_batches_are_the_same_however_far_they_are_read_ahead(depth: int) -> None:
    def order() -> Iterator[np.ndarray]:
        rng = np.random.default_rng(0)
        while True:
            yield rng.permutation(20)[:6]

    pictures = Pictures(tiny_pixels(40), np.arange(10, 30), np.eye(20, dtype=np.float32))
    with ReadAhead(pictures, order(), CPU, depth) as batches:
        found = [next(batches) for _ in range(5)]

    for rows, got in zip(order(), found, strict=False):
        expected = pictures.batch(rows, CPU)
        assert torch.equal(got.pixels, expected.pixels)
        assert got.targets is not None
        assert expected.targets is not None
        assert torch.equal(got.targets, expected.targets)


def test_a_picture_that_cannot_be_read_ends_the_run_with_its_error() -> None:
    pictures = Pictures(tiny_pixels(4), np.array([0, 99]), None)

    with (
        ReadAhead(pictures, iter([np.array([0, 1])] * 9), CPU, 2) as batches,
        pytest.raises(IndexError, match="99"),
    ):
        next(batches)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_gpu_learns_in_sixteen_bits_what_a_cpu_learns(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FitSettings, "compute_dtype", lambda *_: dtype)
    pixels, chosen = tiny_pixels(64), settings(recipe="pixel", device="cuda", min_steps=100, max_steps=100)

    fitted = fit_autoencoder(pixels, pixels[:16], chosen)

    assert fitted.history[-1].validation["total"] < 0.8 * fitted.history[0].validation["total"]
    assert np.isfinite(embed(fitted.encoder, pixels)).all()
