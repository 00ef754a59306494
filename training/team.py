"""Several processes of one machine, one per GPU, that fit one model: torchrun starts them.

```
torchrun --nproc-per-node 4 -m console.cli train DIR ...
rank 0     reads the corpus, leads the fit (`lead`), and alone clusters, judges, writes, publishes
others     wait for what rank 0 tells them (`follow`), fit in step with it, and end
```
What goes from rank 0 to the others is JSON and arrays, no pickle. Arrays in a file with a name are opened
by each process; others are sent part by part.
"""

import json
import mmap
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from producer.errors import ConfigurationError
from training.room import parts, release, room

PATIENCE: Final = timedelta(days=1)  # rank 0 may read a corpus or ask a teacher for hours
PART: Final = 8192  # rows sent at once
LEAST_PER_PROCESS: Final = 8  # pictures of a step: batch norm means nothing below


@dataclass(frozen=True, slots=True)
class Team:
    """This process's place among those that fit together."""

    rank: int
    size: int

    @property
    def leads(self) -> bool:
        """Whether it is the one that reads and writes."""
        return self.rank == 0

    def device(self, kind: str) -> torch.device:
        """Give the device of this process: its own GPU, or the CPU that all share."""
        return torch.device("cuda", self.rank) if kind == "cuda" else torch.device(kind)

    def share(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """Give this process's part of one step's rows; all parts are of equal length."""
        return rows[self.rank :: self.size]

    def mean(self, values: Tensor) -> Tensor:
        """Average values (V,) over all processes, in place."""
        dist.all_reduce(values)
        return values.div_(self.size)

    def from_leader(self, values: Tensor) -> Tensor:
        """Give all processes the values (V,) of rank 0, in place."""
        dist.broadcast(values, src=0)
        return values

    def send(self, facts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Tell the others JSON and arrays; `receive` is what they call."""
        described = {name: _described(array) for name, array in arrays.items()}
        header = json.dumps({"facts": facts, "arrays": described}).encode()
        dist.broadcast(torch.tensor([len(header)]), src=0)
        dist.broadcast(torch.frombuffer(bytearray(header), dtype=torch.uint8), src=0)
        for name, array in arrays.items():
            if described[name]["file"] is None:
                for _, part in parts(array, PART):
                    dist.broadcast(_bytes(part), src=0)

    def receive(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Wait for what rank 0 sends."""
        size = torch.zeros(1, dtype=torch.int64)
        dist.broadcast(size, src=0)
        header = torch.zeros(int(size), dtype=torch.uint8)
        dist.broadcast(header, src=0)
        told = json.loads(header.numpy().tobytes())
        return told["facts"], {name: _received(about) for name, about in told["arrays"].items()}


def current() -> Team | None:
    """Give this process's team; None if it works alone."""
    return Team(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else None


def join(kind: str) -> Team | None:
    """Join the others if torchrun started this process; `kind` is the device, cpu or cuda.

    Raises:
        ConfigurationError: there are more processes than GPUs.
    """
    if not dist.is_torchelastic_launched():
        return None
    dist.init_process_group("cpu:gloo,cuda:nccl" if kind == "cuda" else "gloo", timeout=PATIENCE)
    team = Team(dist.get_rank(), dist.get_world_size())
    if kind == "cuda":
        if team.size > torch.cuda.device_count():
            raise ConfigurationError(
                f"{team.size} processes for {torch.cuda.device_count()} GPUs: lower --nproc-per-node"
            )
        torch.cuda.set_device(team.rank)
    return team


def leave() -> None:
    """Let the others go; harmless alone."""
    if dist.is_initialized():
        dist.destroy_process_group()


@torch.no_grad()
def gathered(values: Tensor) -> Tensor:
    """Give the values (B, ...) of all processes, one after another: (size * B, ...); without gradient."""
    team = current()
    if team is None:
        return values
    found = [torch.empty_like(values) for _ in range(team.size)]
    dist.all_gather(found, values.contiguous())
    return torch.cat(found)


def own_part(values: Tensor) -> Tensor:
    """Give this process's rows of what was `gathered`."""
    team = current()
    return values if team is None else values.chunk(team.size)[team.rank]


def _described(array: NDArray[Any]) -> dict[str, Any]:
    about = {"shape": list(array.shape), "dtype": array.dtype.str, "file": None, "offset": 0}
    whole = isinstance(array, np.memmap) and isinstance(
        array.base, mmap.mmap
    )  # a slice has its parent's offset
    if isinstance(array, np.memmap) and whole and array.mode == "r" and array.filename is not None:
        about |= {"file": str(Path(array.filename).resolve()), "offset": array.offset}
    return about


def _received(about: dict[str, Any]) -> NDArray[Any]:
    dtype, shape = np.dtype(about["dtype"]), tuple(about["shape"])
    if about["file"] is not None:
        return np.memmap(Path(about["file"]), dtype, "r", about["offset"], shape)
    array = room(shape, dtype, None)
    for start in range(0, len(array), PART):
        part = np.empty_like(array[start : start + PART])
        data = _bytes(part)
        dist.broadcast(data, src=0)
        array[start : start + PART] = data.numpy().view(dtype).reshape(part.shape)
        release(array)
    return array


def _bytes(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
