import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from producer.errors import ConfigurationError

if TYPE_CHECKING:
    from console.stack import Stack
    from tests.tiny_model import TinyBundle

# Before numpy and torch are imported: tests run side by side, and threads that spin for a core only take it.
for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(threads, "1")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than cores: much of the time a test waits. Each has servers of its own."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="session")
def server_programs() -> None:
    """Skip where the servers' wheels are missing; under CI that is a failure."""
    from console import seaweedfs, valkey  # noqa: PLC0415 - unit tests must not need boto3

    try:
        valkey.find_valkey()
        seaweedfs.find_weed()
    except ConfigurationError as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def stack(server_programs: None) -> "Iterator[Stack]":
    """Valkey and SeaweedFS for the whole session, in a temporary folder: use keys and queues of your own."""
    from console.stack import Stack  # noqa: PLC0415 - unit tests must not need boto3

    with Stack(fsync=False) as servers:  # no test cuts the power
        yield servers


@pytest.fixture
def settings_env(stack: "Stack") -> dict[str, str]:
    """The environment of a process that uses the stack; nothing of it is set in this one."""
    return {**os.environ, **stack.environment()}


@pytest.fixture(scope="session")
def tiny_bundle() -> "TinyBundle":
    """A whole bundle with random weights, as (manifest, files): it loads and answers, and knows little."""
    from tests.tiny_model import make_tiny_bundle  # noqa: PLC0415 - most tests need no torch

    return make_tiny_bundle()


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Networks this small are faster on one thread, by far if the machine is busy."""
    import torch  # noqa: PLC0415 - most tests need no torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
