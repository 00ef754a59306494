import gc
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from model_store.process import Services


@pytest.fixture
def unfrozen() -> Iterator[None]:
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("unfrozen")
def test_what_a_process_starts_with_is_not_looked_through_by_the_garbage_collector(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Wired(Services):
        role, broker, startup_timeout_s = "test", None, 0.0  # type: ignore[assignment]
        settings = SimpleNamespace(model_dump=dict, store=None)  # type: ignore[assignment]

        def wire(self) -> SimpleNamespace:
            self.parts = [[n] for n in range(1000)]
            return SimpleNamespace(close=lambda: None)

    monkeypatch.setattr("model_store.process.wait_until_ready", lambda *_, **__: None)
    wired = Wired(None)
    wired.start(None)

    looked_through = {id(each) for each in gc.get_objects()}
    assert not any(id(part) in looked_through for part in wired.parts)
