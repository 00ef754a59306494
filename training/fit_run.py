"""The loop of one training run: steps, epochs, the best weights, the plateau.

In a team every process goes through the same steps, each with its part of the pictures. Rank 0 alone
validates and tells the others, so that all stop after the same epoch; it alone leaves checkpoints.
"""

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_store.autoencoder import Encoder
from model_store.counted import counted
from producer.errors import TrainingFailed
from training.checkpoint import Checkpoints, FitState
from training.fit_settings import FitSettings, Plan
from training.read_ahead import Pictures, ReadAhead
from training.recipes import Batch, Objective
from training.stepper import Stepper
from training.tally import Tally
from training.team import Team

CHECKED_EVERY: Final = 100  # steps after which a loss is looked at: an epoch may have thousands
LEAST_GAIN: Final = 1e-3  # share of the best validation loss by which a better one must be better

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


@dataclass
class Best:
    """The weights with the lowest validation loss so far, and how many epochs ago the last clear gain was."""

    loss: float = float("inf")
    epochs_since: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)

    def see(self, loss: float, weights: dict[str, Tensor]) -> None:
        """Keep a copy of the weights if this loss is the lowest."""
        self.epochs_since = 0 if loss < self.loss * (1 - LEAST_GAIN) else self.epochs_since + 1
        if loss <= self.loss:
            self.loss, self.weights = loss, copy.deepcopy(weights)


class Run:
    """One objective, its data, and how far it is; trains in place."""

    def __init__(
        self,
        objective: Objective,
        pictures: Pictures,
        validation: Pictures,
        settings: FitSettings,
        plan: Plan,
        team: Team | None = None,
    ) -> None:
        self.objective, self.pictures, self.validation = objective, pictures, validation
        self.settings, self.plan, self.team = settings, plan, team
        self.stepper = Stepper(objective, settings, plan.n_steps, team)
        self.device = self.stepper.device
        self.rows = shuffled(len(pictures), plan.batch_size, settings.random_state)
        self.steps_done = 0
        self.losses = Tally(plan.steps_per_epoch, self.device)  # of the epoch that is under way
        self.seconds = 0.0  # of an earlier attempt, and before the first step
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
        started = time.perf_counter() - self.seconds
        own_rows = self.rows if self.team is None else map(self.team.share, self.rows)
        with ReadAhead(self.pictures, own_rows, self.device, self.settings.read_ahead) as batches:
            while len(history) < self.plan.n_epochs and not self._on_a_plateau():
                for _ in range(len(self.losses), self.plan.steps_per_epoch):
                    if checkpoints is not None and checkpoints.due():
                        self.seconds = time.perf_counter() - started
                        checkpoints.save(self.state())
                    self._step(next(batches), on_step)
                train = self._means(self.losses.means())
                validation = self._validate(train)
                self.losses.clear()
                self.seconds = time.perf_counter() - started
                epoch = len(history) + 1
                accuracy = measure(epoch, self.objective.encoder) if measure else None
                history.append(
                    EpochReport(epoch, self.plan.n_epochs, train, validation, self.seconds, accuracy)
                )
                best.see(validation["total"], self.objective.trained())
                if on_epoch:
                    on_epoch(history[-1])
        self.objective.load_trained(best.weights)
        return history, len(history) < self.plan.n_epochs

    def state(self) -> FitState:
        """Give everything that the run needs to go on after the last step."""
        tensors, facts = self.stepper.state()
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.weights.items()}
        tensors["random"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["random_cuda"] = torch.cuda.get_rng_state(self.device)
        tensors |= {f"losses.{name}": losses for name, losses in self.losses.state().items()}
        facts |= {
            "steps_done": self.steps_done,
            "seconds": self.seconds,
            "best_loss": self.best.loss,
            "epochs_since": self.best.epochs_since,
            "history": [asdict(report) for report in self.history],
        }
        return FitState(tensors, facts)

    def restore(self, state: FitState) -> None:
        """Go on from a state of a run with the same pictures and settings."""
        facts = state.facts
        self.stepper.restore(state.tensors, facts)
        self.best = Best(facts["best_loss"], facts["epochs_since"], _named(state, "best."))
        self.history = [EpochReport(**report) for report in facts["history"]]
        self.steps_done, self.seconds = facts["steps_done"], facts.get("seconds", 0.0)
        self.losses.restore(_named(state, "losses."))
        for _ in range(self.steps_done):  # the order of pictures goes on where it was
            next(self.rows)
        torch.set_rng_state(state.tensors["random"])
        if self.device.type == "cuda" and "random_cuda" in state.tensors:
            torch.cuda.set_rng_state(state.tensors["random_cuda"], self.device)

    def _on_a_plateau(self) -> bool:
        return self.steps_done >= self.settings.min_steps and self.best.epochs_since >= self.settings.patience

    def _step(self, batch: Batch, on_step: OnStep | None) -> None:
        if self.team is not None:  # each process its own views; and after a restart the same as before
            nth = self.steps_done * self.team.size + self.team.rank
            torch.manual_seed(((self.settings.random_state << 32) + nth) % 2**63)
        self.objective.train()
        self.losses.add(self.stepper.step(batch))
        self.steps_done += 1
        if self.steps_done % CHECKED_EVERY == 0:
            self._means(self.losses.last())
        if on_step:
            on_step(self.steps_done, self.plan.n_steps)

    def _validate(self, train: MeanLosses) -> MeanLosses:
        """Measure the losses on pictures kept out of training; in a team, rank 0 does it for all."""
        if self.team is None:
            return self._validated()
        values = list((self._validated() if self.team.leads else train).values())
        told = self.team.from_leader(torch.tensor(values, dtype=torch.float64, device=self.device))
        return dict(zip(train, told.tolist(), strict=True))

    @torch.no_grad()
    def _validated(self) -> MeanLosses:
        """Take the same views every time."""
        self.objective.eval()
        n, size = len(self.validation), self.plan.batch_size
        # equal parts: a loss that compares within a batch means something else on a small remainder
        parts = np.array_split(np.arange(n), -(-n // size))
        cuda = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda), self.stepper.autocast():
            torch.manual_seed(self.settings.random_state)
            found = Tally(len(parts), self.device)
            for rows in parts:
                found.add(self.objective(self.validation.batch(rows, self.device)))
            return self._finite(dict(zip(found.names, found.means().tolist(), strict=True)))

    def _means(self, losses: Tensor) -> MeanLosses:
        """Average losses over all processes; refuse those that are not finite."""
        means = losses if self.team is None else self.team.mean(losses)
        return self._finite(dict(zip(self.losses.names, means.tolist(), strict=True)))

    def _finite(self, means: MeanLosses) -> MeanLosses:
        broken = [name for name, value in means.items() if not np.isfinite(value)]
        if broken:
            steps = counted(self.steps_done, "step")
            raise TrainingFailed(
                f"{', '.join(broken)} not finite after {steps}; lower learning_rate "
                f"(it is {self.settings.learning_rate:g}), or raise batch_size (it is {self.plan.batch_size})"
            )
        return means


def _named(state: FitState, prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor for name, tensor in state.tensors.items() if name.startswith(prefix)
    }


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
