"""Train one autoencoder by a recipe: arrays in, weights out; no files.

```
settings -> plan      steps follow from the corpus and the budget      fit_settings.py
recipe -> objective   encoder, decoder, and what to ask of them        recipes/
first                 what a frozen network says of each picture, if the recipe asks that
each step             shuffled rows -> pixels (only these are read) -> losses -> AdamW
each epoch            validation losses, best weights kept -> on_epoch(report) -> plateau? stop
```

Pictures may be a memory-mapped array larger than memory. On a CPU the same arrays, settings and
number of threads give the same weights. The caller's random state is left as it was.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model_store.autoencoder import Decoder, Encoder, to_images
from model_store.encoders import new_encoder
from producer.errors import TrainingFailed
from training.checkpoint import Checkpoints, FitState
from training.fit_run import EpochReport, Measure, OnEpoch, Run
from training.fit_settings import FitSettings, Plan, plan_steps
from training.progress import SILENT, Progress
from training.read_ahead import Pictures
from training.recipes import Objective, recipe
from training.room import parts, release, room
from training.team import Team, current, leave

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
    resumed_at: int = 0  # steps that an earlier attempt had done
    earlier_s: float = 0.0  # that it took for them, and that `seconds` includes


def fit_autoencoder(
    pixels: NDArray[np.uint8],
    validation: NDArray[np.uint8],
    settings: FitSettings,
    *,
    rows: NDArray[np.intp] | None = None,
    validation_rows: NDArray[np.intp] | None = None,
    on_epoch: OnEpoch | None = None,
    progress: Progress = SILENT,
    start: tuple[Encoder, Decoder] | None = None,
    checkpoints: Checkpoints | None = None,
    purpose: str = "",
    folder: Path | None = None,
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
        progress: told of the stage `encode`, in pictures, if the recipe has one, and of `train`, in steps.
        start: weights to begin with, of the same architecture; default: random ones.
        checkpoints: where to leave the state when that is due, and where an earlier attempt left its own:
            then the fit goes on from there, to the weights that it would have given unbroken.
        purpose: what the fit is of; a checkpoint of something else is not continued.
        folder: for the file of a teacher's targets that are too many for memory.
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
    team = current()
    plan = plan_steps(len(chosen[0]), settings, team.size if team else 1)
    device = team.device(settings.torch_device().type) if team else settings.torch_device()
    resumed_at, earlier_s = 0, 0.0
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(settings.random_state)
        objective = recipe(settings.recipe)(settings.network, settings.augmentation).to(device)
        if start is not None:
            objective.encoder.load_state_dict(start[0].state_dict())
            objective.decoder.load_state_dict(start[1].state_dict())
        state = None
        if checkpoints is not None:
            processes = team.size if team else 1
            shapes = settings.network.model_dump_json()  # of a recipe with defaults of its own, in no setting
            state = checkpoints.load(
                f"{purpose} {settings.model_dump_json()} {shapes} {torch.__version__} {processes} processes"
                f"{objective.frozen_digest()}"
            )
        corpora = described(objective, (pixels, validation), chosen, folder, progress)
        if team is not None:
            lead(team, settings, plan, corpora[0], state)
        run = Run(objective, corpora[0], corpora[1], settings, plan, team)
        progress.stage("train", plan.n_steps)
        if state is not None:
            run.restore(state)
            resumed_at, earlier_s = run.steps_done, run.seconds
            progress.note(f"goes on after step {resumed_at}, from a checkpoint")
        run.seconds += time.perf_counter() - started  # a checkpoint has those of encoding too
        history, stopped_early = run.train(on_epoch, progress.advance, checkpoints, measure)
        leave()  # the others of a team end here: they fit one model
        # new ones: in a team on GPUs the batch norm is another
        encoder, decoder = new_encoder(settings.network), Decoder(settings.network)
        encoder.load_state_dict(objective.encoder.state_dict())
        decoder.load_state_dict(objective.decoder.state_dict())
    seconds = earlier_s + time.perf_counter() - started
    return FittedAutoencoder(
        encoder.eval(), decoder.eval(), history, seconds, device.type, stopped_early, resumed_at, earlier_s
    )


def described(
    objective: Objective,
    arrays: Sequence[NDArray[np.uint8]],
    rows: Sequence[NDArray[np.intp]],
    folder: Path | None,
    progress: Progress,
) -> list[Pictures]:
    """Give these rows of each array with their targets, if the recipe has any."""
    done = 0

    def more(n: int) -> None:
        nonlocal done
        done += n
        progress.advance(done)

    if objective.has_targets:
        progress.stage("encode", sum(map(len, rows)))
    return [
        Pictures(array, taken, objective.targets(array, taken, folder, more))
        for array, taken in zip(arrays, rows, strict=True)
    ]


def lead(team: Team, settings: FitSettings, plan: Plan, pictures: Pictures, state: FitState | None) -> None:
    """Tell the other processes of the team what to fit."""
    arrays: dict[str, NDArray[Any]] = {"pixels": pictures.pixels, "rows": pictures.rows}
    if pictures.targets is not None:
        arrays["targets"] = pictures.targets
    if state is not None:
        arrays["state"] = np.frombuffer(state.to_bytes(), np.uint8)
    told = settings.model_dump(mode="json", exclude_unset=True)  # what is the recipe's to decide stays so
    team.send({"settings": told, "plan": asdict(plan)}, arrays)


def follow(team: Team) -> None:
    """Fit in step with rank 0, of another process; what comes of it, rank 0 has.

    Raises:
        TrainingFailed: a loss is not finite; rank 0 says so too.
    """
    facts, arrays = team.receive()
    settings = FitSettings.model_validate(facts["settings"])
    device = team.device(settings.torch_device().type)
    objective = recipe(settings.recipe)(settings.network, settings.augmentation).to(device)
    pictures = Pictures(arrays["pixels"], arrays["rows"], arrays.get("targets"))
    run = Run(objective, pictures, pictures, settings, Plan(**facts["plan"]), team)
    if "state" in arrays:
        run.restore(FitState.from_bytes(arrays["state"].tobytes()))
    run.train(None, None)


def embed(
    encoder: Encoder,
    pixels: NDArray[np.uint8],
    batch_size: int = 256,
    device: str = "cpu",
    folder: Path | None = None,
    progress: Progress = SILENT,
) -> NDArray[np.float32]:
    """Embed pictures, a batch at a time.

    Args:
        encoder: is moved to `device` and left there, in eval mode.
        pixels: (N, S, S, 3) uint8; may be a memory map.
        batch_size: pictures read at once.
        device: where to compute, such as `cpu` or `cuda:0`.
        folder: for the file of embeddings that are too many for memory.
        progress: told how many are done.

    Returns:
        Embeddings (N, D) float32, not normalised, in the order of `pixels`; many are mapped.
    """
    encoder.to(device).eval()
    embeddings = room((len(pixels), encoder.architecture.embedding_dim), np.float32, folder)
    with torch.inference_mode():
        for start, part in parts(pixels, batch_size):
            images = to_images(torch.from_numpy(part).to(device))  # (B, 3, S, S)
            embeddings[start : start + len(part)] = encoder(images).cpu().numpy()
            release(embeddings)
            progress.advance(start + len(part))
    return embeddings


def _rows(
    name: str, pixels: NDArray[np.uint8], rows: NDArray[np.intp] | None, settings: FitSettings
) -> NDArray[np.intp]:
    """Give the rows to use; refuse pictures that the architecture is not for, and none at all."""
    side = settings.network.input_size
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != (side, side, 3):
        raise TrainingFailed(
            f"{name} pictures are {pixels.dtype} {pixels.shape}, needed is uint8 (N, {side}, {side}, 3): "
            "decode them with this input_size"
        )
    taken = np.arange(len(pixels)) if rows is None else rows
    if not len(taken):
        raise TrainingFailed(f"there are no {name} pictures")
    return taken
