from training.run_lease import RunLease
from training.runs import Runs

SLOT = "20261123T030000Z"


def begun(runs: Runs, slot: str = SLOT) -> RunLease:
    lease = runs.begin(slot)
    assert lease is not None
    return lease


def taken_up(runs: Runs) -> RunLease:
    lease = runs.take_up(runs.get(SLOT))
    assert lease is not None
    return lease
