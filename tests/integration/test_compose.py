"""`docker-compose.yml` and `deploy/Dockerfile`: valid, true to the settings, and they really start."""

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from model_store.process_settings import load_settings
from model_store.s3 import check_bucket
from model_store.settings import StoreSettings
from tests.integration.composed import (
    COMPOSE,
    DOCKERFILE,
    ROOT,
    VARIABLES,
    Deployment,
    compose,
    instructions,
)
from training.settings import Settings as TrainingSettings
from worker.settings import Settings as WorkerSettings

READY = {"worker": "worker ready", "trainer": "trainer ready", "beat": "beat: Starting..."}


@pytest.fixture
def deployment(server_programs: None, tmp_path: Path) -> Iterator[Deployment]:
    """Valkey and the store, healthy as Compose would find them."""
    with contextlib.ExitStack() as cleanup:
        running = Deployment(tmp_path)
        cleanup.callback(running.stop)
        running.start("valkey")
        running.start("store")
        running.wait_until("valkey", running.valkey_is_healthy)
        running.wait_until("store", running.store_is_healthy)
        yield running


def test_the_file_keeps_to_the_compose_specification() -> None:
    schema = ["--builtin-schema", "vendor.compose-spec"]
    command = [sys.executable, "-m", "check_jsonschema", *schema, str(COMPOSE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("missing", sorted(VARIABLES))
def test_no_password_has_a_default_and_the_readme_names_it(missing: str) -> None:
    with pytest.raises(ValueError, match=rf"^{missing}: .*deploy/README\.md"):
        compose({**VARIABLES, missing: ""})
    assert missing in (ROOT / "deploy/README.md").read_text()


@pytest.mark.parametrize("name", ["init", "worker", "worker-gpu", "trainer", "beat"])
def test_every_setting_is_one_that_the_process_knows(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # away from a .shoal/stack.env
    for variable in [variable for variable in os.environ if variable.startswith("SHOAL_")]:
        monkeypatch.delenv(variable)
    services = compose()["services"]
    for variable, value in services[name]["environment"].items():
        assert variable.startswith("SHOAL_")
        monkeypatch.setenv(variable, value)
    for kind in (WorkerSettings, TrainingSettings):
        settings = load_settings(kind)
        assert settings.broker.url.get_secret_value() == "redis://:v4lkey@valkey:6379/0"
        assert settings.store.keys == ("the-key", "the-secret")
    assert {"valkey", "store"} <= set(services[name]["depends_on"])


def test_a_stopping_worker_may_finish_its_messages() -> None:
    services = compose()["services"]
    for name in ("worker", "worker-gpu"):
        assert int(services[name]["stop_grace_period"].removesuffix("s")) >= 60


def test_nothing_listens_beyond_this_machine_and_workers_can_be_scaled() -> None:
    for name, service in compose()["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        assert "container_name" not in service
        assert name in {"valkey", "store"} or "ports" not in service


def test_all_services_come_up_with_their_own_commands_and_environments(deployment: Deployment) -> None:
    deployment.run("init", *compose()["services"]["init"]["command"])
    keys = {"access_key": "the-key", "secret_key": "the-secret"}
    store = StoreSettings.model_validate({"endpoint": deployment.here["http://store:8333"], **keys})
    for bucket in ("shoal", "uploads"):
        check_bucket(bucket, store)

    for name in READY:  # at the same time: each imports torch for seconds
        deployment.start(name)
    for name, sign in READY.items():
        deployment.wait_until_said(name, sign)

    status = json.loads(deployment.run("worker", "status", "--json"))
    assert (status["broker"], status["store"]["state"]) == ("answers", "answers")
    assert [worker["device"] for worker in status["workers"]] == ["cpu"]
    logs = "".join(deployment.log(name).read_text() for name in READY)
    assert not [secret for secret in ("v4lkey", "the-secret") if secret in logs]
    assert deployment.stop() == dict.fromkeys(["valkey", "store", *READY], 0)


def test_the_dockerfile_copies_what_exists_and_is_not_ignored() -> None:
    kept = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    sources = [s for word, argument in instructions() if word == "COPY" for s in argument.split()[:-1]]
    assert sources
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert set(sources) == kept


def test_the_dockerfile_installs_what_pyproject_offers_and_starts_it_as_nobody() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    done = instructions()
    words = [word for what, argument in done if what == "RUN" for word in shlex.split(argument)]
    extras = [word for word in words if re.fullmatch(r"\.\[.*\]", word)]
    assert extras == [".[console]"]
    assert "console" in project["optional-dependencies"]
    torch = [word for word in words if word.startswith("torch")]
    assert len(torch) == 1
    assert torch[0] in project["optional-dependencies"]["store"]
    (entry,) = [argument for what, argument in done if what == "ENTRYPOINT"]
    assert json.loads(entry)[0] in project["scripts"]
    assert ("USER", "shoal") in done
    assert compose()["services"]["worker"]["build"]["dockerfile"] == str(DOCKERFILE.relative_to(ROOT))
