"""Who may do what: one table for the broker and the store. `docs/security.md` shows it to people.

What a role is not given here it may not do. Reading, writing and removing are given area by area; an area is
a folder of every collection (see `model_store.layout`), or a file beside them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from producer.broker import LANES, TRAINING_QUEUE
from producer.leases import BELL, DUE, LEASED

Role = Literal["producer", "worker", "trainer", "console"]
Area = Literal[
    "results",
    "jobs",
    "ledger",
    "dead",
    "models",
    "aliases",
    "runs",
    "erasures",
    "tombstones",
    "exemplars",
    "backfills",
    "clusters.json",
    "tombstones.json",
]

PLAIN_QUEUE: Final = "{plain_queue}"  # stands for the setting's value
LANE_KEYS: Final = (*LANES, PLAIN_QUEUE)
LEASE_KEYS: Final = (BELL, DUE, LEASED)

CONNECT: Final = (
    *("auth", "hello", "ping", "select", "client|setname", "client|setinfo", "multi", "exec", "discard"),
)
PUSH: Final = ("lpush", "llen")
RING: Final = ("lpush", "ltrim")
# all that may be done to the keys of a grant: one process's own bookkeeping, in scripts too
WORK: Final = (
    *("@list", "@hash", "@set", "@sortedset", "@string", "del", "unlink", "exists", "expire", "pexpire"),
    *("ttl", "pttl", "type", "watch", "unwatch", "time", "eval", "evalsha", "script|load", "script|exists"),
)


@dataclass(frozen=True, slots=True)
class KeyGrant:
    """Commands that may be used, and the keys on which. `mode`: R reads, W writes, RW both."""

    commands: tuple[str, ...]
    keys: tuple[str, ...]
    mode: Literal["R", "W", "RW"] = "RW"


@dataclass(frozen=True, slots=True)
class Access:
    """What one role may do.

    Attributes:
        broker: each grant stands for itself: commands of one do not apply to keys of another.
        databases: which of the broker's two: that of the messages, that of the trainer.
        uploads: what may be done in the uploads buckets.
        reads, writes, removes: areas of Shoal's bucket.
    """

    broker: tuple[KeyGrant, ...]
    databases: tuple[Literal["messages", "training"], ...]
    uploads: tuple[Literal["list", "read", "write", "remove"], ...]
    reads: tuple[Area, ...] = ()
    writes: tuple[Area, ...] = ()
    removes: tuple[Area, ...] = ()


ACCESS: Final[Mapping[Role, Access]] = MappingProxyType(
    {
        "producer": Access(
            broker=(KeyGrant(PUSH, LANE_KEYS, "W"), KeyGrant(RING, (BELL,), "W")),
            databases=("messages",),
            uploads=("write",),
        ),
        "worker": Access(
            broker=(KeyGrant(WORK, (*LANE_KEYS, "shoal:*")),),
            databases=("messages",),
            uploads=("list", "read"),
            reads=(
                *("results", "jobs", "dead", "models", "aliases", "tombstones"),
                *("clusters.json", "tombstones.json"),
            ),
            writes=("results", "jobs", "ledger", "dead"),
            removes=("results", "ledger", "dead"),  # of pictures that were erased meanwhile
        ),
        "trainer": Access(
            broker=(
                KeyGrant(WORK, (TRAINING_QUEUE, *LEASE_KEYS)),
                KeyGrant(PUSH, LANE_KEYS, "W"),  # backfills
            ),
            databases=("messages", "training"),
            uploads=("list", "read"),
            reads=(
                *("ledger", "models", "aliases", "runs", "tombstones", "exemplars", "backfills"),
                *("clusters.json", "tombstones.json"),
            ),
            writes=("models", "aliases", "runs", "exemplars", "backfills"),
            removes=("runs",),
        ),
        "console": Access(
            broker=(
                KeyGrant(PUSH, (*LANE_KEYS, TRAINING_QUEUE), "W"),
                KeyGrant(RING, (BELL,), "W"),
                KeyGrant(("get", "mget", "scan"), ("shoal:*",), "R"),
            ),
            databases=("messages", "training"),
            uploads=("list", "read", "write", "remove"),
            reads=(
                *("results", "jobs", "ledger", "dead", "models", "aliases", "runs", "erasures", "tombstones"),
                *("exemplars", "backfills", "clusters.json", "tombstones.json"),
            ),
            writes=(
                *("aliases", "dead", "ledger", "jobs", "runs", "erasures", "tombstones"),
                *("exemplars", "backfills", "clusters.json", "tombstones.json"),
            ),
            removes=("results", "jobs", "ledger", "dead", "runs", "tombstones"),
        ),
    }
)
