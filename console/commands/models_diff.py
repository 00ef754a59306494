"""`shoal models diff`: what would change if one version took another's place."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.diff_page import Diff, diff_page
from console.model_diff import place
from console.output import err, print_json, table
from console.sources import originals_of_ledger
from console.store import connection
from model_store.bundle_files import CLUSTERS, ClusterFile
from model_store.cluster_names import Names
from model_store.counted import counted
from model_store.layout import AliasName
from model_store.process_settings import load_settings
from model_store.registry import Alias, Registry, Target
from producer.errors import NoChampion, TrainingFailed
from training.changes import Changes, changes
from training.settings import Settings

if TYPE_CHECKING:
    from model_store.bundle import Bundle

ALIASES: tuple[AliasName, ...] = ("champion", "challenger", "previous")


def diff(
    before: Annotated[
        str | None, typer.Argument(help="version or alias [default: champion]", show_default=False)
    ] = None,
    after: Annotated[
        str | None, typer.Argument(help="version or alias [default: challenger]", show_default=False)
    ] = None,
    collection: Annotated[str, typer.Option(help="whose models")] = "default",
    pictures: Annotated[int, typer.Option(min=1, help="of the ledger, at most; a fixed sample")] = 1000,
    html: Annotated[Path | None, typer.Option(help="write a page with the pictures to this file")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="for scripts")] = False,
) -> None:
    """Show which pictures would change their cluster, and which clusters come and go.

    With one version or alias: if that took the champion's place.
    """
    from model_store.predictor import best_device  # noqa: PLC0415 - brings torch: no other of `models` needs it

    wanted = (before, after) if before and after else ("champion", before or "challenger")
    settings = load_settings(Settings)
    with connection(settings) as conn:
        registry = conn.registry(collection)
        targets = [target_of(registry, name) for name in wanted]
        old, new = (registry.load(target, best_device()) for target in targets)
        with originals_of_ledger(conn, collection, settings, pictures) as originals:
            placing = place(originals, old, new, settings.decode, thumbnails=html is not None)
        if not placing.placed:
            raise TrainingFailed(f"the ledger of {collection} names no picture that can still be read")
        named = [ClusterFile.from_bytes(registry.file(target.version, CLUSTERS)) for target in targets]
        names = conn.cluster_names(collection).read()
    found = changes(placing.placed, *named)
    # what became of clusters is known from a model to its successor, not from any to any
    events = named[1].events if new.manifest.parent == old.manifest.version else ()
    if html is not None:
        page = Diff(collection, targets[0].version, targets[1].version, found, events, new.manifest.gates)
        html.write_text(diff_page(page, lambda id_: names.display(id_).name or id_, placing.thumbnails))
        err.print(f"written to {html}", highlight=False)
    if as_json:
        print_json(_document(found, targets, new, names))
    elif html is None:
        _tables(found, targets, new, names)


def target_of(registry: Registry, name: str) -> Target:
    """Find a version by its name or by an alias.

    Raises:
        NoChampion: the alias points at nothing.
        ObjectNotFound: there is no such version.
    """
    return aliased(registry, name) or registry.manifest(name)[1]


def aliased(registry: Registry, name: str) -> Alias | None:
    """Give what an alias points at; None if the name is none of an alias.

    Raises:
        NoChampion: the alias points at nothing.
    """
    for alias in ALIASES:
        if name == alias:
            found = registry.alias(alias)
            if found is None:
                where = f"collection {registry.collection} has no {name}"
                raise NoChampion(f"{where}: name a version, see `shoal models list`")
            return found
    return None


def _document(found: Changes, targets: list[Target], new: "Bundle", names: Names) -> dict[str, object]:
    return {
        "before": targets[0].version,
        "after": targets[1].version,
        "pictures": found.n,
        "moved": found.n_moved,
        "share_moved": found.share_moved,
        "clusters": [
            {
                "id": one.id,
                "name": names.display(one.id).name,
                "fate": one.fate,
                "before": one.n_before,
                "after": one.n_after,
            }
            for one in found.clusters
        ],
        "flows": [{"before": f.before, "after": f.after, "images": f.pictures} for f in found.flows],
        "gates": [gate.model_dump() for gate in new.manifest.gates],
    }


def _tables(found: Changes, targets: list[Target], new: "Bundle", names: Names) -> None:
    table(
        f"{targets[0].version} to {targets[1].version}: {found.n_moved} of "
        f"{counted(found.n, 'picture')} move ({found.share_moved:.1%})",
        ("cluster", "name", "is", "before", "after", "change"),
        [
            (c.id, names.display(c.id).name, c.fate, c.n_before, c.n_after, f"{c.n_after - c.n_before:+d}")
            for c in found.clusters
        ],
    )
    if found.flows:
        rows = [(f.before, f.after, len(f.pictures), ", ".join(f.pictures[:3])) for f in found.flows]
        table("pictures that move", ("from", "to", "pictures", "such as"), rows)
    failed = [gate for gate in new.manifest.gates if not gate.passed]
    if failed:
        table("gates not passed", ("gate", "why"), [(gate.name, gate.reason) for gate in failed])
