"""What `quality.py` compares: from pictures without labels to something that embeds, and what that costs.

```
raw              the pixels themselves
notebook         notebook_pipeline.py; it alone does not go through training's own PCA and KMeans
pixel pure ...   each of training's recipes, with its default settings but for the side of the pictures
teacher          the features of the network that `distilled` learns from
```
The encoder of `pretrained` is not trained: no cell trains its decoder, and each picture is embedded once.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.identity import Remembering
from benchmarks.notebook_pipeline import fit_notebook, latents
from benchmarks.quality_sets import Rows
from model_store.efficientnet_lite import EfficientNetLite0
from model_store.encoders import new_encoder
from model_store.predictor import best_device
from training.fit import embed, fit_autoencoder
from training.fit_settings import PRETRAINED, FitSettings, plan_steps
from training.recipes import RECIPES, distilled
from training.recipes.pretrained import Pretrained
from training.teacher_targets import BATCH_SIZE
from training.teachers import NetworkTeacher, efficientnet_lite0

METHODS: Final = ("raw", "notebook", *sorted(RECIPES, reverse=True), "teacher")
TIMED, REPEATS = 256, 5  # pictures at once, and how often

Floats = NDArray[np.float32]
Embed = Callable[[NDArray[np.uint8]], Floats]


@dataclass(frozen=True, slots=True)
class Cost:
    """Of embedding one picture; images/s are medians, per second of the clock and of the CPU."""

    parameters: int
    multiply_adds: int
    images_per_s: float
    images_per_cpu_s: float


@dataclass(frozen=True)
class Embedder:
    """A method after its training.

    Attributes:
        embed: (N, S, S, 3) uint8 to (N, D).
        network: what it computes with, and the side of its input; None if it is no network.
        unremembered: `embed` as it costs; it may itself look up what it has seen before.
    """

    embed: Embed
    network: tuple[nn.Module, int] | None = None
    unremembered: Embed | None = None

    def cost(self, pixels: NDArray[np.uint8]) -> dict[str, float]:
        """Count and time; multiply-adds are of convolutions and matrix products, half of torch's FLOPs."""
        parameters = multiply_adds = 0
        if self.network is not None:
            network, side = self.network
            device = next(network.parameters()).device
            with torch.no_grad(), FlopCounterMode(display=False) as counter:
                network(torch.zeros(1, 3, side, side, device=device))
            parameters = sum(parameter.numel() for parameter in network.parameters())
            multiply_adds = counter.get_total_flops() // 2
        clock, cpu, work = list[float](), list[float](), self.unremembered or self.embed
        some = pixels[:TIMED]
        for repeat in range(REPEATS + 1):
            ticks = time.perf_counter(), time.process_time()
            work(some)
            if repeat:  # the first one warms up
                clock.append(time.perf_counter() - ticks[0])
                cpu.append(time.process_time() - ticks[1])
        return asdict(
            Cost(
                parameters,
                multiply_adds,
                len(some) / statistics.median(clock),
                len(some) / max(statistics.median(cpu), 1e-9),
            )
        )


class Methods:
    """Trains each method on demand; the teacher is asked once for each picture, whoever wants to know."""

    def __init__(self, steps: int | None, device: str) -> None:
        """Take the steps of every training (None: as the settings have it) and the device."""
        bounds = {} if steps is None else {"min_steps": steps, "max_steps": steps}
        self._settings = FitSettings.model_validate({"device": device, **bounds})
        self._device = best_device(device)
        self._asked: tuple[NetworkTeacher, Remembering] | None = None
        self._frozen: tuple[NetworkTeacher, Remembering] | None = None

    def __call__(
        self, method: str, pixels: NDArray[np.uint8], rows: Rows, held_out: Rows, seed: int
    ) -> Embedder:
        """Train on rows of pictures.

        Args:
            method: of METHODS.
            pixels: (N, S, S, 3).
            rows: to train on.
            held_out: to stop early by.
            seed: of weights, order and views.
        """
        if method == "raw":
            return Embedder(lambda some: some.reshape(len(some), -1).astype(np.float32))
        if method == "teacher":
            teacher, remembering = self._teacher()
            return Embedder(
                _in_batches(remembering), (EfficientNetLite0().eval(), teacher.side), _in_batches(teacher)
            )
        if method == "notebook":
            plan = plan_steps(len(rows), self._settings)
            network = fit_notebook(pixels[rows], plan, seed, self._device)
            encode = partial(latents, network, device=self._device)
            return Embedder(encode, (network.encoder, pixels.shape[1]))
        if method == "distilled":
            remembering = self._teacher()[1]
            distilled.load_teacher = lambda *_: remembering  # type: ignore[attr-defined, assignment]
        architecture = {"input_size": pixels.shape[1]}
        settings = FitSettings.model_validate(
            self._settings.model_dump(exclude_unset=True)
            | {"recipe": method, "random_state": seed, "architecture": architecture}
        )
        if method == PRETRAINED:
            frozen, remembering = self._pretrained(settings)
            return Embedder(
                _in_batches(remembering), (new_encoder(settings.network), frozen.side), _in_batches(frozen)
            )
        encoder = fit_autoencoder(pixels, pixels, settings, rows=rows, validation_rows=held_out).encoder
        return Embedder(lambda some: embed(encoder, some, device=self._device), (encoder, pixels.shape[1]))

    def _teacher(self) -> tuple[NetworkTeacher, Remembering]:
        if self._asked is None:
            teacher = efficientnet_lite0(torch.device(self._device))
            self._asked = teacher, Remembering(teacher)
        return self._asked

    def _pretrained(self, settings: FitSettings) -> tuple[NetworkTeacher, Remembering]:
        side = settings.network.input_size
        if self._frozen is None or self._frozen[0].side != side:
            encoder = Pretrained(settings.network, settings.augmentation).encoder
            in_0_to_1 = torch.zeros(3), torch.full((3,), 255.0)
            frozen = NetworkTeacher(PRETRAINED, encoder, side, *in_0_to_1, torch.device(self._device))
            self._frozen = frozen, Remembering(frozen)
        return self._frozen


def _in_batches(teacher: NetworkTeacher | Remembering) -> Embed:
    """Ask it in the batches that training asks it in."""
    return lambda some: np.concatenate(
        [teacher.features(some[start : start + BATCH_SIZE]) for start in range(0, len(some), BATCH_SIZE)]
    )
