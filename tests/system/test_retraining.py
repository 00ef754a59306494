from model_store.registry import Registry
from producer.contracts import ImageRef
from tests.system.running_platform import Platform, wait_until
from tests.system.tiny_retraining import ON_VOLUME, RETRAINED
from training.run_record import RunRecord
from training.runs import Runs


def runs(platform: Platform) -> list[RunRecord]:
    return list(Runs(platform.store, platform.collection).all())


def test_the_whole_circle(platform: Platform) -> None:
    """Train, submit, results; beat asks for a retraining on the ledger; promoted; the worker swaps."""
    first_version = platform.promote_tiny_model()
    registry = Registry(platform.store, platform.collection)
    refs = platform.upload_kinds("circle", 120)
    schedule = {
        **RETRAINED,
        "SHOAL_TRAINING__EVERY_S": "5",
        "SHOAL_TRAINING__COLLECTIONS": f'["{platform.collection}"]',
    }
    with platform.running("worker", "worker ready"):
        before = platform.results(refs, platform.submit(refs))
        assert {r.model.version for r in before.values() if r.model} == {first_version}
        with (
            platform.running("trainer", "trainer ready", **schedule),
            platform.running("beat", "beat: Starting", **schedule),
        ):
            wait_until(lambda: registry.current().version != first_version, 90, "a retrained champion")
            wait_until(lambda: any(run.state == "promoted" for run in runs(platform)), 60, "the run's record")
        champion = registry.current()  # now that no later run can move it

        after = platform.upload_kinds("later", 30)
        wait_until(lambda: answered_by(platform, after[:1]) == {champion.version}, 60, "the worker swaps")
        later = platform.results(after, platform.submit(after))
    assert {r.model.version for r in later.values() if r.model} == {champion.version}
    manifest, _ = registry.manifest(champion.version)
    assert manifest.parent in {first_version, *(run.version for run in runs(platform))}
    assert manifest.snapshot.source == "ledger"
    assert all(gate.passed for gate in manifest.gates)


def test_enough_new_pictures_start_a_run_that_is_promoted_and_served(platform: Platform) -> None:
    """Train, submit too few, then enough; the volume trigger asks for one run; the worker swaps."""
    first_version = platform.promote_tiny_model()
    registry = Registry(platform.store, platform.collection)
    triggers = {**ON_VOLUME, "SHOAL_TRAINING__COLLECTIONS": f'["{platform.collection}"]'}
    few, more = platform.upload_kinds("few", 40), platform.upload_kinds("more", 120)
    with (
        platform.running("worker", "worker ready"),
        platform.running("trainer", "trainer ready", SHOAL_LOG__LEVEL="DEBUG", **triggers) as log,
        platform.running("beat", "beat: Starting", **triggers),
    ):
        platform.results(few, platform.submit(few))
        wait_until(lambda: "40 new pictures" in log.read_text(), 60, "a check that finds too few")
        assert runs(platform) == []

        platform.results(more, platform.submit(more))
        wait_until(lambda: any(run.ended_at for run in runs(platform)), 120, "a run of its own")
        (run,) = runs(platform)
        assert run.state == "promoted", run.reason
        champion = registry.current()
        wait_until(lambda: answered_by(platform, few[:1]) == {champion.version}, 60, "the worker swaps")

    assert runs(platform) == [run]
    assert (run.trigger, run.version) == ("volume", champion.version)
    assert run.trigger_reason.endswith("new pictures, it takes 100")
    assert champion.version != first_version
    assert registry.manifest(champion.version)[0].snapshot.digest == run.snapshot_digest


def answered_by(platform: Platform, refs: list[ImageRef]) -> set[str]:
    """Submit pictures and tell which models answered."""
    results = platform.results(refs, platform.submit(refs)).values()
    return {result.model.version for result in results if result.model}


def test_a_run_with_too_few_pictures_is_skipped_and_says_why(platform: Platform) -> None:
    platform.promote_tiny_model()
    refs = platform.upload_kinds("few", 20)
    with platform.running("worker", "worker ready"):
        platform.results(refs, platform.submit(refs))
    with platform.running("trainer", "trainer ready", **RETRAINED) as log:
        retrain(platform)
        wait_until(lambda: "run ended" in log.read_text(), 60, "the run ends")
    (run,) = runs(platform)
    assert run.state == "skipped"
    assert "20 usable pictures in the ledger, it takes 90" in run.reason


def test_two_equal_runs_are_one(platform: Platform) -> None:
    with platform.running("trainer", "trainer ready", **RETRAINED) as log:
        retrain(platform, "20261123T030000Z")
        retrain(platform, "20261123T030000Z")
        wait_until(lambda: "this run exists already" in log.read_text(), 60, "the second is refused")
    assert len(runs(platform)) == 1


def retrain(platform: Platform, slot: str = "by-hand") -> None:
    from producer.broker import RETRAIN, TRAINING_QUEUE, celery_app, lane_queue  # noqa: PLC0415

    with celery_app("test", platform.broker.for_training(), [lane_queue(TRAINING_QUEUE)]) as app:
        kwargs = {"collection": platform.collection, "slot": slot}
        app.send_task(RETRAIN, kwargs=kwargs, queue=TRAINING_QUEUE)
