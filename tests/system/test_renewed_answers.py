from model_store.results import Results
from tests.system.running_platform import Platform, wait_until


def test_answers_of_the_old_model_are_renewed_and_a_picture_that_is_gone_keeps_its_own(
    serving: Platform,
) -> None:
    old = serving.registry().current().version
    refs = serving.upload_kinds("backfill", 60)
    before = serving.results(refs, serving.submit(refs))
    assert serving.shoal("backfill", "--dry-run")["submit"] == 0
    new = serving.promote_tiny_model(seed=1)
    gone, rest = refs[0], refs[1:]
    serving.uploads.delete(gone.key)

    outlook = serving.shoal("backfill", "--dry-run")
    assert (outlook["pictures"], outlook["stay"], outlook["submit"]) == (60, 0, 60)
    record = serving.shoal("backfill")
    assert (record["state"], record["submitted"], record["version"]) == ("done", 60, new)

    wait_until(lambda: serving.served_by(rest) == {new}, 60, "all are answered by the new model")
    kept = Results(serving.store, serving.collection).get(gone.image_id)
    assert kept == before[gone.image_id]
    assert kept.model is not None
    assert kept.model.version == old
    assert serving.shoal("backfill")["submitted"] == 60  # done: nothing is submitted again


def test_the_trainer_does_it_by_itself_where_the_setting_says_so(serving: Platform) -> None:
    refs = serving.upload_kinds("by-itself", 20)
    serving.results(refs, serving.submit(refs))
    new = serving.promote_tiny_model(seed=1)
    automatic = {
        "SHOAL_TRAINING__BACKFILL__AUTOMATIC": "true",
        "SHOAL_TRAINING__COLLECTIONS": f'["{serving.collection}"]',
    }
    with serving.running("trainer", "trainer ready", **automatic):
        wait_until(lambda: serving.served_by(refs) == {new}, 120, "all are answered by the new model")
