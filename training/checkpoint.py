"""State of a fit on its way, so that a run that dies goes on where it was.

One safetensors object, no pickle: tensors by name, and everything else as JSON in its header.
Where it lies and how often it is written the `Checkpoints` at hand decide; `RunCheckpoints` keeps them in
the store beside the run, one object per attempt, so that a trainer that was thought dead overwrites nothing.
Those of a command that a person gives are in `command_checkpoints.py`.
"""

import hashlib
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import safetensors.torch
import structlog
from safetensors import SafetensorError
from torch import Tensor

from model_store.layout import Layout
from model_store.object_store import ObjectStore
from producer.errors import ObjectNotFound, TransientError

log = structlog.get_logger(__name__)

HEADER: Final = "facts"
NAME_BEGINS: Final = "checkpoint-"  # of a run's, in the store
PREFIX_BYTES: Final = 8  # length of the header, little endian: the safetensors format


@dataclass(frozen=True, slots=True)
class FitState:
    """What a fit needs to go on: tensors, and JSON."""

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]

    def to_bytes(self) -> bytes:
        """Write it as one file."""
        tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in self.tensors.items()}
        return safetensors.torch.save(tensors, {HEADER: json.dumps(self.facts)})

    @classmethod
    def from_bytes(cls, data: bytes) -> "FitState":
        """Read what `to_bytes` wrote.

        Raises:
            ValueError: it is something else, or cut short.
        """
        try:
            tensors = safetensors.torch.load(data)
            size = int.from_bytes(data[:PREFIX_BYTES], "little")
            header = json.loads(data[PREFIX_BYTES : PREFIX_BYTES + size])
            return cls(tensors, json.loads(header["__metadata__"][HEADER]))
        except (SafetensorError, KeyError) as error:
            raise ValueError(f"this is no checkpoint: {error}") from error


class Checkpoints(Protocol):
    """Where a fit leaves its state, and finds that of an earlier attempt."""

    def due(self) -> bool:
        """Tell whether it is time to save again."""

    def save(self, state: FitState) -> None:
        """Keep the state; losing it only costs time, so a store that fails is no error."""

    def load(self, purpose: str) -> FitState | None:
        """Give the latest state that was saved for the same purpose, if there is one."""


class TimedCheckpoints(ABC):
    """Keeps a state every so often, with the digest of what it is for; where, its children decide."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._saved_at = time.monotonic()
        self._digest = ""
        self.kept = False  # a state that the next one would go on from

    def due(self) -> bool:
        """See Checkpoints."""
        return time.monotonic() - self._saved_at >= self._every_s

    def save(self, state: FitState) -> None:
        """See Checkpoints."""
        data = FitState(state.tensors, {**state.facts, "purpose": self._digest}).to_bytes()
        try:
            self._write(data)
            self.kept = True
        except (TransientError, OSError) as error:
            log.warning("a checkpoint could not be kept", reason=str(error))
        self._saved_at = time.monotonic()

    def load(self, purpose: str) -> FitState | None:
        """See Checkpoints. The purpose names corpus and settings: those of another are not continued."""
        self._digest = hashlib.sha256(purpose.encode()).hexdigest()
        for where, data in self._found():
            try:
                state = FitState.from_bytes(data)
            except ValueError as error:
                log.warning("a checkpoint cannot be read and is passed over", at=where, reason=str(error))
                continue
            if state.facts.get("purpose") == self._digest:
                self.kept = True
                return state
            log.warning("a checkpoint is of another corpus or other settings", at=where)
        return None

    @abstractmethod
    def clear(self) -> None:
        """Remove what is kept: it is not needed any more."""

    @abstractmethod
    def _write(self, data: bytes) -> None:
        """Keep these bytes; those before may go."""

    @abstractmethod
    def _found(self) -> Iterator[tuple[str, bytes]]:
        """Give what may be kept, latest first, with where it lies."""


class RunCheckpoints(TimedCheckpoints):
    """Checkpoints of one attempt at a run, in the store."""

    def __init__(self, store: ObjectStore, collection: str, slot: str, attempt: int, every_s: float) -> None:
        super().__init__(every_s)
        self._store = store
        self._layout, self._slot = Layout(collection), slot
        self._attempt = attempt

    def clear(self) -> None:
        """Remove those of all attempts."""
        for nth in range(1, self._attempt + 1):
            self._store.delete(self._key(nth))

    def _write(self, data: bytes) -> None:
        self._store.put(self._key(self._attempt), data)

    def _found(self) -> Iterator[tuple[str, bytes]]:
        for nth in range(self._attempt, 0, -1):
            try:
                yield self._key(nth), self._store.get(self._key(nth)).data
            except ObjectNotFound:
                continue

    def _key(self, nth: int) -> str:
        return self._layout.run_file(self._slot, f"{NAME_BEGINS}{nth}.safetensors")
