"""The power goes under the broker: with `appendfsync always` no acknowledged message is lost.

The disk that forgets is `power_cut.c`. That it forgets is shown by the same cut with `everysec`.
"""

import contextlib
import dataclasses
import itertools
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis

from console.ports import choose_ports
from console.valkey import broker_url, valkey_config, valkey_server
from producer import ImageRef, Producer
from producer.broker import CLASSIFY
from producer.envelope import read
from producer.errors import BrokerUnavailable
from producer.settings import ProducerSettings
from tests.system.faults.report import LONG, FaultReport
from tests.system.running_platform import wait_until

N = 20_000 if LONG else 1_000
CLIENTS = 8
COMPILER = shutil.which("cc")

pytestmark = [
    pytest.mark.usefixtures("stack"),  # skips where there is no Valkey
    pytest.mark.skipif(COMPILER is None, reason="a C compiler is needed to make a disk that forgets"),
]


@pytest.fixture(scope="module")
def forgetful_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("disk") / "power_cut.so"
    source = Path(__file__).with_name("power_cut.c")
    command = [str(COMPILER), "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl", "-pthread"]
    subprocess.run(command, check=True)
    return library


@dataclass
class Crowd:
    """Clients that submit until the broker is gone; `acknowledged` are the ids of what it has taken."""

    url: str
    acknowledged: list[str] = field(default_factory=list)

    def submit(self, client: int) -> None:
        producer = Producer(self.url, ProducerSettings(timeout_s=1.0))
        for n in itertools.count():
            name = f"img_{client}_{n}"
            try:
                producer.submit(ImageRef(image_id=name, bucket="uploads", key=name)).result(60)
            except BrokerUnavailable:
                break
            self.acknowledged.append(name)
        with contextlib.suppress(BrokerUnavailable):
            producer.close()


def waiting(url: str) -> set[str]:
    """Ids of the pictures in the lane."""
    with contextlib.closing(redis.Redis.from_url(url, decode_responses=True)) as client:
        letters = [read(str(raw).encode(), (CLASSIFY,)) for raw in client.lrange("interactive", 0, -1)]
    return {image["image_id"] for letter in letters for image in letter.fields["images"]}


@pytest.mark.parametrize("appendfsync", ["always", "everysec"])
def test_what_was_acknowledged_survives_a_power_cut_if_the_broker_always_syncs(
    tmp_path: Path, forgetful_disk: Path, appendfsync: str
) -> None:
    port = choose_ports(("valkey.port",), {})["valkey.port"]
    url = broker_url(port, "secret")
    config = tmp_path / "valkey.conf"
    config.write_text(valkey_config(port, "secret", fsync=appendfsync == "always"))
    server = valkey_server(tmp_path, tmp_path / "valkey.log", url, config)

    crowd = Crowd(url)
    forgetful = dataclasses.replace(server, env={"LD_PRELOAD": str(forgetful_disk)})
    forgetful.start()
    forgetful.wait_ready()
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(crowd.submit, client) for client in range(CLIENTS)]
        wait_until(lambda: len(crowd.acknowledged) >= N, 300, "messages")
        forgetful.kill()
    assert [client.result() for client in clients] == [None] * CLIENTS

    server.start()
    try:
        server.wait_ready()
        left = waiting(url)
    finally:
        server.stop()

    lost = set(crowd.acknowledged) - left
    if appendfsync == "everysec":
        assert lost, "the disk does not forget, so this test would show nothing"
        return
    report = FaultReport("power cut under the broker, appendfsync always", faults={"cut": 1})
    report.count(crowd.acknowledged, dict.fromkeys(left, True))
    report.say()
    assert lost == set()
