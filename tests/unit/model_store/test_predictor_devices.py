import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model_store.bundle_files import PROBE_TOLERANCE
from model_store.predictor import Predictor, best_device
from producer.errors import ConfigurationError
from tests.tiny_model import tiny_model, tiny_pixels

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    made = tiny_model(n_clusters=6)
    return Predictor(made.encoder, made.clusterer, "cpu")


@pytest.fixture(scope="module")
def pixels() -> NDArray[np.uint8]:
    """Pictures that the model was not fitted on."""
    return tiny_pixels(90, seed=7)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA"), MemoryError(), RuntimeError("you can't allocate memory")]
)
def test_a_batch_that_does_not_fit_the_device_is_done_in_parts(
    predictor: Predictor, pixels: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    whole, predict, sizes = predictor(pixels), predictor._predict, []

    def small(part: torch.Tensor) -> torch.Tensor:
        if len(part) > 3:
            raise error
        sizes.append(len(part))
        return predict(part)

    monkeypatch.setattr(predictor, "_predict", small)
    parts = predictor(pixels)
    assert sum(sizes) == len(pixels)
    assert (parts.nearest == whole.nearest).all()
    np.testing.assert_allclose(parts.distances, whole.distances, atol=1e-5)


def test_any_other_error_of_the_device_is_told(
    predictor: Predictor, pixels: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("device-side assert triggered")

    monkeypatch.setattr(predictor, "_predict", broken)
    with pytest.raises(RuntimeError, match="assert"):
        predictor(pixels)


def test_auto_takes_cuda_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert best_device() == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert best_device() == "cpu"
    assert best_device("cpu") == "cpu"


def test_a_cuda_device_that_is_not_there_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigurationError, match="set it to 'auto' or 'cpu'"):
        best_device("cuda:1")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees_with_the_cpu_within_the_probes_tolerance(pixels: NDArray[np.uint8]) -> None:
    on_cpu, on_cuda = tiny_model(n_clusters=6), tiny_model(n_clusters=6)

    expected = Predictor(on_cpu.encoder, on_cpu.clusterer, "cpu")(pixels)
    prediction = Predictor(on_cuda.encoder, on_cuda.clusterer, "cuda")(pixels)

    np.testing.assert_allclose(prediction.projections, expected.projections, atol=PROBE_TOLERANCE)
    np.testing.assert_allclose(prediction.distances, expected.distances, atol=PROBE_TOLERANCE)
    clear = expected.distances[:, 1] - expected.distances[:, 0] > 2 * PROBE_TOLERANCE
    np.testing.assert_array_equal(prediction.nearest[clear, 0], expected.nearest[clear, 0])
