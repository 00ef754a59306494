"""Pictures are erased while a model is trained on them: the erasure is complete before the model is there."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from model_store.erasure import Erasure
from model_store.erasure_record import ErasureRecord
from model_store.exemplars import read_exemplars
from model_store.late_erasures import keep_exemplars
from model_store.layout import MANIFEST, Layout
from model_store.manifest import Manifest
from model_store.object_store import MemoryStore
from model_store.tombstones import Tombstones
from tests.unit.training.retrainings import Place, place
from tests.watched_stores import Killed, Mortal, Watched

ERASED = [f"img_{n}" for n in range(20)]
REQUEST = "ticket-7"
DEFAULT = Layout("default")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def there(tmp_path: Path) -> Place:
    return place(tmp_path)


def erase(store: MemoryStore) -> ErasureRecord:
    return Erasure(store, "default", {}).run(ERASED, request=REQUEST)


def erase_before(store: Mortal, ending: str, then: Callable[[], None] = lambda: None) -> None:
    """Erase when the trainer is about to write this."""

    def step_in(key: str) -> None:
        if key.endswith(ending):
            store.before = None
            erase(store)
            then()

    store.before = step_in


def named(store: MemoryStore) -> list[str]:
    return [mention.key for mention in Erasure(store, "default", {}).verify(ERASED)]


def learnt_by(store: MemoryStore) -> dict[str, set[str]]:
    record = ErasureRecord.model_validate_json(store.get(DEFAULT.erasure(REQUEST)).data)
    assert record.state == "done"
    return {version: set(image_ids) for version, image_ids in record.learnt_by.items()}


@pytest.mark.parametrize("moment", ["encoder.safetensors", "-a1.json", MANIFEST, "champion.json"])
def test_the_version_names_none_of_them_and_their_erasure_names_the_version(
    there: Place, moment: str
) -> None:
    erase_before(there.store, moment)

    ended = there.retraining().run("slot")

    assert ended is not None
    assert ended.state == "promoted"
    assert named(there.store) == []
    assert read_exemplars(there.store, "default", str(ended.version)) != {}
    assert learnt_by(there.store) == {ended.version: set(ERASED)}


@pytest.mark.parametrize("moment", ["encoder.safetensors", "-a1.json", MANIFEST])
def test_what_a_trainer_leaves_that_died_before_its_version_was_whole_names_none(
    there: Place, moment: str
) -> None:
    def die_at_the_manifest() -> None:
        there.store.before = lambda key: _kill() if key.endswith(MANIFEST) else None
        if moment == MANIFEST:
            _kill()

    erase_before(there.store, moment, die_at_the_manifest)
    with pytest.raises(Killed):
        there.retraining().run("slot")
    there.store.before = None

    there.retraining().take_up(there.runs.get("slot"))

    assert named(there.store) == []


def test_a_trainer_that_died_right_after_the_manifest_is_completed_by_the_next(
    there: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    erase_before(there.store, "encoder.safetensors")
    with monkeypatch.context() as patch:
        patch.setattr("model_store.registry.heed_erasures", _kill)
        with pytest.raises(Killed):
            there.retraining().run("slot")
    assert learnt_by(there.store) == {}

    ended = there.retraining().take_up(there.runs.get("slot"))

    assert ended is not None
    assert learnt_by(there.store) == {ended.version: set(ERASED)}


def test_exemplars_name_no_picture_that_was_erased_at_any_moment_of_their_writing() -> None:
    data = json.dumps({"c_1": [ERASED[0], "img_99"]}).encode()
    for moment in range(1, 12):
        store, calls = Watched(), [0]

        def step_in(store: Watched = store, calls: list[int] = calls, moment: int = moment) -> None:
            calls[0] += 1
            if calls[0] == moment:
                store.on_call = None
                erase(store)

        store.on_call = step_in
        keep_exemplars(store, "default", "v1", data)
        store.on_call = None
        if not Tombstones(store, "default").now():  # it would have come after that
            erase(store)

        assert read_exemplars(store, "default", "v1") == {"c_1": ("img_99",)}, moment


def test_what_a_trainer_notes_while_the_erasure_ends_is_kept(there: Place, tmp_path: Path) -> None:
    """The version appears after the erasure has looked for versions, and before it writes that it is done."""
    ended: list[str] = []

    def train_meanwhile(key: str) -> None:
        if key == DEFAULT.erasure(REQUEST) and Tombstones(there.store, "default").now():
            there.store.before = None
            manifest, files = versions.pop()
            there.registry.publish(manifest, files)
            ended.append(manifest.version)

    versions = [_trained_on_all(tmp_path)]
    there.store.before = train_meanwhile
    erase(there.store)

    assert learnt_by(there.store) == {ended[0]: set(ERASED)}


def _trained_on_all(workdir: Path) -> tuple[Manifest, dict[str, bytes]]:
    """A version that is about to be published: it learnt from every picture."""
    elsewhere = place(workdir)
    elsewhere.retraining().run("slot")
    manifest, _ = elsewhere.registry.manifest(elsewhere.registry.current().version)
    return manifest, {name: elsewhere.registry.file(manifest.version, name) for name in manifest.files}


def _kill(*_: object) -> None:
    raise Killed
