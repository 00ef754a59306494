import gc
from collections.abc import Iterator
from importlib.metadata import version
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
def test_the_version_and_all_settings_are_logged_at_start_but_no_secret() -> None:
    parts = Parts(None)
    store = {"bucket": "mine", "access_key": "me", "secret_key": "hidden"}
    broker = {"url": "redis://:hidden@here:6379/0", "signing_keys": ["k1:" + "hidden" * 8]}
    parts.settings = ProcessSettings.model_validate({"store": store, "broker": broker})

    with capture_logs() as logs:
        parts.start(None)

    [said] = logs
    assert (said["role"], said["version"]) == ("test", version("shoal"))
    assert (said["settings"]["store"]["bucket"], said["settings"]["log"]["level"]) == ("mine", "INFO")
    assert "hidden" not in str(said)


@pytest.mark.usefixtures("unfrozen", "ready")
def test_what_a_process_starts_with_is_not_looked_through_by_the_garbage_collector() -> None:
    wired = Parts(None)
    wired.settings = ProcessSettings()
    wired.start(None)

    looked_through = {id(each) for each in gc.get_objects()}
    assert not any(id(part) in looked_through for part in wired.parts)
