"""The broker's disk is full: submitting says so, the worker lives, and what was accepted is done later."""

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from console.ports import choose_ports
from console.server import Server
from console.valkey import broker_url, valkey_config, valkey_server
from producer.errors import BrokerUnavailable
from producer.settings import BrokerSettings
from tests.system.faults.disk import SmallDisk, small_disk
from tests.system.faults.fleet import fleet
from tests.system.faults.load import Load
from tests.system.running_platform import Platform, wait_until

PATIENCE_S = 120.0
FULL_S = 2.0


@dataclasses.dataclass
class Cramped:
    """The platform, with a Valkey of its own on a small disk."""

    platform: Platform
    server: Server
    disk: SmallDisk


@pytest.fixture(params=["everysec", "always"])
def cramped(platform: Platform, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Cramped]:
    port = choose_ports(("valkey.port",), {})["valkey.port"]
    url = broker_url(port, "secret")
    config = tmp_path / "valkey.conf"
    config.write_text(valkey_config(port, "secret", fsync=request.param == "always"))
    with small_disk(tmp_path / "disk", 16) as disk:
        server = valkey_server(disk.folder, tmp_path / "valkey.log", url, config)
        server.start()
        server.wait_ready()
        try:
            own = dataclasses.replace(platform, broker=BrokerSettings(url=SecretStr(url)))
            yield Cramped(own, server, disk)
        finally:
            server.stop()


def submit_once(load: Load) -> BrokerUnavailable | None:
    try:
        load.submit(5, timeout_s=3.0)
    except BrokerUnavailable as error:
        return error
    return None


def test_a_full_disk_under_the_broker_loses_nothing(cramped: Cramped, request: pytest.FixtureRequest) -> None:
    load = Load.on(cramped.platform)
    with fleet(cramped.platform, 1) as workers:
        load.submit(40)
        cramped.disk.fill()
        said: list[BrokerUnavailable] = []

        def refused() -> bool:
            error = submit_once(load)
            said.extend([error] if error is not None else [])
            return error is not None

        wait_until(refused, 60, "submit to say that the disk is full")
        time.sleep(FULL_S)  # the outage itself
        cramped.disk.free()
        freed = time.monotonic()
        if not cramped.server.alive:  # with fsync it ends rather than promise what it cannot keep
            cramped.server.start()
            cramped.server.wait_ready()
        wait_until(lambda: submit_once(load) is None, 60, "submit to work again")
        recovery_s = round(time.monotonic() - freed, 1)
        report = load.settle(
            f"the broker's disk is full, {request.node.callspec.params['cramped']}", PATIENCE_S
        )
        report.recovery_s = recovery_s
        report.say()

    assert (report.results, report.wrong, report.lost, report.dead_letters) == (report.submitted, 0, 0, 0)
    assert report.submitted >= 45
    assert workers.deaths == 0
    if request.node.callspec.params["cramped"] == "everysec":
        assert "disk" in str(said[0])
