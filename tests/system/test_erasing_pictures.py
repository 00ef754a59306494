import re
from collections.abc import Generator, Iterator, Sequence

import pytest

from console.stack import Stack
from model_store.images import Fetched, ImageSource
from model_store.ledger import Ledger
from model_store.mentions import mentions
from model_store.results import Results
from model_store.tombstones import Tombstones
from producer.contracts import ClassifyImages, ImageRef
from producer.errors import ObjectNotFound
from producer.ulid import new_ulid
from tests.system.running_platform import Platform, wait_until
from training.snapshot import SnapshotSettings, choose, read_originals, references


@pytest.fixture(scope="module")
def stack(server_programs: None) -> Iterator[Stack]:
    """Servers of this module: to verify is to read a whole bucket, and others leave all sorts in theirs."""
    with Stack(fsync=False) as servers:
        yield servers


def named_by(platform: Platform, image_id: str) -> set[str]:
    """The kinds of objects of the whole bucket, all collections, that name a picture."""
    found = mentions(platform.store, [image_id])
    return {"/".join(mention.key.split("/")[:2]) for mention in found}


def done(platform: Platform, message: ClassifyImages, times: int) -> None:
    line = re.compile(f"message done.*{message.message_id}")
    wait_until(lambda: len(line.findall(platform.log_text())) == times, 60, "the message")


def test_an_erased_picture_is_named_nowhere_and_no_message_brings_it_back(serving: Platform) -> None:
    refs = serving.upload_kinds("erase", 12)
    gone, message = refs[4], ClassifyImages(collection=serving.collection, images=tuple(refs))
    serving.send(message)
    serving.results(refs)
    done(serving, message, 1)
    assert named_by(serving, gone.image_id) >= {f"{serving.collection}/{k}" for k in ("results", "ledger")}

    assert serving.shoal("erase", gone.image_id, "--upload")["removed"] == {
        "ledger": 1,
        "originals": 1,
        "results": 1,
    }
    serving.send(message)  # redelivered
    late = ClassifyImages(collection=serving.collection, images=(gone, refs[5]), message_id=new_ulid())
    serving.send(late)
    done(serving, message, 2)
    done(serving, late, 1)

    kept_out_by = {f"{serving.collection}/{kind}" for kind in ("tombstones", "erasures")}
    assert named_by(serving, gone.image_id) == kept_out_by
    assert serving.shoal("erase", gone.image_id, "--verify")["named_by"] == []
    others = [ref for ref in refs if ref != gone]
    assert len(serving.results(others)) == 11
    assert {row.ref.image_id for row in Ledger(serving.store, serving.collection).rows()} == {
        ref.image_id for ref in others
    }
    with pytest.raises(ObjectNotFound):
        serving.uploads.get(gone.key)


def test_pictures_erased_while_they_are_classified_are_gone_in_the_end(serving: Platform) -> None:
    refs = serving.upload_kinds("race", 120)
    messages = [ClassifyImages(collection=serving.collection, images=tuple(refs[i::12])) for i in range(12)]
    for message in messages:
        serving.send(message)
    results = Results(serving.store, serving.collection)
    wait_until(lambda: bool(list(results.get_many(r.image_id for r in refs))), 60, "the first result")
    gone = refs[::2]
    serving.shoal("erase", *(ref.image_id for ref in gone))
    for message in messages:
        done(serving, message, 1)
    assert serving.shoal("erase", "--verify", *(ref.image_id for ref in gone))["named_by"] == []
    assert len(serving.results(refs[1::2])) == 60


def test_retraining_never_fetches_what_was_erased(serving: Platform) -> None:
    """By the ledger alone: its rows are gone, and the snapshot asks the uploads for nothing else."""

    class Watched(ImageSource):
        def fetch(self, refs: Sequence[ImageRef], **_: object) -> Generator[tuple[int, Fetched]]:
            asked.update(ref.image_id for ref in refs)
            return super().fetch(refs)

    asked: set[str] = set()
    refs = serving.upload_kinds("learn", 30)
    serving.results(refs, serving.submit(refs))
    ledger = Ledger(serving.store, serving.collection)
    wait_until(lambda: len(list(ledger.rows())) == 30, 60, "the ledger")
    serving.shoal("erase", refs[0].image_id)
    images = Watched({serving.uploads.bucket: serving.uploads}, 1 << 20)
    erased = Tombstones(serving.store, serving.collection).now()
    chosen = references(choose(ledger, erased, 1000, SnapshotSettings()))
    read = dict(read_originals(images, chosen))
    assert asked == set(read) == {ref.image_id for ref in refs[1:]}


def test_verify_says_where_a_picture_is_still_named(serving: Platform) -> None:
    ref = serving.upload_kinds("still", 1)[0]
    serving.results([ref], serving.submit([ref]))
    named = serving.shoal("erase", "--verify", ref.image_id, status=1)["named_by"]
    assert isinstance(named, list)
    assert any(mention["key"].startswith(f"{serving.collection}/results/") for mention in named)
