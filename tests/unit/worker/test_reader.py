import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from typing import Any

import numpy as np
import pytest

from model_store.byte_budget import SplitBudget
from model_store.decode import DecodeLimits, Picture, decode
from model_store.images import ImageSource, Unfetchable
from model_store.object_store import MemoryStore, StoredObject
from model_store.preprocess import Preprocess
from producer.contracts import ClassifyImages, ImageRef
from producer.errors import StoreUnavailable
from tests.unit.model_store.picture_files import encode, noise, scan_bomb
from tests.unit.producer.post import wait_until
from worker.decoder_process import Decoded, DecoderProcess, DecoderUnavailable
from worker.decoders import Decoders
from worker.pipeline import Failed, Ready
from worker.reader import READ_AHEAD, Reader

PREPROCESS = Preprocess(input_size=16)
LIMITS = DecodeLimits(max_scans=10_000)
SOUND = encode(noise(24), "PNG")
FAILED = Failed("internal", "not decoded")


class Held:
    """Counts what is held, and the most there was."""

    def __init__(self) -> None:
        self.lock, self.now, self.most = threading.Lock(), 0, 0

    def add(self, n: int) -> None:
        with self.lock:
            self.now += n
            self.most = max(self.most, self.now)


@pytest.fixture
def decoders() -> Iterator[Decoders]:
    pool = Decoders(LIMITS, 2, cpu_s=0.3, memory_bytes=1 << 30)
    yield pool
    pool.close()


def reader_of(files: list[bytes], decoders: Decoders) -> tuple[Reader, ClassifyImages]:
    store = MemoryStore()
    for i, data in enumerate(files):
        store.put(f"{i}.png", data)
    refs = tuple(ImageRef(image_id=f"i{i}", bucket="uploads", key=f"{i}.png") for i in range(len(files)))
    return Reader(ImageSource({"uploads": store}, 1 << 20), decoders), ClassifyImages(images=refs)


def test_poison_among_256_pictures_spoils_none_of_the_others(decoders: Decoders) -> None:
    files = [encode(noise(8 + i % 50), "PNG") for i in range(256)]
    files[100] = scan_bomb(2000)
    reader, message = reader_of(files, decoders)

    outcomes = reader.read(message, PREPROCESS, stop_at_error=True)

    assert [i for i, outcome in enumerate(outcomes) if isinstance(outcome, Failed)] == [100]
    for i, outcome in enumerate(outcomes):
        if i != 100:
            expected = decode(files[i], PREPROCESS, LIMITS)
            assert isinstance(outcome, Ready)
            assert isinstance(expected, Picture)
            assert np.array_equal(outcome.picture.pixels, expected.pixels)
            assert outcome.decode_ms > 0


def test_lack_of_memory_in_the_worker_itself_ends_as_failed(
    decoders: Decoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_: object) -> Any:
        raise MemoryError

    reader, message = reader_of([SOUND] * 3, decoders)
    with monkeypatch.context() as patched:
        patched.setattr(DecoderProcess, "decode", no_memory)
        outcomes = reader.read(message, PREPROCESS, stop_at_error=True)

    assert [type(outcome) for outcome in outcomes] == [Failed] * 3
    assert all(isinstance(o, Ready) for o in reader.read(message, PREPROCESS, stop_at_error=True))


def test_decoders_that_do_not_start_leave_an_error_that_may_pass(
    decoders: Decoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(*_: object) -> Any:
        raise DecoderUnavailable("no process")

    monkeypatch.setattr(DecoderProcess, "decode", unavailable)
    reader, message = reader_of([SOUND], decoders)

    (outcome,) = reader.read(message, PREPROCESS, stop_at_error=False)

    assert isinstance(outcome, DecoderUnavailable)


def test_what_is_urgent_is_decoded_next_and_alone_however_much_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    busy, go, batches = threading.Event(), threading.Event(), list[list[bytes]]()

    def decode_later(_: DecoderProcess, batch: list[tuple[bytes, Preprocess]]) -> list[Decoded]:
        busy.set()
        assert go.wait(10)
        batches.append([data for data, _ in batch])
        return [Decoded(FAILED)] * len(batch)

    monkeypatch.setattr(DecoderProcess, "decode", decode_later)
    monkeypatch.setattr("worker.reader.READ_AHEAD", 4)
    mine = encode(noise(9), "PNG")
    decoders = Decoders(LIMITS, 1, cpu_s=0.3, memory_bytes=1 << 30)  # a second one might be free for it
    reader, message = reader_of([*[SOUND] * 40, mine], decoders)
    many, one = (message.model_copy(update={"images": i}) for i in (message.images[:-1], message.images[-1:]))
    with closing(decoders), ThreadPoolExecutor(2) as threads:
        threads.submit(reader.read, many, PREPROCESS, stop_at_error=True)
        assert busy.wait(60)  # it starts a process first
        wait_until(lambda: reader._room._value == 0)
        threads.submit(reader.read, one, PREPROCESS, stop_at_error=True, urgent=True)
        wait_until(lambda: len(decoders._lines.urgent) == 1)
        go.set()
    assert [mine] in batches[:2]  # the process had a batch in hand


def test_what_cannot_be_fetched_stands_in_its_place(decoders: Decoders) -> None:
    reader, message = reader_of([SOUND, SOUND], decoders)
    gone = ImageRef(image_id="gone", bucket="uploads", key="gone.png")
    message = message.model_copy(update={"images": (message.images[0], gone, message.images[1])})

    outcomes = reader.read(message, PREPROCESS, stop_at_error=True)

    assert [type(outcome) for outcome in outcomes] == [Ready, Unfetchable, Ready]


def test_an_error_that_may_pass_stops_only_a_message_that_is_read_again(decoders: Decoders) -> None:
    class Away(MemoryStore):
        def get_many(self, gets: Any, *, max_bytes: int = 0, budget: Any = None) -> Any:
            yield 0, StoreUnavailable("away")

    reader = Reader(ImageSource({"uploads": Away()}, 1), decoders)
    message = ClassifyImages(images=(ImageRef(image_id="a", bucket="uploads", key="a"),))

    with pytest.raises(StoreUnavailable):
        reader.read(message, PREPROCESS, stop_at_error=True)
    (outcome,) = reader.read(message, PREPROCESS, stop_at_error=False)
    assert isinstance(outcome, StoreUnavailable)


def test_no_more_files_are_taken_than_there_is_room_for() -> None:
    class Slow:
        """Decoders that have not begun."""

        count = 1

        def __init__(self) -> None:
            self.waiting: list[Future[Any]] = []

        def submit(self, data: bytes, preprocess: Preprocess, **_: object) -> "Future[Any]":
            self.waiting.append(Future())
            if len(self.waiting) == READ_AHEAD:
                raise EnoughError
            return self.waiting[-1]

    class EnoughError(Exception):
        pass

    taken = []

    class Counting(MemoryStore):
        def get_many(self, gets: Any, *, max_bytes: int = 0, budget: Any = None) -> Any:
            for got in super().get_many(gets):
                taken.append(got)
                yield got

    store = Counting()
    store.put("a", SOUND)
    refs = tuple(ImageRef(image_id=f"i{i}", bucket="uploads", key="a") for i in range(256))
    reader = Reader(ImageSource({"uploads": store}, 1 << 20), Slow())  # type: ignore[arg-type]

    with pytest.raises(EnoughError):
        reader.read(ClassifyImages(images=refs), PREPROCESS, stop_at_error=True)

    assert len(taken) == READ_AHEAD
    assert reader._room.acquire(blocking=False)  # that of the last one, which was refused
    assert not reader._room.acquire(blocking=False)


@pytest.mark.parametrize("size_bytes", [1 << 20, 5 << 20])
def test_large_files_are_never_held_beyond_the_budget_whoever_reads(size_bytes: int) -> None:
    """Four messages at once, 100 files each, far more than there is room for."""
    budget = SplitBudget.of(4 << 20)
    held = Held()

    class Files(MemoryStore):
        def get_many(self, gets: Any, *, max_bytes: int = 0, budget: Any = None) -> Any:
            for position, _ in enumerate(gets):
                budget.take(size_bytes)
                held.add(1)
                yield position, StoredObject(bytes(size_bytes), "etag")

    class Undecodables:
        count = 2

        def submit(self, data: bytes, preprocess: Preprocess, **_: object) -> "Future[Any]":
            answer: Future[Any] = Future()

            def decode() -> None:
                held.add(-1)
                answer.set_result(Decoded(FAILED))

            threading.Timer(0.001, decode).start()
            return answer

    reader = Reader(ImageSource({"uploads": Files()}, 1 << 30, budget), Undecodables())  # type: ignore[arg-type]
    refs = tuple(ImageRef(image_id=f"i{i}", bucket="uploads", key="a") for i in range(100))
    with ThreadPoolExecutor(4) as pool:
        work = ClassifyImages(images=refs)
        done = [pool.submit(reader.read, work, PREPROCESS, stop_at_error=True) for _ in range(4)]
        assert [outcome for each in done for outcome in each.result()] == [FAILED] * 400

    assert held.most * size_bytes <= max(4 << 20, size_bytes)
    assert [each.held_bytes for each in budget] == [0, 0]


def test_a_read_that_is_broken_off_gives_its_bytes_back(decoders: Decoders) -> None:
    class Breaks(MemoryStore):
        def get_many(self, gets: Any, *, max_bytes: int = 0, budget: Any = None) -> Any:
            yield from islice(super().get_many(gets, budget=budget), 2)
            yield 2, StoreUnavailable("away")

    store, budget = Breaks(), SplitBudget.of(1 << 20)
    store.put("a", SOUND)
    refs = tuple(ImageRef(image_id=f"i{i}", bucket="uploads", key="a") for i in range(3))
    reader = Reader(ImageSource({"uploads": store}, 1 << 20, budget), decoders)

    with pytest.raises(StoreUnavailable):
        reader.read(ClassifyImages(images=refs), PREPROCESS, stop_at_error=True)
    decoders.close()  # what was under way is decoded

    assert [each.held_bytes for each in budget] == [0, 0]
