"""A champion that cannot be compared with is succeeded by nobody unseen."""

from pathlib import Path

import numpy as np
import pytest

from model_store.bundle_files import DECODER, ENCODER, REFERENCE
from model_store.cluster_names import ClusterNames
from model_store.layout import MANIFEST, Layout
from model_store.signature import Signer
from tests.unit.training.retrainings import Place, place
from training.run_record import RunRecord

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def there(tmp_path: Path) -> Place:
    """A collection whose champion is of its pictures."""
    there = place(tmp_path)
    there.retraining().run("first")
    return there


def lose(there: Place, file: str) -> None:
    there.store.delete(Layout("default").model(there.registry.current().version, file))


def upload_noise(there: Place) -> None:
    rng = np.random.default_rng(1)
    there.upload(rng.integers(0, 255, (60, 32, 32, 3), dtype=np.uint8))


def names_of_gates(record: RunRecord | None) -> set[str]:
    return {gate.name for gate in record.gates} if record else set()


@pytest.mark.parametrize("file", [ENCODER, MANIFEST])
def test_beside_one_that_cannot_be_read_a_model_stays_challenger_and_says_what_to_do(
    there: Place, file: str
) -> None:
    lose(there, file)

    ended = there.retraining().run("second")

    assert ended is not None
    assert ended.state == "challenger"
    assert "cannot be compared with" in ended.reason
    assert "--force --reason" in ended.reason
    assert there.registry.current().generation == 1


@pytest.mark.parametrize("file", [DECODER, REFERENCE])
def test_what_does_not_serve_may_be_lost_and_noise_is_refused_all_the_same(there: Place, file: str) -> None:
    lose(there, file)
    upload_noise(there)

    ended = there.retraining().run("second")

    assert ended is not None
    assert ended.state == "challenger"
    assert {"silhouette", "moved", "known", "reconstruction"} <= names_of_gates(ended)


@pytest.mark.parametrize("file", [DECODER, REFERENCE])
def test_what_does_not_serve_may_be_lost_and_ids_and_names_are_kept(there: Place, file: str) -> None:
    bundle = there.registry.load(there.registry.current(), "cpu")
    ClusterNames(there.store, "default").name(bundle.clusters[0].id, "invoices")
    lose(there, file)

    ended = there.retraining().run("second")

    assert ended is not None
    assert ended.state == "promoted", ended.reason
    now = there.registry.load(there.registry.current(), "cpu")
    assert {entry.id for entry in now.clusters} == {entry.id for entry in bundle.clusters}
    assert "invoices" in {
        ClusterNames(there.store, "default").read().display(entry.id).name for entry in now.clusters
    }


def test_signing_turned_on_does_not_open_the_gates_until_the_champion_is_signed(there: Place) -> None:
    signer = Signer.generate()
    trainer = there.retraining(signer, trusted_keys=(signer.public_key,))

    unsigned = trainer.run("second")
    there.registry.sign(there.registry.current().version, signer)
    signed = trainer.run("third")

    assert unsigned is not None
    assert unsigned.state == "challenger"
    assert "shoal models sign" in unsigned.reason
    assert signed is not None
    assert signed.state == "promoted", signed.reason
