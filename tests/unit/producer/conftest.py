from collections.abc import Callable, Iterator

import pytest

from producer import sender
from producer.outbox import Address, Outbox
from producer.settings import ProducerSettings
from tests.unit.producer.courier import Courier
from tests.unit.producer.post import Post

MakeOutbox = Callable[..., Outbox]


@pytest.fixture
def post() -> Iterator[Post]:
    post = Post()
    yield post
    post.release()


@pytest.fixture
def courier(monkeypatch: pytest.MonkeyPatch) -> Courier:
    """Stands between every `Sender` and the network."""
    courier = Courier()
    monkeypatch.setattr(sender, "push", courier)
    return courier


@pytest.fixture
def make_outbox(post: Post) -> Iterator[MakeOutbox]:
    """Make outboxes that publish to `post`; they are stopped at the end."""
    made = []

    def make(**settings: float) -> Outbox:
        defaults = {"linger_s": 0, "timeout_s": 10}
        made.append(Outbox(post, ProducerSettings.model_validate(defaults | settings)))
        return made[-1]

    yield make
    post.release()
    for outbox in made:
        outbox.stop()


@pytest.fixture
def address() -> Address:
    return Address("default", "interactive", None)
