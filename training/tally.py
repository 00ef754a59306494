"""The losses of an epoch's steps, in one block of memory on the device.

Thousands of scalars, each a small allocation between the large ones of its step, would leave holes in the
heap that are never closed.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from training.recipes import Losses


class Tally:
    """Losses by name, of at most so many steps."""

    def __init__(self, n_steps: int, device: torch.device) -> None:
        self._n_steps, self._device = n_steps, device
        self._rows: dict[str, int] = {}
        self._values = torch.empty(0, 0)
        self._done = 0

    def __len__(self) -> int:
        return self._done

    @property
    def names(self) -> tuple[str, ...]:
        """Give the losses' names, in the order in which the recipe gives them."""
        return tuple(self._rows)

    def add(self, losses: Losses) -> None:
        """Note one step's losses, without waiting for the device."""
        if not self._rows:
            self._rows = {name: row for row, name in enumerate(losses)}
            self._values = torch.zeros(len(losses), self._n_steps, device=self._device)
        for name, loss in losses.items():
            self._values[self._rows[name], self._done] = loss.detach()
        self._done += 1

    def means(self) -> Tensor:
        """Average over the steps: (losses,), in the order of `names`."""
        return torch.stack([self._values[row, : self._done].mean() for row in self._rows.values()])

    def last(self) -> Tensor:
        """Give the losses of the last step: (losses,)."""
        return self._values[:, self._done - 1].clone()

    def state(self) -> dict[str, Tensor]:
        """Give the losses of the steps so far, by name; nothing of none."""
        return {name: self._values[row, : self._done] for name, row in self._rows.items() if self._done}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state."""
        for step in zip(*(values.to(self._device).unbind() for values in state.values()), strict=True):
            self.add(dict(zip(state, step, strict=True)))

    def clear(self) -> None:
        """Begin anew."""
        self._done = 0
