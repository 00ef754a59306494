import os
import shutil
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from console import seaweedfs, valkey
from console.ports import HOST, PortTaken, choose_ports
from console.server import Server
from console.stack_folder import StackFolder, StackState, write_private

PORT_ATTEMPTS = 4
# what a shell may hold about other servers, and would be laid over this stack's own
ELSEWHERE = (
    "BROKER__TRAINING_URL",
    *(f"STORE__{n}" for n in ("ACCESS_KEY", "SECRET_KEY", "REGION", "MORE_UPLOADS_BUCKETS")),
)
BROKER_PORT = "valkey.port"


def forget_other_servers() -> None:
    """Take what this process's environment says about other servers out of it, children included."""
    for name in ELSEWHERE:
        os.environ.pop(f"SHOAL_{name}", None)


class Stack:
    """Real servers for one machine: Valkey as the broker and SeaweedFS as the S3 store.

    Inside the `with` block both answer, on 127.0.0.1 only, and the buckets exist. They stop when the
    block is left, by Ctrl-C too, and when this process dies in any way. A folder used again has its data
    and the same credentials, and the same ports where those are still free. Getting in takes the
    credentials, except over SeaweedFS's own gRPC: not for machines whose users must not trust each other.

    Args:
        data_dir: holds data, credentials and logs (see `console.stack_folder`); made when missing.
            None for a temporary folder, removed at the end.
        fsync: what the servers accepted survives a power cut; without it only the death of a process.
        start_timeout_s: for each server to answer.

    Raises:
        ConfigurationError: on entering: the folder is in use, or a server's program is missing or fails.
        TransientError: on entering: a server does not answer in time, or no ports could be had.
    """

    bucket = "shoal"
    uploads_bucket = "uploads"
    valkey: Server
    seaweedfs: Server

    def __init__(
        self, data_dir: Path | None = None, *, fsync: bool = True, start_timeout_s: float = 30.0
    ) -> None:
        self._wanted_dir = data_dir
        self._fsync = fsync
        self._start_timeout_s = start_timeout_s
        self._state = StackState()
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as undo:  # an error or Ctrl-C on the way leaves nothing behind
            self._temporary = self._wanted_dir is None
            path = Path(tempfile.mkdtemp(prefix="shoal-")) if self._wanted_dir is None else self._wanted_dir
            if self._temporary:
                undo.callback(shutil.rmtree, path, ignore_errors=True)
            self._folder = StackFolder(path.absolute())
            undo.callback(self._folder.close)
            self._state = self._folder.load()
            undo.callback(self._stop)
            self._start()
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    @property
    def data_dir(self) -> Path:
        """The folder with everything in it."""
        return self._folder.path

    @property
    def broker_url(self) -> str:
        """Valkey, password included."""
        return valkey.broker_url(self._state.ports[BROKER_PORT], self._state.broker_password)

    @property
    def endpoint(self) -> str:
        """The S3 API."""
        return f"http://{HOST}:{self._state.ports['s3.port']}"

    @property
    def access_key(self) -> str:
        """The S3 access key."""
        return self._state.access_key

    @property
    def secret_key(self) -> str:
        """The S3 secret key."""
        return self._state.secret_key

    @property
    def credentials_file(self) -> Path:
        """The S3 keys in the AWS shared-credentials format, profile `default`, mode 0600."""
        return self._folder.credentials_file

    def environment(self) -> dict[str, str]:
        """Give the settings that point Shoal's processes at this stack."""
        return {
            "SHOAL_BROKER__URL": self.broker_url,
            "SHOAL_STORE__ENDPOINT": self.endpoint,
            "SHOAL_STORE__BUCKET": self.bucket,
            "SHOAL_STORE__UPLOADS_BUCKET": self.uploads_bucket,
            "SHOAL_STORE__CREDENTIALS_FILE": str(self.credentials_file),
        }

    def _start(self) -> None:
        for attempt in range(1, PORT_ATTEMPTS + 1):
            ports = choose_ports((BROKER_PORT, *seaweedfs.PORT_NAMES), self._state.ports)
            self._state = self._state.model_copy(update={"ports": ports})
            self._folder.save(self._state)
            self._make_servers()
            try:
                self._start_both()
            except PortTaken:
                self._stop()
                if attempt == PORT_ATTEMPTS:
                    raise
            else:
                return

    def _start_both(self) -> None:
        deadline = time.monotonic() + self._start_timeout_s
        servers = (self.valkey, self.seaweedfs)
        for server in servers:
            server.start()
        for server in servers:
            server.wait_ready(max(1.0, deadline - time.monotonic()))
        seaweedfs.set_fsync(self._state.ports, fsync=self._fsync)

    def _make_servers(self) -> None:
        folder, state = self._folder, self._state
        config = valkey.valkey_config(state.ports[BROKER_PORT], state.broker_password, fsync=self._fsync)
        write_private(folder.config_file, config)
        self.valkey = valkey.valkey_server(
            folder.path / "valkey", folder.path / "valkey.log", self.broker_url, folder.config_file
        )
        self.seaweedfs = seaweedfs.seaweedfs_server(
            folder.path / "seaweedfs",
            folder.path / "seaweedfs.log",
            state.ports,
            (state.access_key, state.secret_key),
            (self.bucket, self.uploads_bucket),
        )
        for server in (self.valkey, self.seaweedfs):
            server.keep_fds = (folder.lock_fd,)
            server.remove_orphaned = (folder.path,) if self._temporary else ()

    def _stop(self) -> None:
        servers = [server for server in (vars(self).get("valkey"), vars(self).get("seaweedfs")) if server]
        for server in servers:
            server.terminate()
        for server in servers:
            server.stop()
