"""Single uploads beside a backlog of the bulk lane."""

from producer.broker import redis_client
from producer.leases import LEASED
from tests.system.faults.fleet import fleet
from tests.system.faults.load import Load
from tests.system.running_platform import Platform, wait_until


def test_a_single_upload_is_begun_while_every_thread_for_bulk_is_busy(platform: Platform) -> None:
    load = Load.on(platform)
    with (
        redis_client(platform.broker) as client,
        fleet(platform, 1, FAULT_SLOW="5", SHOAL_WORKER__THREADS="1") as workers,
    ):
        platform.submit_job(load.refs(20), "job")
        wait_until(lambda: client.hlen(LEASED) == 1, 60, "the bulk message is taken")

        platform.submit(load.refs(1))
        wait_until(lambda: client.hlen(LEASED) == 2, 60, "both in hand")

        assert workers.logs().count("message done") == 0
