"""A worker cut off from broker and store for longer than its leases, while another goes on."""

import sys
import time
from urllib.parse import urlsplit

from console.guarded_process import GuardedProcess
from model_store.results import Results
from tests.system.faults.fleet import LEASE_S, ROOT, fleet
from tests.system.faults.load import Load
from tests.system.faults.namespace import namespace
from tests.system.faults.proxy import FaultyProxy
from tests.system.faults.report import LONG
from tests.system.running_platform import Platform, wait_until

N = 1_000 if LONG else 100
CUT_S = 3 * float(LEASE_S)
PATIENCE_S = 180.0


def test_a_partition_longer_than_the_lease_leaves_each_picture_one_right_result(platform: Platform) -> None:
    load = Load.on(platform)
    url = platform.broker.url.get_secret_value()
    ports = [urlsplit(address).port or 0 for address in (url, platform.stack.endpoint)]
    results = Results(platform.store, platform.collection)
    log = platform.workdir / "cut-off.log"
    with (
        namespace() as inside,
        FaultyProxy(ports[0], http=False, host=inside.our_address) as broker,
        # late, so that messages are in work when the wire is cut
        FaultyProxy(ports[1], host=inside.our_address, latency_s=0.5) as store,
        log.open("wb") as out,
    ):
        store.inject(latency=1.0)
        process = GuardedProcess(
            [*inside.prefix, sys.executable, "-m", "console.cli", "worker"],
            output=out,
            env=platform.environment(
                SHOAL_BROKER__URL=url.replace(f"127.0.0.1:{ports[0]}", f"{inside.our_address}:{broker.port}"),
                SHOAL_STORE__ENDPOINT=store.endpoint,
                SHOAL_BROKER__LEASE_S=LEASE_S,
                SHOAL_BROKER__SOCKET_TIMEOUT_S="5",
                PYTHONPATH=str(ROOT),
            ),
            cwd=platform.workdir,
            grace_s=30,
        )
        try:
            wait_until(lambda: "worker ready" in log.read_text(), 90, "the worker inside")
            for _ in range(N // 10):
                load.submit(10)
            wait_until(lambda: any(True for _ in results.get_many(load.submitted)), 60, "first results")
            inside.cut()
            time.sleep(CUT_S)  # the partition itself
            with fleet(platform, 1):
                load.settle("the others go on", PATIENCE_S)
            inside.heal()
            healed = time.monotonic()
            load.submit(10)
            report = load.settle("worker cut off for longer than its leases, then healed", PATIENCE_S)
            report.recovery_s = round(time.monotonic() - healed, 1)
            report.faults = {"partition": 1}
            report.say()
            assert process.poll() is None, log.read_text()
        finally:
            inside.heal()
            process.terminate()
            process.wait()

    assert report.submitted == N + 10
    assert (report.results, report.wrong, report.lost, report.dead_letters) == (N + 10, 0, 0, 0)
