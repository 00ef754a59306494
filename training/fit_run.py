"""The loop of one training run: steps, epochs, the best weights, the plateau."""

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR

from model_store.autoencoder import Encoder
from producer.errors import TrainingFailed
from training.checkpoint import Checkpoints, FitState
from training.fit_settings import FitSettings, Plan
from training.recipes import Batch, Losses, Objective

LEAST_SCHEDULE = 20  # steps; a tenth of ten is a warm-up of one, by which torch divides by zero

MAX_GRADIENT_NORM = 5.0  # only a burst is cut; ordinary steps stay under it
LEAST_GAIN = 1e-3  # share of the best validation loss by which a better one must be better

MeanLosses = dict[str, float]


@dataclass(frozen=True)
class EpochReport:
    """One epoch: mean losses by name (`total` among them), how far the run is, seconds since its start.

    `accuracy` is that of a clustering of labelled pictures, in epochs after which it was measured.
    """

    epoch: int
    n_epochs: int
    train: MeanLosses
    validation: MeanLosses
    seconds: float
    accuracy: float | None = None


OnEpoch = Callable[[EpochReport], None]
OnStep = Callable[[int, int], None]
Measure = Callable[[int, Encoder], float | None]  # epoch, encoder -> accuracy; draws no random numbers


@dataclass(frozen=True)
class Pictures:
    """M of N pictures: `rows` (M,) of `pixels` (N, S, S, 3) uint8; targets (M, T) float32 or nothing."""

    pixels: NDArray[np.uint8]
    rows: NDArray[np.intp]
    targets: NDArray[np.float32] | None

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, chosen: NDArray[np.intp], device: torch.device) -> Batch:
        """Read these of the M, and only these, onto the device."""
        chosen = np.sort(chosen)  # a memory-mapped file is then read forwards
        pixels = torch.from_numpy(self.pixels[self.rows[chosen]]).to(device)
        targets = None if self.targets is None else torch.from_numpy(self.targets[chosen]).to(device)
        return Batch(pixels, targets)


@dataclass
class Best:
    """The weights with the lowest validation loss so far, and how many epochs ago the last clear gain was."""

    loss: float = float("inf")
    epochs_since: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)

    def see(self, loss: float, network: nn.Module) -> None:
        """Keep a copy of the weights if this loss is the lowest."""
        self.epochs_since = 0 if loss < self.loss * (1 - LEAST_GAIN) else self.epochs_since + 1
        if loss <= self.loss:
            self.loss, self.weights = loss, copy.deepcopy(network.state_dict())


class Run:
    """One objective, its data, its optimiser and its schedule; trains in place."""

    def __init__(
        self,
        objective: Objective,
        pictures: Pictures,
        validation: Pictures,
        settings: FitSettings,
        plan: Plan,
    ) -> None:
        self.objective, self.pictures, self.validation = objective, pictures, validation
        self.settings, self.plan = settings, plan
        self.device = next(objective.parameters()).device
        self.optimiser = torch.optim.AdamW(
            objective.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        n_steps = max(plan.n_steps, LEAST_SCHEDULE)
        self.schedule = OneCycleLR(self.optimiser, settings.learning_rate, n_steps, pct_start=0.1)
        self.rows = shuffled(len(pictures), plan.batch_size, settings.random_state)
        self.steps_done = 0
        self.best, self.history = Best(), list[EpochReport]()

    def train(
        self,
        on_epoch: OnEpoch | None,
        on_step: OnStep | None,
        checkpoints: Checkpoints | None = None,
        measure: Measure | None = None,
    ) -> tuple[list[EpochReport], bool]:
        """Run until the plan or the patience ends, and leave the best weights in place.

        Returns:
            A report per epoch, and whether the run stopped early.

        Raises:
            TrainingFailed: a loss is not finite.
        """
        best, history = self.best, self.history
        started = time.perf_counter() - (history[-1].seconds if history else 0.0)
        while len(history) < self.plan.n_epochs and not self._on_a_plateau():
            train, validation = self._epoch(on_step), self._validate()
            seconds = time.perf_counter() - started
            epoch = len(history) + 1
            accuracy = measure(epoch, self.objective.encoder) if measure else None
            history.append(EpochReport(epoch, self.plan.n_epochs, train, validation, seconds, accuracy))
            best.see(validation["total"], self.objective)
            if on_epoch:
                on_epoch(history[-1])
            if checkpoints is not None and checkpoints.due():
                checkpoints.save(self.state())
        self.objective.load_state_dict(best.weights)
        return history, len(history) < self.plan.n_epochs

    def state(self) -> FitState:
        """Give everything that the run needs to go on after the last whole epoch."""
        tensors = {f"network.{name}": tensor for name, tensor in self.objective.state_dict().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.weights.items()}
        optimiser = self.optimiser.state_dict()
        for nth, moments in optimiser["state"].items():
            tensors |= {f"optimiser.{nth}.{name}": moment for name, moment in moments.items()}
        tensors["random"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["random_cuda"] = torch.cuda.get_rng_state(self.device)
        facts = {
            "steps_done": self.steps_done,
            "best_loss": self.best.loss,
            "epochs_since": self.best.epochs_since,
            "history": [asdict(report) for report in self.history],
            "param_groups": optimiser["param_groups"],
            "schedule": self.schedule.state_dict(),
        }
        return FitState(tensors, facts)

    def restore(self, state: FitState) -> None:
        """Go on from a state of a run with the same pictures and settings."""
        named: dict[str, dict[str, Tensor]] = {"network": {}, "best": {}, "optimiser": {}}
        for name, tensor in state.tensors.items():
            owner, _, rest = name.partition(".")
            if owner in named:
                named[owner][rest] = tensor
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in named["optimiser"].items():
            nth, _, moment = name.partition(".")
            moments.setdefault(int(nth), {})[moment] = tensor
        facts = state.facts
        groups = [{**g, "betas": tuple(g["betas"])} for g in facts["param_groups"]]
        self.objective.load_state_dict(named["network"])
        self.optimiser.load_state_dict({"state": moments, "param_groups": groups})
        self.schedule.load_state_dict(dict(facts["schedule"]))
        self.best = Best(facts["best_loss"], facts["epochs_since"], named["best"])
        self.history = [EpochReport(**report) for report in facts["history"]]
        self.steps_done = facts["steps_done"]
        for _ in range(self.steps_done):  # the order of pictures goes on where it was
            next(self.rows)
        torch.set_rng_state(state.tensors["random"])
        if self.device.type == "cuda" and "random_cuda" in state.tensors:
            torch.cuda.set_rng_state(state.tensors["random_cuda"], self.device)

    def _on_a_plateau(self) -> bool:
        return self.steps_done >= self.settings.min_steps and self.best.epochs_since >= self.settings.patience

    def _epoch(self, on_step: OnStep | None) -> MeanLosses:
        """Take one epoch's steps; gives the means of their losses."""
        self.objective.train()
        steps = []
        for _ in range(self.plan.steps_per_epoch):
            steps.append(self._step(next(self.rows)))
            self.steps_done += 1
            if on_step:
                on_step(self.steps_done, self.plan.n_steps)
        return self._means(steps)

    def _step(self, rows: NDArray[np.intp]) -> Losses:
        """Move the weights by one batch; the losses stay on the device, for not to wait for it."""
        with self._autocast():
            losses = self.objective(self.pictures.batch(rows, self.device))
        self.optimiser.zero_grad()
        losses["total"].backward()
        nn.utils.clip_grad_norm_(self.objective.parameters(), MAX_GRADIENT_NORM)
        self.optimiser.step()
        self.schedule.step()
        return {name: loss.detach() for name, loss in losses.items()}

    @torch.no_grad()
    def _validate(self) -> MeanLosses:
        """Measure the losses on pictures kept out of training, with the same views every time."""
        self.objective.eval()
        n, size = len(self.validation), self.plan.batch_size
        # equal parts: a loss that compares within a batch means something else on a small remainder
        parts = np.array_split(np.arange(n), -(-n // size))
        cuda = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda), self._autocast():
            torch.manual_seed(self.settings.random_state)
            return self._means([self.objective(self.validation.batch(rows, self.device)) for rows in parts])

    def _autocast(self) -> AbstractContextManager[object]:
        """Compute in bfloat16 where CUDA has it, in float32 elsewhere."""
        wanted = self.device.type == "cuda" and torch.cuda.is_bf16_supported()
        return torch.autocast(self.device.type, torch.bfloat16, enabled=wanted)

    def _means(self, steps: list[Losses]) -> MeanLosses:
        """Average losses by name, and refuse those that are not finite."""
        means = {name: torch.stack([step[name] for step in steps]).mean().item() for name in steps[0]}
        broken = [name for name, value in means.items() if not np.isfinite(value)]
        if broken:
            raise TrainingFailed(
                f"{', '.join(broken)} not finite after {self.steps_done} steps; lower learning_rate "
                f"(it is {self.settings.learning_rate:g}), or raise batch_size (it is {self.plan.batch_size})"
            )
        return means


def shuffled(n_pictures: int, batch_size: int, random_state: int) -> Iterator[NDArray[np.intp]]:
    """Give batches of rows without end: every picture once, in random order, then again in another order.

    A batch may reach over the end of a pass, so all are full.
    """
    rng = np.random.default_rng(random_state)
    left = np.empty(0, np.intp)
    while True:
        while len(left) < batch_size:
            left = np.concatenate([left, rng.permutation(n_pictures)])
        yield left[:batch_size]
        left = left[batch_size:]
