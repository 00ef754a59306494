"""What people say of clusters: names, and clusters to be shown as one. `{collection}/clusters.json`.

```
name("c_9f2k7m", "invoices")          c_9f2k7m is shown as c_9f2k7m "invoices"
merge("c_11aa22", "c_9f2k7m")         c_11aa22 is shown as c_9f2k7m "invoices" too
split("c_11aa22")                     and is itself again
```
Keyed by stable id, so that they follow a cluster over retraining, and none is lost by a rollback. Models
know nothing of this file: it says how their clusters are shown. Changes are compare-and-swap.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Final, Literal, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from model_store.layout import Layout
from model_store.object_store import ObjectStore
from producer.errors import ConfigurationError, ObjectNotFound, PreconditionFailed

ATTEMPTS: Final = 50  # of a compare-and-swap among racing people
CLUSTER_ID: Final = r"^c_[0-9a-z]{1,32}$"

ClusterId = Annotated[str, StringConstraints(pattern=CLUSTER_ID)]
ClusterName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$"),
]
_NAME: Final = TypeAdapter(ClusterName)
_ID: Final = TypeAdapter(ClusterId)


class Shown(NamedTuple):
    """How a cluster is shown: its own id or that of the one it was merged into, and that one's name."""

    id: str
    name: str | None


class Heir(NamedTuple):
    """A new cluster, and an earlier one whose pictures it has now."""

    id: str
    of: str
    takes_name: bool  # it is the whole of the other; a part takes no name


class Descended(Protocol):
    """A cluster of a model, and those of the former model that it is made of."""

    @property
    def id(self) -> str:
        """Its id."""

    @property
    def lineage(self) -> str:
        """How it came about: survived, merged, split or new."""

    @property
    def parents(self) -> tuple[str, ...]:
        """Ids, largest first."""


def heirs(clusters: Iterable[Descended]) -> list[Heir]:
    """List who inherits what people said of clusters: the merged take names, all with a new id merges."""
    return [
        Heir(cluster.id, parent, takes_name=cluster.lineage == "merged")
        for cluster in clusters
        for parent in cluster.parents
        if cluster.lineage in {"merged", "split"} and cluster.id not in cluster.parents
    ]


class Names(BaseModel):
    """One state of the file; the empty one if there is none yet."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format_version: Literal[1] = 1
    names: Mapping[ClusterId, ClusterName] = Field(default_factory=dict)
    merges: Mapping[ClusterId, ClusterId] = Field(default_factory=dict, description="id -> id it is shown as")
    updated_at: datetime | None = None
    etag: str | None = Field(None, exclude=True, description="of this state; None: there is no file")

    def display(self, cluster_id: str) -> Shown:
        """Tell how a cluster is shown. Total: an id that nobody spoke of is shown as itself, unnamed."""
        passed = {cluster_id}
        while (target := self.merges.get(cluster_id)) is not None and target not in passed:
            passed.add(target)
            cluster_id = target
        return Shown(cluster_id, self.names.get(cluster_id))


class ClusterNames:
    """The names of one collection. Every change is made on the latest state; of racing ones none is lost."""

    def __init__(self, store: ObjectStore, collection: str) -> None:
        self._store = store
        self._key = Layout(collection).cluster_names()

    def read(self) -> Names:
        """Read the present state.

        Raises:
            ConfigurationError: the file is damaged or of a newer Shoal.
            StoreUnavailable: the store does not answer.
        """
        try:
            found = self._store.get(self._key)
        except ObjectNotFound:
            return Names()
        try:
            return Names.model_validate_json(found.data).model_copy(update={"etag": found.etag})
        except ValidationError as error:
            raise ConfigurationError(
                f"{self._key} cannot be read by this version of Shoal: {error}"
            ) from error

    def name(self, cluster_id: str, name: str | None) -> Names:
        """Name a cluster; None takes the name away.

        Raises:
            ConfigurationError: no such name or id can be: 1 to 100 characters, no line breaks.
        """
        key, value = _checked(_ID, cluster_id), None if name is None else _checked(_NAME, name)

        def renamed(state: Names) -> Names:
            others = {known: label for known, label in state.names.items() if known != key}
            return state.model_copy(update={"names": others | ({} if value is None else {key: value})})

        return self._change(renamed)

    def merge(self, from_id: str, into_id: str) -> Names:
        """Show one cluster, and all that is shown as it, as another. Its own name waits for `split`.

        Raises:
            ConfigurationError: `into_id` is itself shown as `from_id`.
        """
        source, target = _checked(_ID, from_id), _checked(_ID, into_id)

        def merged(state: Names) -> Names:
            if state.display(target).id == source:
                raise ConfigurationError(
                    f"{target} is shown as {source} already: `split` it first, or merge the other way round"
                )
            return state.model_copy(update={"merges": {**state.merges, source: target}})

        return self._change(merged)

    def split(self, cluster_id: str) -> Names:
        """Undo the merge of a cluster into another: it is shown as itself again.

        Raises:
            ConfigurationError: it is not merged into any.
        """

        def parted(state: Names) -> Names:
            if cluster_id not in state.merges:
                raise ConfigurationError(f"{cluster_id} is not merged into another: there is nothing to undo")
            rest = {known: into for known, into in state.merges.items() if known != cluster_id}
            return state.model_copy(update={"merges": rest})

        return self._change(parted)

    def inherit(self, heirs: Iterable[Heir]) -> Names:
        """Hand on what was said of clusters that are no more, in the order in which the heirs are given.

        What people showed as one stays shown as one: an heir is shown as the other was, or as the other
        itself if further clusters are shown as that. Else it takes the name, if it `takes_name` and has
        none. What was said of the other stays, for a rollback. Doing it twice changes nothing.
        """
        given = list(heirs)

        def inherited(state: Names) -> Names:
            names, merges = dict(state.names), dict(state.merges)
            for heir in given:
                if heir.id in merges or heir.id in names:
                    continue
                if state.display(heir.of).id == heir.id:
                    continue  # people have merged the other into the heir already
                if heir.of in merges:
                    merges[heir.id] = merges[heir.of]
                elif heir.of in set(merges.values()):
                    merges[heir.id] = heir.of
                elif heir.takes_name and heir.of in names:
                    names[heir.id] = names[heir.of]
            return state.model_copy(update={"names": names, "merges": merges})

        return self._change(inherited)

    def _change(self, change: Callable[[Names], Names]) -> Names:
        for _ in range(ATTEMPTS):
            before = self.read()
            after = change(before)
            if (after.names, after.merges) == (before.names, before.merges):
                return before
            after = after.model_copy(update={"updated_at": datetime.now(UTC)})
            data = after.model_dump_json(indent=1).encode()
            try:
                etag = self._store.put(self._key, data, create_only=before.etag is None, if_match=before.etag)
            except PreconditionFailed:
                continue
            return after.model_copy(update={"etag": etag})
        raise PreconditionFailed(f"{self._key} kept changing; try again")


def _checked(kind: TypeAdapter[str], value: str) -> str:
    try:
        return kind.validate_python(value)
    except ValidationError as error:
        expected = "an id such as c_9f2k7m" if kind is _ID else "1 to 100 characters without line breaks"
        raise ConfigurationError(f"{value!r} cannot be: expected is {expected}") from error
