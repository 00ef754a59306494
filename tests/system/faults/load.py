"""Pictures submitted under faults, and the right answer for each."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from console.waiting import wait_for_results
from model_store.decode import Picture, decode
from model_store.ledger import Ledger
from model_store.registry import Registry
from model_store.results import Results
from producer.client import Producer
from producer.contracts import ImageRef
from producer.settings import BrokerSettings, ProducerSettings
from tests.system.faults.report import FaultReport
from tests.system.running_platform import Platform, picture
from training.settings import Settings

KINDS = 3
UPLOADS = 60


@dataclass
class Load:
    """References to a few uploads under many ids, and the cluster that each must be given."""

    platform: Platform
    uploads: list[ImageRef]
    cluster_of_key: Mapping[str, str]
    submitted: dict[str, str] = field(default_factory=dict)  # image id -> the right cluster
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @classmethod
    def on(cls, platform: Platform) -> "Load":
        """Promote a tiny model, upload pictures, and ask the model itself what is right."""
        platform.promote_tiny_model()
        registry = Registry(platform.store, platform.collection)
        bundle = registry.load(registry.current(), "cpu")
        limits = Settings().decode
        uploads, clusters = [], {}
        for number in range(UPLOADS):
            data = picture(number % KINDS, number)
            ref = platform.upload(f"{platform.collection}/{number}.png", data)
            decoded = decode(data, bundle.manifest.preprocess, limits)
            assert isinstance(decoded, Picture)
            nearest = int(bundle.predict(decoded.pixels[None]).nearest[0, 0])
            clusters[ref.key] = bundle.clusters[nearest].id
            uploads.append(ref)
        return cls(platform, uploads, clusters)

    def refs(self, n: int) -> list[ImageRef]:
        """Make `n` references under ids of their own."""
        numbers = itertools.islice(self.numbers, n)
        return [
            self.uploads[number % UPLOADS].model_copy(
                update={"image_id": f"{self.platform.collection}-{number}"}
            )
            for number in numbers
        ]

    def submit(self, n: int, broker: BrokerSettings | None = None, timeout_s: float = 60.0) -> None:
        """Submit `n` pictures; what is acknowledged counts as submitted, and must be answered."""
        self.send(self.refs(n), broker, timeout_s)

    def send(
        self, refs: Sequence[ImageRef], broker: BrokerSettings | None = None, timeout_s: float = 60.0
    ) -> None:
        settings = ProducerSettings(timeout_s=timeout_s)
        with Producer(broker or self.platform.broker, settings) as producer:
            futures = [producer.submit(ref, collection=self.platform.collection) for ref in refs]
            for future, ref in zip(futures, refs, strict=True):
                future.result(2 * timeout_s)
                self.note(ref)

    def note(self, ref: ImageRef) -> None:
        """Count a picture as submitted."""
        self.submitted[ref.image_id] = self.cluster_of_key[ref.key]

    def settle(self, fault: str, patience_s: float = 60.0) -> FaultReport:
        """Wait for all results, and count; `patience_s` without any new one ends the waiting."""
        found = wait_for_results(
            Results(self.platform.store, self.platform.collection),
            list(self.submitted),
            not_before="",
            patience_s=patience_s,
            on_progress=lambda _: None,
        )
        report = FaultReport(fault)
        right = {
            name: result.cluster is not None and result.cluster.id == self.submitted[name]
            for name, result in found.items()
        }
        report.count(self.submitted, right)
        report.dead_letters = len(self.dead_letters())
        return report

    def dead_letters(self) -> list[str]:
        return [info.key for info in self.platform.store.list(f"{self.platform.collection}/dead/")]

    def ledger_ids(self) -> list[str]:
        """Give the image id of every row in the ledger: a picture that was counted twice is there twice."""
        ledger = Ledger(self.platform.store, self.platform.collection)
        return [row.ref.image_id for row in ledger.rows()]
