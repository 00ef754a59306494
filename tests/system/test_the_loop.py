from collections import Counter
from collections.abc import Sequence

from console.demo_pictures import digits
from model_store.bundle_files import CLUSTERS, ClusterFile
from model_store.cluster_names import ClusterNames
from model_store.layout import Layout
from model_store.results import Results
from producer.contracts import Cluster, ImageRef
from tests.system.running_platform import Platform, trained_on, wait_until
from tests.system.scraped import scraped
from tests.system.tiny_retraining import ON_VOLUME
from training.backfill_record import BackfillRecord
from training.runs import Runs

KNOWN = {
    "0": "zeros",
    "4": "fours",
    "6": "sixes",
}  # digits that are there from the first, and what people call them
LATER = "3"  # a kind of picture that nobody has seen before
FIRST_STEPS, STEPS = 200, 100  # it starts from the first one's weights
LOOP = {
    **{
        name: value for name, value in ON_VOLUME.items() if "__PROMOTION__" not in name
    },  # the gates as they are
    "SHOAL_TRAINING__PROMOTION__MAX_LATENCY": "100",  # but for the time, on a busy machine
    "SHOAL_TRAINING__FIT__MIN_STEPS": str(STEPS),
    "SHOAL_TRAINING__FIT__MAX_STEPS": str(STEPS),
    "SHOAL_TRAINING__CLUSTER__N_CLUSTERS": "4",
    "SHOAL_TRAINING__TRIGGERS__VOLUME": "400",
    "SHOAL_TRAINING__BACKFILL__AUTOMATIC": "true",
    "SHOAL_TRAINING__METRICS_PORT": "0",
}
DIGITS = digits()


def handwritten(kind: str, start: int, n: int) -> list[bytes]:
    """Give some of scikit-learn's digits of one kind, as PNG files."""
    return [picture.data for picture in DIGITS if picture.label == kind][start : start + n]


def upload(platform: Platform, name: str, kind: str, start: int, n: int) -> list[ImageRef]:
    key = f"{platform.collection}/{name}/{kind}-{{}}.png"
    return [platform.upload(key.format(i), data) for i, data in enumerate(handwritten(kind, start, n))]


def clusters(platform: Platform, refs: Sequence[ImageRef]) -> list[Cluster]:
    found = Results(platform.store, platform.collection).get_many(ref.image_id for ref in refs)
    by_id = {result.image_id: result.cluster for result in found}
    return [cluster for ref in refs if (cluster := by_id.get(ref.image_id))]


def most(values: Sequence[str | None]) -> tuple[str | None, float]:
    """Give the most frequent of values, and its share."""
    [(value, times)] = Counter(values).most_common(1)
    return value, times / len(values)


def test_uploads_of_a_new_kind_lead_to_a_model_that_knows_it_and_renews_answers_under_the_names_people_gave(
    platform: Platform,
) -> None:
    """Uploads, volume trigger, retraining, gates, promotion, swap, backfill: nobody lifts a finger."""
    items = [(f"{k}-{i}.png", data) for k in KNOWN for i, data in enumerate(handwritten(k, 0, 40))]
    bundle = trained_on(items, n_clusters=len(KNOWN), min_steps=FIRST_STEPS, max_steps=FIRST_STEPS)
    first = platform.registry().promote(platform.publish(bundle)).version
    few = {kind: upload(platform, "few", kind, 40, 50) for kind in KNOWN}
    more = {kind: upload(platform, "more", kind, 90, 80) for kind in (*KNOWN, LATER)}
    early, late = (
        [ref for refs in few.values() for ref in refs],
        [ref for refs in more.values() for ref in refs],
    )
    settings = {**LOOP, "SHOAL_TRAINING__COLLECTIONS": f'["{platform.collection}"]'}
    with (
        platform.running("worker", "worker ready"),
        platform.running("trainer", "trainer ready", **settings) as trainers_log,
        platform.running("beat", "beat: Starting", **settings),
    ):
        platform.results(early, platform.submit(early))
        names = ClusterNames(platform.store, platform.collection)
        for kind, name in KNOWN.items():
            cluster_id, _ = most([cluster.id for cluster in clusters(platform, few[kind])])
            names.name(str(cluster_id), name)

        platform.results(late, platform.submit(late))
        runs = Runs(platform.store, platform.collection)
        wait_until(lambda: any(run.ended_at for run in runs.all()), 120, "a run by itself")
        [run] = runs.all()
        assert (run.trigger, run.state) == ("volume", "promoted"), run.reason
        second = platform.registry().current()
        assert second.version == run.version != first
        wait_until(
            lambda: platform.served_by(early + late) == {second.version}, 120, "all answers are renewed"
        )
        wait_until(lambda: backfill(platform, second.generation) == "done", 60, "the backfill's record")
        of_it = {"collection": platform.collection}
        told = {"state": "promoted", "trigger": "volume", **of_it}
        wait_until(lambda: scraped(trainers_log, "shoal_runs", **told) == 1, 20, "the trainer tells it")
        assert scraped(trainers_log, "shoal_champion_generation", **of_it) == second.generation

    for kind, name in KNOWN.items():
        called, share = most([cluster.name for cluster in clusters(platform, few[kind] + more[kind])])
        assert (called, share > 0.9) == (name, True), share
    entries = ClusterFile.from_bytes(platform.registry().file(second.version, CLUSTERS)).clusters
    [fresh] = [entry.id for entry in entries if entry.lineage != "survived"]
    new_kind = clusters(platform, more[LATER])
    found, share = most([cluster.id for cluster in new_kind])
    assert (found, share > 0.9) == (fresh, True), share
    assert most([cluster.name for cluster in new_kind])[0] is None
    manifest, _ = platform.registry().manifest(second.version)
    assert manifest.parent == first
    assert all(gate.passed for gate in manifest.gates)


def backfill(platform: Platform, generation: int) -> str:
    key = Layout(platform.collection).backfill(generation)
    return BackfillRecord.model_validate_json(platform.store.get(key).data).state
