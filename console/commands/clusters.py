"""`shoal clusters`: what clusters are called and shown as, and what became of them over retraining."""

from typing import Annotated

import typer

from console.near_collection import say_if_mistyped
from console.output import err, print_json, table
from console.store import Connection, connection
from model_store.cluster_names import Names
from producer.errors import ConfigurationError

Collection = Annotated[str, typer.Option(help="whose clusters")]
AsJson = Annotated[bool, typer.Option("--json", help="for scripts")]
ClusterId = Annotated[str, typer.Argument(help="such as c_9f2k7m; `shoal clusters list` shows them")]

clusters = typer.Typer(help="Name clusters, show some as one, see what became of them.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(clusters, name="clusters")


@clusters.command("list")
def list_clusters(collection: Collection = "default", as_json: AsJson = False) -> None:
    """List the champion's clusters, the largest first."""
    with connection() as conn:
        say_if_mistyped(conn.store, collection)
        registry, names = conn.registry(collection), conn.cluster_names(collection).read()
        bundle = registry.load(registry.current(), "cpu")
    counts, entries = bundle.clusterer.counts, bundle.clusters
    entries = tuple(sorted(entries, key=lambda entry: -counts[entry.index]))
    if as_json:
        print_json(
            [
                {
                    "id": entry.id,
                    "name": names.display(entry.id).name,
                    "shown_as": names.display(entry.id).id,
                    "pictures": int(counts[entry.index]),
                    "share": float(counts[entry.index] / max(1, counts.sum())),
                    "lineage": entry.lineage,
                    "parents": entry.parents,
                }
                for entry in entries
            ]
        )
        return
    rows = []
    for entry in entries:
        shown, others = names.display(entry.id), [p for p in entry.parents if p != entry.id]
        share = f"{counts[entry.index] / max(1, counts.sum()):.1%}"
        origin = f"{entry.lineage} from {', '.join(others)}" if others else entry.lineage
        merged = shown.id if shown.id != entry.id else ""
        rows.append((entry.id, shown.name, merged, counts[entry.index], share, origin))
    columns = ("id", "name", "shown as", "fitted on (no held-out)", "share", "came about")
    table(f"clusters of {collection}, model {bundle.manifest.version}", columns, rows)


@clusters.command()
def name(
    cluster_id: ClusterId,
    name: Annotated[str | None, typer.Argument(help="1 to 100 characters")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="take the name away")] = False,
    collection: Collection = "default",
    as_json: AsJson = False,
) -> None:
    """Name a cluster. New results carry the name; ids, and what clients key on, stay."""
    if clear == (name is not None):
        raise ConfigurationError("give a name, or --clear to take it away")
    with connection() as conn:
        _known(conn, collection, cluster_id)
        _say(conn.cluster_names(collection).name(cluster_id, name), cluster_id, as_json)


@clusters.command()
def merge(
    from_id: ClusterId,
    into_id: Annotated[str, typer.Argument(help="what it is to be shown as")],
    collection: Collection = "default",
    as_json: AsJson = False,
) -> None:
    """Show a cluster as another. `split` undoes it; no model changes."""
    with connection() as conn:
        _known(conn, collection, from_id, into_id)
        _say(conn.cluster_names(collection).merge(from_id, into_id), from_id, as_json)


@clusters.command()
def split(cluster_id: ClusterId, collection: Collection = "default", as_json: AsJson = False) -> None:
    """Undo a merge: show the cluster as itself again."""
    with connection() as conn:
        _say(conn.cluster_names(collection).split(cluster_id), cluster_id, as_json)


@clusters.command()
def lineage(
    cluster_id: Annotated[str | None, typer.Argument(help="of this cluster; default: of all")] = None,
    collection: Collection = "default",
    as_json: AsJson = False,
) -> None:
    """Tell what became of clusters from version to version: survived, split, merged, new, died."""
    with connection() as conn:
        if cluster_id is not None:
            _known(conn, collection, cluster_id)
        versions = list(conn.cluster_history(collection).versions())
    rows = [
        {"version": version, **event.model_dump(mode="json")}
        for version, file in versions
        for event in file.events
        if cluster_id is None or cluster_id in {*event.before, *event.after}
    ]
    if as_json:
        print_json(rows)
        return
    table(
        f"lineage of {cluster_id or 'the clusters'} of {collection}",
        ("version", "what", "before", "now", "why"),
        [(r["version"], r["kind"], " ".join(r["before"]), " ".join(r["after"]), r["reason"]) for r in rows],
    )


def _known(conn: Connection, collection: str, *cluster_ids: str) -> None:
    ids = conn.cluster_history(collection).ids()
    for cluster_id in cluster_ids:
        if cluster_id not in ids:
            raise ConfigurationError(
                f"no version of {collection} has a cluster {cluster_id}: see `shoal clusters list`"
            )


def _say(names: Names, cluster_id: str, as_json: bool) -> None:
    shown = names.display(cluster_id)
    if as_json:
        print_json({"id": cluster_id, "shown_as": shown.id, "name": shown.name})
        return
    named = f"{shown.name!r}" if shown.name else "by its id only"
    shown_as = f"shown as {shown.id}, and " if shown.id != cluster_id else ""
    err.print(f"{cluster_id} is {shown_as}called {named}", highlight=False)
