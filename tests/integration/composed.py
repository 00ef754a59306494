"""`docker-compose.yml` and `deploy/Dockerfile` on this machine, where there is no container engine.

Each service's own command runs with its own environment on the programs of this environment. What a container
would have given it, its addresses, folders and entry point, is replaced in one place: `Deployment`.
"""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
import redis
import yaml

from console import seaweedfs, valkey
from console.guarded_process import GuardedProcess
from console.ports import HOST, free_ports

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "deploy/Dockerfile"
VARIABLES = {"VALKEY_PASSWORD": "v4lkey", "S3_ACCESS_KEY": "the-key", "S3_SECRET_KEY": "the-secret"}
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
SERVERS = ("valkey", "store")
VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?::([-?])([^}]*))?\})")


def interpolate(value: Any, variables: Mapping[str, str]) -> Any:
    """Fill in `${NAME}`, `${NAME:-default}`, `${NAME:?error}` and `$$` as Compose does, in values only."""

    def fill(found: "re.Match[str]") -> str:
        name, kind, rest = found.groups()
        if name is None:
            return "$"
        if not variables.get(name) and kind == "?":
            raise ValueError(f"{name}: {rest}")
        return variables.get(name) or (rest if kind == "-" else "")

    if isinstance(value, str):
        return VARIABLE.sub(fill, value)
    if isinstance(value, dict):
        return {key: interpolate(item, variables) for key, item in value.items()}
    return [interpolate(item, variables) for item in value] if isinstance(value, list) else value


def compose(variables: Mapping[str, str] = VARIABLES) -> dict[str, Any]:
    document = interpolate(yaml.safe_load(COMPOSE.read_text()), variables)
    assert isinstance(document, dict)
    return document


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions with their arguments, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    pairs = (line.partition(" ") for line in text.splitlines() if line.strip())
    return [(word, " ".join(rest.split())) for word, _, rest in pairs]


def entry_point() -> list[str]:
    """What stands before a service's command in a container: the program in this environment."""
    (argument,) = [argument for word, argument in instructions() if word == "ENTRYPOINT"]
    program, *more = json.loads(argument)
    return [str(Path(sys.executable).with_name(program)), *more]


class Deployment:
    """The composed services as processes of this machine."""

    def __init__(self, folder: Path) -> None:
        self._file = compose()
        self._folder = folder
        names = ("valkey", *seaweedfs.PORT_NAMES)
        self._ports = dict(zip(names, free_ports(len(names)), strict=True))
        self._sockets = list(seaweedfs._sockets(self._ports))
        self.processes: dict[str, GuardedProcess] = {}
        self.here = {  # the only differences from a container: where things are
            "@valkey:6379": f"@{HOST}:{self._ports['valkey']}",
            "http://store:8333": f"http://{HOST}:{self._ports['s3.port']}",
            "http://127.0.0.1:8333": f"http://{HOST}:{self._ports['s3.port']}",
            "/etc/valkey/valkey.conf": str(folder / "valkey.conf"),
            "-ip.bind=0.0.0.0": f"-ip.bind={HOST}",
        }
        for name in SERVERS:
            (folder / name).mkdir()

    def start(self, name: str) -> None:
        with self.log(name).open("wb") as output:
            self.processes[name] = GuardedProcess(
                self._command(name),
                output=output,
                env=self.environment(name),
                cwd=self._folder / name if name in SERVERS else self._folder,
                grace_s=15.0,
                remove=self._sockets if name == "store" else (),
            )

    def _command(self, name: str) -> list[str]:
        command = [self._moved(word) for word in self._file["services"][name]["command"]]
        if name == "valkey":
            content = self._file["configs"]["valkey.conf"]["content"]
            where = f"port {self._ports['valkey']}\nbind {HOST}\ndir {self._folder / 'valkey'}\n"
            (self._folder / "valkey.conf").write_text(content + where)
            return [str(valkey.find_valkey()), *command[1:]]
        if name == "store":
            place = [f"-dir={self._folder / 'store'}", "-volume.preStopSeconds=0"]
            ports = [f"-{port}={self._ports[port]}" for port in seaweedfs.PORT_NAMES]
            return [str(seaweedfs.find_weed()), "-logtostderr=true", *command, *place, *ports]
        return [*entry_point(), *command]

    def environment(self, name: str) -> dict[str, str]:
        own = self._file["services"][name]["environment"]
        given = {"PATH": os.environ["PATH"], "HOME": str(self._folder)}
        return given | {key: self._moved(value) for key, value in own.items()}

    def run(self, name: str, *arguments: str) -> str:
        """Run a `shoal` command to its end in a service's environment."""
        done = subprocess.run(
            [*entry_point(), *arguments],
            env=self.environment(name),
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def wait_until(self, name: str, condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
        """Wait for a sign of a service; fails when it ends first."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert self.processes[name].poll() is None, self.log(name).read_text()
            assert time.monotonic() < deadline, self.log(name).read_text()
            time.sleep(0.1)

    def wait_until_said(self, name: str, sign: str) -> None:
        """Wait until this stands in a service's log."""
        self.wait_until(name, lambda: sign in self.log(name).read_text())

    def valkey_is_healthy(self) -> bool:
        """Do what the health check does: PING with the password that valkey-cli finds."""
        test = self._file["services"]["valkey"]["healthcheck"]["test"]
        assert test == ["CMD-SHELL", "valkey-cli ping | grep -q PONG"]
        password = self.environment("valkey")["REDISCLI_AUTH"]
        try:
            with redis.Redis(HOST, self._ports["valkey"], password=password) as client:
                return client.ping() is True
        except redis.exceptions.ConnectionError:
            return False

    def store_is_healthy(self) -> bool:
        """Do what the health check does: get its URL."""
        test: list[str] = self._file["services"]["store"]["healthcheck"]["test"]
        *wget, url = test
        assert wget == ["CMD", "wget", "-q", "-O", "/dev/null"]
        try:
            with DIRECT.open(self._moved(url), timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def stop(self) -> dict[str, int]:
        """Stop all as `docker compose down` would, and see that nothing is left; gives exit statuses."""
        for process in reversed(self.processes.values()):
            process.terminate()
        statuses = {name: process.wait(30) for name, process in self.processes.items()}
        assert not [name for name, p in self.processes.items() if psutil.pid_exists(p.pid)]
        assert not [socket for socket in self._sockets if socket.exists()]
        return statuses

    def _moved(self, text: str) -> str:
        for there, place in self.here.items():
            text = text.replace(there, place)
        return text
