import gc
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from model_store.process import Services
from model_store.process_settings import ProcessSettings


@pytest.fixture
def unfrozen() -> Iterator[None]:
    yield
    gc.unfreeze()


class Parts(Services):
    role, broker, startup_timeout_s = "test", None, 0.0  # type: ignore[assignment]

    def wire(self) -> SimpleNamespace:
        self.parts = [[n] for n in range(1000)]
        return SimpleNamespace(close=lambda: None)


@pytest.fixture
def ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model_store.process.wait_until_ready", lambda *_, **__: None)


@pytest.mark.usefixtures("unfrozen", "ready")
def test_what_is_logged_of_the_settings_is_what_differs_from_the_defaults() -> None:
    parts = Parts(None)
    parts.settings = ProcessSettings.model_validate({"store": {"bucket": "mine"}, "log": {"level": "INFO"}})

    with capture_logs() as logs:
        parts.start(None)

    assert [log["settings"] for log in logs] == [{"store": {"bucket": "mine"}}]


@pytest.mark.usefixtures("unfrozen", "ready")
def test_what_a_process_starts_with_is_not_looked_through_by_the_garbage_collector() -> None:
    wired = Parts(None)
    wired.settings = ProcessSettings()
    wired.start(None)

    looked_through = {id(each) for each in gc.get_objects()}
    assert not any(id(part) in looked_through for part in wired.parts)
