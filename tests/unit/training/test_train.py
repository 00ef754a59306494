import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from model_store.bundle import load_decoder
from model_store.bundle_files import (
    CLUSTERS,
    DECODER,
    ENCODER,
    EXEMPLARS,
    MODEL_CARD,
    PROBE,
    REFERENCE,
    SERVING_FILES,
)
from model_store.clusterer import KMEANS_FILE, PCA_FILE
from model_store.exemplars import exemplars_from_bytes
from model_store.layout import MANIFEST
from model_store.manifest import Gate, Manifest
from model_store.membership import Membership
from model_store.object_store import MemoryStore
from model_store.registry import Registry
from producer.errors import TrainingFailed
from tests.tiny_model import tiny_pixels
from tests.unit.training.told import Told
from training.checkpoint import FitState
from training.corpus import Corpus
from training.course import COURSE
from training.progress import Silent
from training.train import Trained, train
from training.train_settings import TrainSettings

pytestmark = pytest.mark.usefixtures("one_thread")

N = 90
ARCHITECTURE = {"widths": (4, 8), "embedding_dim": 8}


def settings(random_state: int = 0, n_clusters: int = 3) -> TrainSettings:
    return TrainSettings.model_validate(
        {
            "fit": {
                "recipe": "pixel",
                "architecture": ARCHITECTURE,
                "min_steps": 30,
                "max_steps": 30,
                "batch_size": 16,
                "random_state": random_state,
                "device": "cpu",
            },
            "cluster": {"n_clusters": n_clusters, "n_components": 6, "n_init": 2},
        }
    )


def corpus(n: int = N) -> Corpus:
    names = tuple(f"{row}.png" for row in range(n))
    return Corpus(tiny_pixels(n), names, digest="d" * 64, rejected={"decode.corrupt": 2}, n_duplicates=1)


def run(settings: TrainSettings, corpus: Corpus) -> Trained:
    return train(corpus, settings, Silent(), source="npy", collection="cats", parent="v0")


@pytest.fixture(scope="module")
def trained(one_thread: None) -> Trained:
    return run(settings(), corpus())


def digests(
    trained: Trained, names: Sequence[str] = (ENCODER, DECODER, PCA_FILE, KMEANS_FILE, PROBE)
) -> list[str]:
    return [trained.manifest.files[name].sha256 for name in names]


def test_a_run_gives_every_file_of_a_bundle(trained: Trained) -> None:
    expected = {*SERVING_FILES, DECODER, REFERENCE, MODEL_CARD, COURSE}

    assert set(trained.manifest.files) == expected
    assert set(trained.files) == expected | {EXEMPLARS}
    assert set(trained.all_files()) == expected | {EXEMPLARS, MANIFEST}
    assert Manifest.from_bytes(trained.all_files()[MANIFEST]) == trained.manifest


def test_what_was_trained_is_published_loaded_and_predicts_as_it_was_assigned(trained: Trained) -> None:
    registry = Registry(MemoryStore(), "cats")
    target = registry.publish(trained.manifest, trained.files)

    bundle = registry.load(target, "cpu")

    prediction = bundle.predict(np.array(corpus().pixels))
    np.testing.assert_array_equal(prediction.nearest[:, 0], trained.assignment.indices)
    np.testing.assert_allclose(prediction.distances[:, 0], trained.assignment.distances, atol=1e-5)


def test_kinds_of_pictures_that_differ_plainly_get_clusters_of_their_own(trained: Trained) -> None:
    kinds = np.arange(N) % 3

    pairs = set(zip(kinds.tolist(), trained.assignment.indices.tolist(), strict=True))

    assert len(pairs) == 3


def test_the_manifest_tells_what_it_was_made_of(trained: Trained) -> None:
    manifest = trained.manifest

    assert (manifest.collection, manifest.parent, manifest.recipe) == ("cats", "v0", "pixel")
    assert (manifest.n_clusters, manifest.n_components, manifest.embedding_dim) == (3, 6, 8)
    snapshot = manifest.snapshot
    assert (snapshot.source, snapshot.n_images, snapshot.n_rejected, snapshot.n_duplicates) == (
        "npy",
        N,
        2,
        1,
    )
    assert trained.quality.as_metrics().items() <= manifest.metrics.items()


def test_a_tenth_is_held_out_and_fits_nothing(trained: Trained) -> None:
    assert len(trained.held_out) == 9
    assert len(set(trained.held_out.tolist())) == 9
    assert trained.clusterer.counts.sum() == N - 9


def test_every_cluster_is_named_once_with_the_pictures_nearest_to_it(trained: Trained) -> None:
    clusters = json.loads(trained.files[CLUSTERS])["clusters"]
    exemplars = exemplars_from_bytes(trained.files[EXEMPLARS])

    assert len({cluster["id"] for cluster in clusters}) == 3
    for index, cluster in enumerate(clusters):
        members = np.flatnonzero(trained.assignment.indices == index)
        nearest = members[trained.assignment.distances[members].argmin()]
        assert exemplars[cluster["id"]][0] == f"{nearest}.png"


def test_a_model_knows_which_pictures_it_learnt_from(trained: Trained) -> None:
    members = Membership.of_reference(trained.files[REFERENCE])

    assert members is not None
    assert "0.png" in members
    assert "another.png" not in members


def test_equal_seeds_give_equal_files(trained: Trained) -> None:
    again = run(settings(), corpus())

    assert digests(again) == digests(trained)


def test_another_seed_gives_another_model(trained: Trained) -> None:
    other = run(settings(random_state=1), corpus())

    assert not set(digests(other)) & set(digests(trained))


def test_the_verdict_of_the_gates_becomes_part_of_the_manifest(trained: Trained) -> None:
    gate = Gate(name="silhouette", passed=True, reason="fine")

    judged = trained.with_gates([gate])

    assert Manifest.from_bytes(judged.all_files()[MANIFEST]).gates == (gate,)
    assert judged.load().manifest.gates == (gate,)
    assert trained.manifest.gates == ()


def test_the_decoder_of_the_bundle_draws_pictures(trained: Trained) -> None:
    decoder = load_decoder(trained.manifest, trained.files[DECODER])

    drawn = decoder(torch.zeros(2, 8))

    assert drawn.shape == (2, 3, 32, 32)


def test_the_model_card_is_for_people(trained: Trained) -> None:
    card = trained.files[MODEL_CARD].decode()

    assert trained.manifest.version in card
    assert f"{N} pictures from npy; 2 could not be decoded" in card


def test_too_few_pictures_say_how_many_it_takes() -> None:
    with pytest.raises(TrainingFailed, match="19 pictures, too few for 3 clusters: it takes 20"):
        run(settings(), corpus(19))


def test_too_few_pictures_for_the_clusters_say_what_else_would_do() -> None:
    with pytest.raises(TrainingFailed, match="it takes 57, or fewer clusters"):
        run(settings(n_clusters=10), corpus(40))


def test_the_fewest_pictures_that_are_enough_give_a_model() -> None:
    assert run(settings(), corpus(20)).load().manifest.snapshot.n_images == 20


def test_each_stage_tells_how_far_it_is() -> None:
    told = Told()

    train(corpus(), settings(), told, source="npy")

    n = len(corpus())
    assert told.stages == [("train", 30, 30), ("encode", n, n), ("cluster", None, 0), ("check", None, 0)]


class Asked(Exception):
    """Ends a run at the moment when it looks for a checkpoint; says what for."""


class Asking:
    def due(self) -> bool:
        return False

    def save(self, state: FitState) -> None:
        raise AssertionError

    def load(self, purpose: str) -> FitState | None:
        raise Asked(purpose)


def looked_for(corpus: Corpus, settings: TrainSettings) -> str:
    with pytest.raises(Asked) as asked:
        train(corpus, settings, Silent(), source="npy", checkpoints=Asking())
    return str(asked.value)


def test_a_run_goes_on_only_from_its_own_corpus_division_and_settings() -> None:
    own = looked_for(corpus(), settings())

    assert looked_for(corpus(), settings()) == own
    assert looked_for(replace(corpus(), digest="e" * 64), settings()) != own
    assert looked_for(corpus(), settings(random_state=1)) != own
    assert looked_for(corpus(), settings().model_copy(update={"held_out": 0.2})) != own
