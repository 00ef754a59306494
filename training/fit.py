"""Train one autoencoder by a recipe: arrays in, weights out; no files, no display.

```
settings -> plan      steps follow from the corpus and the budget      fit_settings.py
recipe -> objective   encoder, decoder, and what to ask of them        recipes/
each step             shuffled rows -> pixels (only these are read) -> losses -> AdamW -> on_step(done, total)
each epoch            validation losses, best weights kept -> on_epoch(report) -> plateau? stop
```

Pictures may be a memory-mapped array larger than memory. On a CPU the same arrays, settings and
number of threads give the same weights. The caller's random state is left as it was.
"""

import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from model_store.autoencoder import Decoder, Encoder, to_images
from producer.errors import TrainingFailed
from training.checkpoint import Checkpoints
from training.fit_run import EpochReport, Measure, OnEpoch, OnStep, Pictures, Run
from training.fit_settings import FitSettings, plan_steps
from training.recipes import recipe

__all__ = ["EpochReport", "FitSettings", "FittedAutoencoder", "embed", "fit_autoencoder"]


@dataclass(frozen=True)
class FittedAutoencoder:
    """Both halves in eval mode on the CPU, as they were at the lowest validation loss; and how it went."""

    encoder: Encoder
    decoder: Decoder
    history: list[EpochReport]
    seconds: float
    device: str
    stopped_early: bool


def fit_autoencoder(
    pixels: NDArray[np.uint8],
    validation: NDArray[np.uint8],
    settings: FitSettings,
    *,
    rows: NDArray[np.intp] | None = None,
    validation_rows: NDArray[np.intp] | None = None,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
    start: tuple[Encoder, Decoder] | None = None,
    checkpoints: Checkpoints | None = None,
    purpose: str = "",
    measure: Measure | None = None,
) -> FittedAutoencoder:
    """Train an autoencoder without labels.

    Args:
        pixels: (N, S, S, 3) uint8; may be a memory map, of which one batch at a time is read.
        validation: (V, S, S, 3) uint8, V at least 1: pictures kept out of training, to see a plateau by.
        settings: what to train, and for how long.
        rows: which of `pixels` to train on, sorted; default: all. Nothing else of them is read.
        validation_rows: which of `validation` to use, sorted; default: all.
        on_epoch: called after each epoch; an exception raised in it ends the run.
        on_step: called after each step with steps done and steps planned.
        start: weights to begin with, of the same architecture; default: random ones.
        checkpoints: where to leave the state after an epoch when one is due, and where an earlier attempt
            left its own: then the fit goes on from there, to the weights that it would have given unbroken.
        purpose: what the fit is of; a checkpoint of something else is not continued.
        measure: called after each epoch with its number and the encoder; what it gives is in the history.

    Returns:
        The weights with the lowest validation loss, and the run's history.

    Raises:
        TrainingFailed: too few pictures, pictures of another shape, or a loss that is not finite.
        ConfigurationError: the recipe or the device does not exist.
    """
    started = time.perf_counter()
    chosen = (
        _rows("training", pixels, rows, settings),
        _rows("validation", validation, validation_rows, settings),
    )
    plan = plan_steps(len(chosen[0]), settings)
    device = settings.torch_device()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(settings.random_state)
        objective = recipe(settings.recipe)(settings.architecture, settings.augmentation).to(device)
        if start is not None:
            objective.encoder.load_state_dict(start[0].state_dict())
            objective.decoder.load_state_dict(start[1].state_dict())
        corpora = [
            Pictures(array, taken, objective.targets(array, taken))
            for array, taken in zip((pixels, validation), chosen, strict=True)
        ]
        run = Run(objective, corpora[0], corpora[1], settings, plan)
        if checkpoints is not None:
            state = checkpoints.load(f"{purpose} {settings.model_dump_json()} {torch.__version__}")
            if state is not None:
                run.restore(state)
        history, stopped_early = run.train(on_epoch, on_step, checkpoints, measure)
    kept = objective.cpu().eval()
    seconds = time.perf_counter() - started
    return FittedAutoencoder(kept.encoder, kept.decoder, history, seconds, device.type, stopped_early)


def embed(
    encoder: Encoder, pixels: NDArray[np.uint8], batch_size: int = 256, device: str = "cpu"
) -> NDArray[np.float32]:
    """Embed pictures, a batch at a time.

    Args:
        encoder: is moved to `device` and left there, in eval mode.
        pixels: (N, S, S, 3) uint8; may be a memory map.
        batch_size: pictures read at once.
        device: where to compute, such as `cpu` or `cuda:0`.

    Returns:
        Embeddings (N, D) float32, not normalised, in the order of `pixels`.
    """
    encoder.to(device).eval()
    embeddings = np.empty((len(pixels), encoder.architecture.embedding_dim), np.float32)
    with torch.inference_mode():
        for start in range(0, len(pixels), batch_size):
            part = torch.from_numpy(np.array(pixels[start : start + batch_size]))  # (B, S, S, 3)
            embeddings[start : start + len(part)] = encoder(to_images(part.to(device))).cpu().numpy()
    return embeddings


def _rows(
    name: str, pixels: NDArray[np.uint8], rows: NDArray[np.intp] | None, settings: FitSettings
) -> NDArray[np.intp]:
    """Give the rows to use; refuse pictures that the architecture is not for, and none at all."""
    side = settings.architecture.input_size
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != (side, side, 3):
        raise TrainingFailed(
            f"{name} pictures are {pixels.dtype} {pixels.shape}, needed is uint8 (N, {side}, {side}, 3): "
            "decode them with this input_size"
        )
    taken = np.arange(len(pixels)) if rows is None else rows
    if not len(taken):
        raise TrainingFailed(f"there are no {name} pictures")
    return taken
