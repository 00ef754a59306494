from collections import Counter

from model_store.cluster_names import ClusterNames
from model_store.layout import Layout
from model_store.results import Results
from producer.contracts import Cluster, ImageRef
from tests.system.running_platform import Platform, wait_until
from tests.system.tiny_retraining import ON_VOLUME
from training.backfill_record import BackfillRecord
from training.runs import Runs

KINDS = ("invoices", "cats", "streets")
LOOP = {
    **{
        name: value for name, value in ON_VOLUME.items() if "__PROMOTION__" not in name
    },  # the gates as they are
    "SHOAL_TRAINING__PROMOTION__MAX_LATENCY": "100",  # but for the time, on a busy machine
    "SHOAL_TRAINING__BACKFILL__AUTOMATIC": "true",
}


def named(platform: Platform, refs: list[ImageRef]) -> list[str | None]:
    """Give the name that each picture's stored result carries, or None."""
    return [cluster.name if cluster else None for cluster in clusters(platform, refs)]


def clusters(platform: Platform, refs: list[ImageRef]) -> list[Cluster | None]:
    found = Results(platform.store, platform.collection).get_many(ref.image_id for ref in refs)
    by_id = {result.image_id: result.cluster for result in found}
    return [by_id.get(ref.image_id) for ref in refs]


def test_uploads_lead_to_a_better_model_that_renews_old_answers_under_the_names_that_people_gave(
    platform: Platform,
) -> None:
    """Uploads, volume trigger, retraining, gates, promotion, swap, backfill: nobody lifts a finger."""
    first = platform.promote_tiny_model()
    settings = {**LOOP, "SHOAL_TRAINING__COLLECTIONS": f'["{platform.collection}"]'}
    few, more = platform.upload_kinds("few", 30), platform.upload_kinds("more", 120)
    with (
        platform.running("worker", "worker ready"),
        platform.running("trainer", "trainer ready", **settings),
        platform.running("beat", "beat: Starting", **settings),
    ):
        platform.results(few, platform.submit(few))
        ids = [cluster.id for cluster in clusters(platform, few) if cluster]
        for kind, name in enumerate(KINDS):
            [(cluster_id, _)] = Counter(ids[kind::3]).most_common(1)
            ClusterNames(platform.store, platform.collection).name(cluster_id, name)

        platform.results(more, platform.submit(more))
        runs = Runs(platform.store, platform.collection)
        wait_until(lambda: any(run.ended_at for run in runs.all()), 120, "a run by itself")
        [run] = runs.all()
        assert (run.trigger, run.state) == ("volume", "promoted"), run.reason
        second = platform.registry().current()
        assert second.version == run.version != first
        wait_until(lambda: platform.served_by(few + more) == {second.version}, 120, "all answers are renewed")
        wait_until(lambda: backfill(platform, second.generation) == "done", 60, "the backfill's record")

    kinds = [KINDS[i % 3] for refs in (few, more) for i in range(len(refs))]
    assert named(platform, few + more) == kinds
    manifest, _ = platform.registry().manifest(second.version)
    assert manifest.parent == first
    assert {"probe", "moved", "silhouette"} <= {gate.name for gate in manifest.gates if gate.passed}
    assert all(gate.passed for gate in manifest.gates)


def backfill(platform: Platform, generation: int) -> str:
    key = Layout(platform.collection).backfill(generation)
    return BackfillRecord.model_validate_json(platform.store.get(key).data).state
