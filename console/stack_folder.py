"""The folder of an embedded stack.

```
{data_dir}/
  lock                 held (flock) while a stack or one of its servers lives; says by whom
  stack.json           password, keys and ports, kept for the next start; 0600
  credentials          the S3 keys in the AWS shared-credentials format; 0600
  valkey.conf          0600
  valkey/              the append-only file
  seaweedfs/           objects
  valkey.log  seaweedfs.log
```
"""

import contextlib
import fcntl
import json
import os
import secrets
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from producer.errors import ConfigurationError

ORPHANS_END_S = 15.0  # the servers of a killed parent are gone by then: guard's grace, and a margin


class StackState(BaseModel):
    """What one folder's stack keeps from start to start."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    broker_password: str = Field(default_factory=lambda: secrets.token_hex(24))
    access_key: str = Field(default_factory=lambda: "SHOAL" + secrets.token_hex(8).upper())
    secret_key: str = Field(default_factory=lambda: secrets.token_hex(24))
    ports: Mapping[str, int] = {}


class StackFolder:
    """One stack's folder, locked against others from construction to `close`.

    The lock also holds while any process lives that inherited `lock_fd`, so servers that are just
    being stopped by their guards keep a new stack off their data.

    Raises:
        ConfigurationError: another stack uses the folder; the message says which process.
    """

    def __init__(self, path: Path) -> None:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = path
        self.credentials_file = path / "credentials"
        self.config_file = path / "valkey.conf"
        self._lock = lock(path / "lock")
        for name in ("valkey", "seaweedfs"):
            (path / name).mkdir(mode=0o700, exist_ok=True)

    @property
    def lock_fd(self) -> int:
        """The descriptor that holds the lock."""
        return self._lock.fileno()

    def load(self) -> StackState:
        """Give what the last start saved, or new credentials.

        Raises:
            ConfigurationError: `stack.json` cannot be read.
        """
        file = self.path / "stack.json"
        try:
            return StackState.model_validate_json(file.read_bytes())
        except FileNotFoundError:
            return StackState()
        except (OSError, ValidationError) as err:
            raise ConfigurationError(
                f"{file} cannot be read: restore it, or remove {self.path}: {err}"
            ) from err

    def save(self, state: StackState) -> None:
        """Keep it for the next start, and write the credentials file."""
        write_private(self.path / "stack.json", state.model_dump_json(indent=2))
        keys = f"aws_access_key_id = {state.access_key}\naws_secret_access_key = {state.secret_key}\n"
        write_private(self.credentials_file, f"[default]\n{keys}")

    def close(self) -> None:
        """Let go of the lock."""
        self._lock.close()


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read (0600); readers see the old text or the new."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    part.replace(path)


def lock(path: Path) -> TextIO:
    """Keep others from the folder of this file until it is closed; waits for what a killed holder left.

    Raises:
        ConfigurationError: another has it; says which process.
    """
    held = path.open("a+")
    deadline = time.monotonic() + ORPHANS_END_S
    while not _try_lock(held):
        holder = _holder(path)
        if _is_running(holder.get("pid")) or time.monotonic() > deadline:
            held.close()
            raise ConfigurationError(
                f"{path.parent} is in use by process {holder.get('pid')} ({holder.get('program')}, "
                f"since {holder.get('since')}): stop that one, or choose another folder"
            )
        time.sleep(0.05)
    held.truncate(0)
    since = datetime.now(UTC).isoformat(timespec="seconds")
    held.write(json.dumps({"pid": os.getpid(), "program": Path(sys.argv[0]).name, "since": since}))
    held.flush()
    return held


def _try_lock(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(path: Path) -> dict[str, object]:
    with contextlib.suppress(ValueError):
        found = json.loads(path.read_text())
        if isinstance(found, dict):
            return found
    return {}  # it has only just taken the lock


def _is_running(pid: object) -> bool:
    if not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
