"""Shoal with everything locked: to each process a user and a policy of its own, and TLS to both servers."""

import contextlib
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from console.guarded_process import GuardedProcess
from console.ports import HOST
from model_store.s3 import S3Store
from model_store.settings import StoreSettings
from producer.settings import BrokerSettings
from tests.integration.policed_servers import BUCKET, Policed, policed_servers
from tests.system.running_platform import ended_in_order
from tests.tls import Authority, tls_in_front

SHOAL = [sys.executable, "-m", "console.cli"]


@dataclass(frozen=True)
class Secured:
    servers: Policed
    ca_file: Path
    fronts: Mapping[str, str]  # address of a server -> that of the TLS in front of it
    workdir: Path
    signing_key: str = field(default_factory=lambda: secrets.token_hex(32))

    def environment(self, role: str, **more: str) -> dict[str, str]:
        told = {name: self._fronted(value) for name, value in self.servers.environment(role).items()}
        ca_files = {"SHOAL_BROKER__CA_FILE": str(self.ca_file), "SHOAL_STORE__CA_FILE": str(self.ca_file)}
        signed = {"SHOAL_BROKER__SIGNING_KEYS": json.dumps([f"key-1:{self.signing_key}"])}
        return {**os.environ, **told, **ca_files, **signed, "OMP_NUM_THREADS": "1", **more}

    def settings(self, role: str) -> tuple[BrokerSettings, StoreSettings]:
        env = self.environment(role)
        broker = {
            "url": env["SHOAL_BROKER__URL"],
            "ca_file": self.ca_file,
            "signing_keys": json.loads(env["SHOAL_BROKER__SIGNING_KEYS"]),
        }
        keys = {
            name: env[f"SHOAL_STORE__{name.upper()}"] for name in ("endpoint", "access_key", "secret_key")
        }
        return (
            BrokerSettings.model_validate(broker),
            StoreSettings.model_validate({**keys, "ca_file": self.ca_file, "max_in_flight": 8}),
        )

    @contextlib.contextmanager
    def store(self, role: str, bucket: str = BUCKET) -> Iterator[S3Store]:
        with contextlib.closing(S3Store(bucket, self.settings(role)[1])) as store:
            yield store

    @contextlib.contextmanager
    def running(self, role: str, ready: str, **more: str) -> Iterator[Path]:
        """Run a process as its role until the block is left; gives its log, once `ready` stands in it."""
        log = self.workdir / f"{role}-{time.monotonic_ns()}.log"
        with log.open("wb") as out:
            env = self.environment(role, **more)
            process = GuardedProcess([*SHOAL, role], output=out, env=env, cwd=self.workdir, grace_s=60)
        with ended_in_order(process, log, ready):
            yield log

    def shoal(self, role: str, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end in a role's environment, and keep all that it says."""
        done = subprocess.run(
            [*SHOAL, *arguments],
            env=self.environment(role, **more),
            cwd=self.workdir,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        with (self.workdir / "commands.log").open("a") as log:
            log.write(f"$ shoal {' '.join(arguments)}\n{done.stdout}{done.stderr}")
        return done

    def secrets(self) -> dict[str, str]:
        """List all that must stand nowhere, by what it is."""
        kept = json.loads((self.servers.files / "credentials.json").read_text())
        keys = {f"{role} {name}": secret for role, own in kept.items() for name, secret in own.items()}
        return {**keys, "signing key": self.signing_key}

    def _fronted(self, value: str) -> str:
        for address, front in self.fronts.items():
            if address in value:
                tls = value.replace("redis://", "rediss://").replace("http://", "https://")
                return tls.replace(address, front)
        return value


@contextlib.contextmanager
def secured_platform(folder: Path) -> Iterator[Secured]:
    authority = Authority(folder, "ours")
    certificate = authority.issue(HOST)
    (folder / "work").mkdir()
    with policed_servers(folder) as servers, contextlib.ExitStack() as tls:
        env = servers.environment("admin")
        urls = (env["SHOAL_BROKER__URL"].removesuffix("/0"), env["SHOAL_STORE__ENDPOINT"])
        ports = [int(url.rpartition(":")[2]) for url in urls]
        fronts = {
            f"{HOST}:{port}": f"{HOST}:{tls.enter_context(tls_in_front(port, certificate))}" for port in ports
        }
        yield Secured(servers, authority.ca_file, fronts, folder / "work")
