"""One step of training: losses, gradients, weights; in mixed precision on a GPU, and beside other processes.

float16 has a short range: there the losses are scaled before their gradients are taken (GradScaler), and a
step whose gradients overflow is left out. bfloat16 has the range of float32 and needs none of that.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import OneCycleLR

from training.fit_settings import FitSettings
from training.recipes import Batch, Losses, Objective
from training.team import Team

LEAST_SCHEDULE: Final = 20  # steps; a tenth of ten is a warm-up of one, by which torch divides by zero
MAX_GRADIENT_NORM: Final = 5.0  # only a burst is cut; ordinary steps stay under it


class Stepper:
    """An objective, its optimiser and its schedule; trains in place."""

    def __init__(self, objective: Objective, settings: FitSettings, n_steps: int, team: Team | None) -> None:
        """Prepare; in a team, all get rank 0's weights, and batch norm on GPUs is that of the whole step."""
        self.device = next(objective.parameters()).device
        on_gpu = self.device.type == "cuda"
        if team and on_gpu:
            nn.SyncBatchNorm.convert_sync_batchnorm(objective)  # type: ignore[no-untyped-call]  # in place
        self.objective = objective
        self._forward: nn.Module = objective
        if team:
            devices = [self.device] if on_gpu else None
            self._forward = DistributedDataParallel(objective, device_ids=devices, broadcast_buffers=False)
        self._dtype = settings.compute_dtype(self.device)
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=self._dtype == torch.float16)
        self._optimiser = torch.optim.AdamW(
            objective.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self._schedule = OneCycleLR(
            self._optimiser, settings.learning_rate, max(n_steps, LEAST_SCHEDULE), pct_start=0.1
        )

    def step(self, batch: Batch) -> Losses:
        """Move the weights by one batch; the losses stay on the device, for not to wait for it."""
        with self.autocast():
            losses: Losses = self._forward(batch)
        self._optimiser.zero_grad()
        self._scaler.scale(losses["total"]).backward()  # type: ignore[no-untyped-call]
        self._scaler.unscale_(self._optimiser)
        nn.utils.clip_grad_norm_(self.objective.parameters(), MAX_GRADIENT_NORM)
        self._scaler.step(self._optimiser)
        self._scaler.update()
        self._schedule.step()
        return {name: loss.detach() for name, loss in losses.items()}

    def autocast(self) -> AbstractContextManager[object]:
        """Compute in the settings' precision."""
        return torch.autocast(self.device.type, self._dtype, enabled=self._dtype != torch.float32)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Give tensors by name, and JSON."""
        tensors = {f"network.{name}": tensor for name, tensor in self.objective.trained().items()}
        optimiser = self._optimiser.state_dict()
        for nth, moments in optimiser["state"].items():
            tensors |= {f"optimiser.{nth}.{name}": moment for name, moment in moments.items()}
        return tensors, {
            "param_groups": optimiser["param_groups"],
            "schedule": self._schedule.state_dict(),
            "scaler": self._scaler.state_dict(),
        }

    def restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Go on from a state; tensors of others are passed over."""
        parameters = self._optimiser.param_groups[0]["params"]
        moments: dict[int, dict[str, Tensor]] = {}
        network: dict[str, Tensor] = {}
        for name, tensor in tensors.items():
            owner, _, rest = name.partition(".")
            if owner == "network":
                network[rest] = tensor
            elif owner == "optimiser":
                nth, _, moment = rest.partition(".")
                moments.setdefault(int(nth), {})[moment] = _laid_out(tensor, parameters[int(nth)])
        # the state may be an earlier version's, whose step on a CPU was not fused
        groups = [{**group, "betas": tuple(group["betas"]), "fused": True} for group in facts["param_groups"]]
        self.objective.load_trained(network)
        self._optimiser.load_state_dict({"state": moments, "param_groups": groups})
        self._schedule.load_state_dict(dict(facts["schedule"]))
        if facts.get("scaler"):
            self._scaler.load_state_dict(dict(facts["scaler"]))


def _laid_out(moment: Tensor, parameter: Tensor) -> Tensor:
    """Lay a moment out in memory as its parameter is: the fused step goes through both as they lie."""
    return torch.empty_like(parameter).copy_(moment) if moment.shape == parameter.shape else moment
