from contextlib import ExitStack

from tests.system.running_platform import Platform, wait_until
from tests.system.test_retraining_faults import PATIENCE_S, TRAINER
from training.runs import Runs


def test_five_beats_at_once_make_one_run_of_each_slot(platform: Platform) -> None:
    schedule = {
        **TRAINER,
        "SHOAL_TRAINING__EVERY_S": "2",
        "SHOAL_TRAINING__COLLECTIONS": f'["{platform.collection}"]',
    }
    runs = Runs(platform.store, platform.collection)
    with ExitStack() as stack:
        logs = [
            stack.enter_context(platform.running("trainer", "trainer ready", **schedule)) for _ in range(2)
        ]
        for _ in range(5):
            stack.enter_context(platform.running("beat", "beat: Starting", **schedule))
        before = len(list(runs.all()))
        wait_until(lambda: len(list(runs.all())) >= before + 10, PATIENCE_S, "ten slots more")

    said = "".join(log.read_text() for log in logs)
    slots = [record.slot for record in runs.all()]
    assert said.count("run begins") == len(slots) == len(set(slots))
    assert said.count("this run exists already") > 2 * 10  # of five that asked
    assert {record.state for record in runs.all()} == {"skipped"}
    assert {record.trigger for record in runs.all()} == {"schedule"}
