"""`shoal models`: what is published, which one serves, forth and back."""

from typing import Annotated

import typer

from console.output import err, print_json, table
from console.store import connection
from model_store.registry import Alias
from training.runs import Runs

Collection = Annotated[str, typer.Option(help="whose models")]
AsJson = Annotated[bool, typer.Option("--json", help="for scripts")]

models = typer.Typer(help="List, show, promote and roll back models.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(models, name="models")


@models.command("list")
def list_models(collection: Collection = "default", as_json: AsJson = False) -> None:
    """List the published versions, oldest first."""
    with connection() as conn:
        registry = conn.registry(collection)
        aliases = {name: registry.alias(name) for name in ("champion", "challenger", "previous")}
        manifests = list(registry.versions())
    pointing = {m.version: [n for n, a in aliases.items() if a and a.version == m.version] for m in manifests}
    if as_json:
        print_json(
            [
                {
                    "version": m.version,
                    "aliases": pointing[m.version],
                    "created_at": m.created_at.isoformat(),
                    "recipe": m.recipe,
                    "n_clusters": m.n_clusters,
                    "n_images": m.snapshot.n_images,
                    "metrics": m.metrics,
                }
                for m in manifests
            ]
        )
        return
    rows = [
        (
            m.version,
            ", ".join(pointing[m.version]),
            m.recipe,
            m.n_clusters,
            m.snapshot.n_images,
            f"{m.metrics.get('silhouette', float('nan')):.3f}",
        )
        for m in manifests
    ]
    table(
        f"models of {collection}",
        ("version", "alias", "recipe", "clusters", "trained on", "silhouette"),
        rows,
    )


@models.command()
def show(version: str, collection: Collection = "default", as_json: AsJson = False) -> None:
    """Show one version's manifest (--json) or its model card."""
    with connection() as conn:
        registry = conn.registry(collection)
        if as_json:
            manifest, target = registry.manifest(version)
            print_json({**manifest.model_dump(mode="json"), "sha256": target.sha256})
        else:
            print(registry.file(version, "MODEL_CARD.md").decode())


@models.command()
def promote(
    version: str,
    collection: Collection = "default",
    reason: Annotated[str, typer.Option(help="kept in the alias")] = "by hand",
    as_json: AsJson = False,
) -> None:
    """Make a version the champion; workers take it up within seconds."""
    with connection() as conn:
        _say(conn.registry(collection).promote(version, reason=reason), as_json)


@models.command()
def rollback(
    collection: Collection = "default",
    reason: Annotated[str, typer.Option(help="kept in the alias")] = "rollback by hand",
    as_json: AsJson = False,
) -> None:
    """Make the champion's predecessor the champion again."""
    with connection() as conn:
        _say(conn.registry(collection).rollback(reason=reason), as_json)


@models.command()
def runs(collection: Collection = "default", as_json: AsJson = False) -> None:
    """List the retraining runs, how they ended and why."""
    with connection() as conn:
        records = list(Runs(conn.store, collection).all())
    if as_json:
        print_json([record.model_dump(mode="json") for record in records])
        return
    rows = [(r.slot, r.trigger, r.state, r.n_images, r.version, r.reason) for r in records]
    table(f"runs of {collection}", ("slot", "trigger", "state", "pictures", "version", "reason"), rows)


def _say(alias: Alias, as_json: bool) -> None:
    if as_json:
        print_json(alias.model_dump(mode="json"))
    else:
        err.print(f"champion is now {alias.version}, generation {alias.generation}", highlight=False)
