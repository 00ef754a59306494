"""Who may do what: one table for the broker and the store. `docs/security.md` shows it to people.

What a role is not given here it may not do. Reading, writing and removing are given area by area; an area is
a folder of every collection (see `model_store.layout`), or a file beside them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, get_args

from producer.broker import LANES, TRAINING_QUEUE
from producer.leases import BELL, DUE, LEASED

Database = Literal["messages", "training"]
Role = Literal["producer", "worker", "trainer", "console"]
Area = Literal[
    "results",
    "jobs",
    "ledger",
    "dead",
    "models",
    "aliases",
    "runs",
    "sweeps",
    "backfills",
    "erasures",
    "tombstones",
    "exemplars",
    "tombstones.json",
    "clusters.json",
    "drift.json",
]

ERASED: Final[tuple[Area, ...]] = ("tombstones", "tombstones.json")
PLAIN_QUEUE: Final = "{plain_queue}"  # stands for the setting's value
LANE_KEYS: Final = (*LANES, PLAIN_QUEUE)

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
    """Commands that may be used, the keys on which, and where.

    Attributes:
        mode: R reads, W writes, RW both.
        database: that of the messages, or that of the trainer.
    """

    commands: tuple[str, ...]
    keys: tuple[str, ...]
    mode: Literal["R", "W", "RW"] = "RW"
    database: Database = "messages"


@dataclass(frozen=True, slots=True)
class Access:
    """What one role may do.

    Attributes:
        broker: each grant stands for itself: commands of one do not apply to keys of another.
        uploads: what may be done in the uploads buckets.
        reads, writes, removes: areas of Shoal's bucket.
    """

    broker: tuple[KeyGrant, ...]
    uploads: tuple[Literal["list", "read", "write", "remove"], ...]
    reads: tuple[Area, ...] = ()
    writes: tuple[Area, ...] = ()
    removes: tuple[Area, ...] = ()


SEND: Final = (KeyGrant(PUSH, LANE_KEYS, "W"), KeyGrant(RING, (BELL,), "W"))
ASK_FOR_A_RUN: Final = (
    KeyGrant(PUSH, (TRAINING_QUEUE,), "W", "training"),
    KeyGrant(RING, (BELL,), "W", "training"),
)
ACCESS: Final[Mapping[Role, Access]] = MappingProxyType(
    {
        "producer": Access(broker=SEND, uploads=("write",)),
        "worker": Access(
            broker=(
                KeyGrant(WORK, (*LANE_KEYS, "shoal:*")),
                KeyGrant(("scan",), ("shoal:worker:*",), "R"),  # `shoal worker --check` finds its own
            ),
            uploads=("list", "read"),
            reads=("results", "jobs", "dead", "models", "aliases", *ERASED, "clusters.json"),
            writes=("results", "jobs", "ledger", "dead"),
            removes=("results", "ledger", "dead"),  # of pictures that were erased meanwhile
        ),
        "trainer": Access(
            broker=(KeyGrant(WORK, (TRAINING_QUEUE, BELL, DUE, LEASED), database="training"), *SEND),
            uploads=("list", "read"),
            reads=(
                *("ledger", "models", "aliases", "runs", "exemplars", "backfills", *ERASED),
                *("clusters.json", "drift.json", "erasures"),
            ),
            writes=(
                *("ledger", "models", "aliases", "runs", "exemplars", "backfills"),
                *("clusters.json", "drift.json", "erasures"),
            ),
            removes=("ledger", "runs", "models", "exemplars"),  # parts of versions never finished
        ),
        "console": Access(
            broker=(*SEND, *ASK_FOR_A_RUN, KeyGrant(("get", "mget", "scan", "hlen"), ("shoal:*",), "R")),
            uploads=("list", "read", "write", "remove"),
            reads=get_args(Area),
            writes=(
                *("aliases", "clusters.json", "dead", "ledger", "jobs", "runs", "exemplars"),
                *("erasures", "sweeps", "backfills", *ERASED),
            ),
            removes=("results", "jobs", "ledger", "dead", "runs", "sweeps", "tombstones"),
        ),
    }
)
