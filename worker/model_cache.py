"""The model each collection serves with, kept current while work goes on.

A background thread looks at each champion alias every few seconds; a moved champion is loaded beside the
old model, must answer its probe, and then takes its place for the messages that start after. A model
that does not load or answer is refused: the old one serves on, and the log says so at every look.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from model_store.bundle import Bundle
from model_store.registry import Alias, Registry
from producer.contracts import ModelStamp
from producer.errors import BundleInvalid, NoChampion, ShoalError
from worker.refusal import Refusal

log = structlog.get_logger(__name__)

CROWDED_WAIT_S: Final = 0.1  # while another message waits for a first model
SAY_EVERY_S: Final = 30.0  # a problem that stays the same
AWAITED_TOLD: Final = 20  # strangers may make up names of collections without end
FORGOTTEN_AFTER_S: Final = 60.0  # a collection without a model that nobody asks for


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model and the stamp that its results carry."""

    bundle: Bundle
    stamp: ModelStamp


@dataclass(slots=True)
class _Slot:
    asked_at: float
    served: ServedModel | None = None
    problem: str = "not looked yet"
    said_at: float = 0.0
    refused: int | None = None  # generation of a champion that may not serve
    refusals: int = 0  # champions that were refused since the start
    asked: bool = False  # by a message


class ModelCache:
    """Champions by collection. Thread-safe."""

    def __init__(self, registry: Callable[[str], Registry], device: str, poll_s: float) -> None:
        """Start looking; nothing is loaded until a collection is asked for."""
        self._registry = registry
        self._device = device
        self._poll_s = poll_s
        self._changed = threading.Condition()
        self._slots: dict[str, _Slot] = {}
        self._awaited = False  # some message waits for a first model
        self._closed = threading.Event()
        self._looking = threading.Lock()
        self._thread = threading.Thread(target=self._keep_current, name="model-cache", daemon=True)
        self._thread.start()

    def get(self, collection: str, timeout_s: float, *, latest: bool = False) -> ServedModel:
        """Give the collection's model, waiting for the first one.

        Args:
            collection: whose.
            timeout_s: to wait for the first.
            latest: look at the champion now, and take it up before answering if it has moved.

        Raises:
            NoChampion: none within `timeout_s`; says what is waited for.
        """
        with self._changed:
            new = collection not in self._slots
            slot = self._slots.setdefault(collection, _Slot(time.monotonic()))
            slot.asked, slot.asked_at = True, time.monotonic()
        if new or latest:
            self._look(collection, slot)
        with self._changed:
            # one message waits, for whichever collection; more would keep every thread from the others
            first = slot.served is None and not self._awaited
            self._awaited = self._awaited or first
            try:
                patience_s = timeout_s if first else min(timeout_s, CROWDED_WAIT_S)
                self._changed.wait_for(lambda: slot.served is not None, patience_s)
            finally:
                self._awaited = self._awaited and not first
            if slot.served is None:
                raise NoChampion(slot.problem)
            return slot.served

    def preload(self, collection: str) -> None:
        """Load a model before the first message asks for it; if there is none, say so."""
        with contextlib.suppress(NoChampion):
            self.get(collection, 0.0)
        with self._changed:
            self._slots[collection].asked = False

    def serving(self) -> dict[str, ModelStamp]:
        """Tell which model each collection is served with."""
        with self._changed:
            return {name: slot.served.stamp for name, slot in self._slots.items() if slot.served}

    def refused(self) -> dict[str, Refusal]:
        """Tell, by collection, how many champions were refused since the start, and why one is now."""
        with self._changed:
            return {
                name: Refusal(slot.refusals, slot.refused, slot.problem if slot.refused else "")
                for name, slot in self._slots.items()
                if slot.refusals
            }

    def awaited(self) -> list[str]:
        """Name collections that pictures wait for a first model of; at most `AWAITED_TOLD`."""
        with self._changed:
            waiting = [name for name, slot in self._slots.items() if slot.asked and slot.served is None]
        return sorted(waiting[:AWAITED_TOLD])  # the first that were asked for: anybody may ask for more

    def close(self) -> None:
        """Stop looking."""
        self._closed.set()
        self._thread.join()

    def _keep_current(self) -> None:
        while not self._closed.wait(self._poll_s):
            with self._changed:
                slots = [(name, slot) for name, slot in self._slots.items() if not self._forgotten(slot)]
                self._slots = dict(slots)
            for collection, slot in slots:
                self._look(collection, slot)

    @staticmethod
    def _forgotten(slot: _Slot) -> bool:
        """Tell whether to drop it: strangers may make up names of collections without end."""
        never = slot.served is None and not slot.refusals
        return never and time.monotonic() - slot.asked_at > FORGOTTEN_AFTER_S

    def _look(self, collection: str, slot: _Slot) -> None:
        """Load the champion if it is another than the one that serves; never raises for what may pass."""
        with self._looking:
            try:
                registry = self._registry(collection)
                alias = registry.current()
                if alias.generation == slot.refused and time.monotonic() - slot.said_at < SAY_EVERY_S:
                    return  # downloading it again every few seconds would not mend it
                if slot.served is None or slot.served.stamp.generation != alias.generation:
                    try:
                        served = self._load(registry, alias, slot.served)
                    except Exception as error:
                        # what else happens while it is built, on this device, would happen again at every
                        # look; a store that is away for a moment refuses nobody
                        if isinstance(error, BundleInvalid) or not isinstance(error, ShoalError):
                            with self._changed:
                                slot.refusals += slot.refused != alias.generation
                                slot.refused = alias.generation
                        raise
                    with self._changed:
                        slot.served, slot.problem, slot.refused = served, "", None
                        self._changed.notify_all()
            except ShoalError as error:
                self._note(collection, slot, error)
            except Exception as error:  # noqa: BLE001 - the thread must live on
                self._note(collection, slot, BundleInvalid(f"{type(error).__name__}: {error}"))

    def _load(self, registry: Registry, alias: Alias, before: ServedModel | None) -> ServedModel:
        started = time.monotonic()
        same = before is not None and before.stamp.sha256 == alias.sha256
        bundle = before.bundle if before is not None and same else registry.load(alias, self._device)
        stamp = ModelStamp(version=alias.version, sha256=alias.sha256, generation=alias.generation)
        log.info(
            "model serves",
            collection=registry.collection,
            version=alias.version,
            generation=alias.generation,
            device=self._device,
            load_s=round(time.monotonic() - started, 3),
        )
        return ServedModel(bundle, stamp)

    def _note(self, collection: str, slot: _Slot, error: ShoalError) -> None:
        now = time.monotonic()
        with self._changed:
            if slot.problem == str(error) and now - slot.said_at < SAY_EVERY_S:
                return
            slot.problem, slot.said_at = str(error), now
            old = slot.served.stamp.version if slot.served else None
        if isinstance(error, NoChampion):
            log.warning("messages wait for a first model", collection=collection, reason=str(error))
        else:
            log.error("the champion cannot be served", collection=collection, reason=str(error), serving=old)
