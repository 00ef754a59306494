"""The roles as users of Valkey or Redis: the lines of an `aclfile`.

Passwords stand there as sha256 digests. Redis checks the keys that a script names, and every command that it
calls, against the same user.
"""

import re
from collections.abc import Iterator
from hashlib import sha256
from typing import Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from console.access.credentials import Credentials
from console.access.roles import ACCESS, CONNECT, PLAIN_QUEUE, KeyGrant, Role
from producer.errors import ConfigurationError
from producer.settings import BrokerSettings

ADMIN: Final = "shoal-admin"
QUEUE_NAME: Final = re.compile(r"[A-Za-z0-9._:-]*")


def user_name(role: str) -> str:
    """Name the broker's user of a role."""
    return f"shoal-{role}"


def acl_file(broker: BrokerSettings, credentials: Credentials, *, limit_databases: bool) -> str:
    """Write the file: nobody gets in without a name, each role does its part, the administrator all.

    Args:
        broker: names the plain queue and the two databases.
        credentials: whose digests are written.
        limit_databases: keep each role to its databases: Valkey can from 9.1 on, others refuse the rule.

    Raises:
        ConfigurationError: the plain queue has a name that would mean something else in a pattern.
    """
    if not QUEUE_NAME.fullmatch(broker.plain_queue):
        raise ConfigurationError(
            f"SHOAL_BROKER__PLAIN_QUEUE is {broker.plain_queue!r}: letters, digits and . _ : - make a rule"
        )
    lines = [
        "user default off resetpass resetkeys resetchannels -@all",
        f"user {ADMIN} on {_digest(credentials.admin.password)} ~* &* +@all",
        *(_line(role, broker, credentials, limit_databases=limit_databases) for role in ACCESS),
    ]
    return "".join(line + "\n" for line in lines)


def _line(role: Role, broker: BrokerSettings, credentials: Credentials, *, limit_databases: bool) -> str:
    access = ACCESS[role]
    numbers = {"messages": _database(broker), "training": _database(broker.for_training())}
    databases = ",".join(sorted({str(numbers[name]) for name in access.databases}))
    limit = [f"db={databases}"] if limit_databases else []
    selectors = (f"({' '.join([*limit, *_rules(grant, broker)])})" for grant in access.broker)
    digest = _digest(getattr(credentials, role).password)
    connect = ["resetchannels", *limit, "-@all", *(f"+{command}" for command in CONNECT)]
    return " ".join(["user", user_name(role), "on", digest, *connect, *selectors])


def _rules(grant: KeyGrant, broker: BrokerSettings) -> Iterator[str]:
    pattern = "~" if grant.mode == "RW" else f"%{grant.mode}~"
    for key in grant.keys:
        if name := broker.plain_queue if key == PLAIN_QUEUE else key:
            yield f"{pattern}{name}"
    yield "-@all"
    yield from (f"+{command}" for command in grant.commands)
    if any(command.startswith("@") for command in grant.commands):
        yield "-@dangerous"  # such as SORT, which follows patterns to other keys


def _database(broker: BrokerSettings) -> int:
    return int(urlsplit(broker.url.get_secret_value()).path.strip("/") or 0)


def _digest(password: SecretStr) -> str:
    return "#" + sha256(password.get_secret_value().encode()).hexdigest()
