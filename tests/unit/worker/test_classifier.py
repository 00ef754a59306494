"""What a message that will not be done leaves, with the real models and recorder."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from model_store.object_store import MemoryStore
from model_store.registry import Registry
from model_store.results import Results
from model_store.right_of_way import RightOfWay
from producer.contracts import ClassifyImages, ImageRef
from producer.errors import NoChampion, TransientError
from tests.tiny_model import TinyBundle
from tests.unit.producer.post import wait_until
from worker.batcher import Batcher
from worker.classifier import Classifier
from worker.metrics import Metrics
from worker.model_cache import ModelCache
from worker.recorder import Recorder
from worker.settings import WorkerSettings


class NoReader:
    def close(self) -> None:
        pass


@pytest.fixture
def classifier(store: MemoryStore) -> Iterator[Classifier]:
    made = Classifier(
        right_of_way=RightOfWay(1),
        models=ModelCache(lambda name: Registry(store, name), "cpu", 60),
        reader=NoReader(),  # type: ignore[arg-type]
        batcher=Batcher(8),
        recorder=lambda name: Recorder(store, name, 60),
        settings=WorkerSettings(),
        metrics=Metrics(),
    )
    yield made
    made.close()


def message() -> ClassifyImages:
    return ClassifyImages(collection="cats", images=(ImageRef(image_id="a", bucket="uploads", key="a.png"),))


def test_a_failure_takes_the_place_of_an_older_result_though_no_model_was_asked_for_yet(
    store: MemoryStore, classifier: Classifier, tiny_bundle: TinyBundle
) -> None:
    manifest, files = tiny_bundle
    registry = Registry(store, "cats")
    registry.publish(manifest.model_copy(update={"version": "v1", "collection": "cats"}), files)
    registry.promote("v1")

    classifier.fail(message(), 1, "message.expired", "too late")

    result = Results(store, "cats").get("a")
    assert result.status == "failed"
    assert result.model is not None
    assert result.model.generation == 1


def test_a_failure_without_any_model_is_told_too(store: MemoryStore, classifier: Classifier) -> None:
    classifier.fail(message(), 1, "message.expired", "too late")

    assert Results(store, "cats").get("a").status == "failed"


def test_a_message_that_waits_for_its_model_holds_nobody_back() -> None:
    way, held = RightOfWay(1), []

    class NoModels:
        def get(self, *_: object, **__: object) -> None:
            held.append(way.mine)
            raise NoChampion("none yet")

        def close(self) -> None:
            pass

    made = Classifier(
        right_of_way=way,
        models=NoModels(),  # type: ignore[arg-type]
        reader=NoReader(),  # type: ignore[arg-type]
        batcher=Batcher(8),
        recorder=lambda name: Recorder(MemoryStore(), name, 60),
        settings=WorkerSettings(),
        metrics=Metrics(),
    )
    with pytest.raises(NoChampion):
        made.classify(message(), 1)
    made.close()
    assert held == [False]


def test_a_single_upload_does_not_wait_for_the_bytes_that_bulk_holds() -> None:
    begun, go = list[str](), threading.Event()

    class Models:
        def get(self, *_: object, **__: object) -> object:
            manifest = SimpleNamespace(preprocess=SimpleNamespace(input_size=1000))
            return SimpleNamespace(bundle=SimpleNamespace(manifest=manifest))

        def close(self) -> None:
            pass

    class Held(NoReader):
        def read(self, message: ClassifyImages, *_: object, **__: object) -> None:
            begun.append(message.lane)
            assert message.lane != "bulk" or go.wait(10)
            raise TransientError("enough")

    made = Classifier(
        right_of_way=RightOfWay(1),
        models=Models(),  # type: ignore[arg-type]
        reader=Held(),  # type: ignore[arg-type]
        batcher=Batcher(8),
        recorder=lambda name: Recorder(MemoryStore(), name, 60),
        settings=WorkerSettings(bytes_in_flight=1 << 20),
        metrics=Metrics(),
    )
    with ThreadPoolExecutor(2) as threads:
        threads.submit(made.classify, message().model_copy(update={"lane": "bulk"}), 1)
        wait_until(lambda: begun == ["bulk"])
        threads.submit(made.classify, message(), 1)
        wait_until(lambda: begun == ["bulk", "interactive"])
        go.set()
    made.close()
