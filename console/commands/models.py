"""`shoal models`: what is published, which one serves, forth and back."""

import os
from pathlib import Path
from typing import Annotated

import typer

from console.commands.models_diff import aliased, diff
from console.commands.models_report import report
from console.near_collection import refuse_if_unknown
from console.output import err, print_json, table
from console.serving import Serving, wait_until_served
from console.store import connection
from model_store.bundle_files import CLUSTERS, MODEL_CARD, ClusterFile
from model_store.cluster_names import heirs
from model_store.exclusion import check_exclusion
from model_store.process_settings import load_settings
from model_store.registry import Alias
from model_store.signature import Signer
from producer.errors import ConfigurationError
from training.runs import Runs

Collection = Annotated[str, typer.Option(help="whose models")]
Version = Annotated[str, typer.Argument(help="version or alias")]
AsJson = Annotated[bool, typer.Option("--json", help="for scripts")]

models = typer.Typer(help="List, show, promote and roll back models.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    models.command("diff")(diff)
    models.command("report")(report)
    app.add_typer(models, name="models")


@models.command("list")
def list_models(collection: Collection = "default", as_json: AsJson = False) -> None:
    """List the published versions, oldest first."""
    with connection() as conn:
        registry = conn.registry(collection)
        aliases = {name: registry.alias(name) for name in ("champion", "challenger", "previous")}
        manifests = list(registry.versions())
        if not manifests:
            refuse_if_unknown(conn.store, collection)
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
def show(version: Version, collection: Collection = "default", as_json: AsJson = False) -> None:
    """Show one version's manifest (--json) or its model card."""
    with connection() as conn:
        registry = conn.registry(collection)
        named = aliased(registry, version) or version
        if as_json:
            manifest, target = registry.manifest(named)
            print_json({**manifest.model_dump(mode="json"), "sha256": target.sha256})
        else:
            print(registry.file(named, MODEL_CARD).decode())


@models.command()
def promote(
    version: Version,
    collection: Collection = "default",
    reason: Annotated[str | None, typer.Option(help="kept for good; --force needs one")] = None,
    force: Annotated[bool, typer.Option("--force", help="even if it did not pass its gates")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a version the champion; workers take it up within seconds."""
    if force and not (reason or "").strip():
        raise ConfigurationError("--force needs a --reason: it is kept, and somebody will ask")
    with connection() as conn:
        check_exclusion(conn.store, racers=2, rounds=1)
        registry = conn.registry(collection)
        manifest, target = registry.manifest(aliased(registry, version) or version)
        failed = [gate.reason for gate in manifest.gates if not gate.passed]
        if failed and not force:
            raise ConfigurationError(
                f"{target.version} did not pass its gates ({'; '.join(failed)}): look at `shoal models "
                "diff`, and if it is right all the same, promote it with --force --reason '...'"
            )
        clusters = ClusterFile.from_bytes(registry.file(target, CLUSTERS)).clusters
        conn.cluster_names(collection).inherit(heirs(clusters))
        said = reason or "by hand"
        _say(registry.promote(target, reason=f"forced: {said}" if failed else said), as_json)


@models.command()
def history(collection: Collection = "default", as_json: AsJson = False) -> None:
    """List every champion there was, and why it became one."""
    with connection() as conn:
        moves = list(conn.registry(collection).moves())
        if not moves:
            refuse_if_unknown(conn.store, collection)
    if as_json:
        print_json([move.model_dump(mode="json") for move in moves])
        return
    rows = [(m.generation, f"{m.moved_at:%Y-%m-%d %H:%M:%S}", m.version, m.reason) for m in moves]
    table(f"champions of {collection}", ("generation", "since (UTC)", "version", "reason"), rows)


@models.command()
def rollback(
    collection: Collection = "default",
    reason: Annotated[str, typer.Option(help="kept in the alias")] = "rollback by hand",
    wait: Annotated[bool, typer.Option(help="until every living worker serves it")] = True,
    patience_s: Annotated[float, typer.Option(help="wait at most so long")] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Make the champion's predecessor the champion again; exit status 1 if a worker does not take it up."""
    with connection() as conn:
        check_exclusion(conn.store, racers=2, rounds=1)
        alias = conn.registry(collection).rollback(reason=reason)
        served = wait_until_served(conn.settings.broker, alias, collection, patience_s) if wait else None
    _say(alias, as_json, served)
    if served and not all(worker.has_it for worker in served):
        raise typer.Exit(1)


@models.command()
def keygen(
    file: Annotated[Path, typer.Argument(help="where the private key goes; must not exist")],
    as_json: AsJson = False,
) -> None:
    """Make a key for signed models: the private half into FILE (0600), the public half on standard output."""
    signer = Signer.generate()
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as private:
            private.write(signer.to_pem())
    except OSError as error:
        raise ConfigurationError(f"no key can be written to {file}: {error.strerror}") from error
    if as_json:
        print_json({"private_key_file": str(file), "public_key": signer.public_key})
        return
    print(signer.public_key)
    err.print(f"trainer: SHOAL_TRAINING__SIGNING_KEY_FILE={file}", highlight=False)
    err.print(
        f"workers: SHOAL_STORE__TRUSTED_KEYS='[\"{signer.public_key}\"]'", highlight=False, soft_wrap=True
    )


@models.command()
def sign(
    version: Version,
    collection: Collection = "default",
    key_file: Annotated[Path | None, typer.Option(help="default: SHOAL_TRAINING__SIGNING_KEY_FILE")] = None,
) -> None:
    """Sign a version that was published without a signature, or with a key that is to go.

    By an alias only the very manifest that the alias was set to is signed.
    """
    from training.settings import Settings  # noqa: PLC0415 - scikit-learn with it, which no other command needs

    settings = load_settings(Settings)
    signer = Signer.from_file(key_file or settings.training.signing_key_file)
    if signer is None:
        raise ConfigurationError("no key to sign with: --key-file, or SHOAL_TRAINING__SIGNING_KEY_FILE")
    with connection(settings) as conn:
        registry = conn.registry(collection)
        alias = aliased(registry, version)  # no more is read: keys are pinned, and it may lack the signature
        version = alias.version if alias else version
        err.print(f"signing {version}", highlight=False)
        registry.sign(alias or version, signer)
    err.print(f"{version} is signed", highlight=False)


@models.command()
def runs(collection: Collection = "default", as_json: AsJson = False) -> None:
    """List the retraining runs, how they ended and why."""
    with connection() as conn:
        records = list(Runs(conn.store, collection).all())
        if not records:
            refuse_if_unknown(conn.store, collection)
    if as_json:
        print_json([record.model_dump(mode="json") for record in records])
        return
    rows = [(r.slot, r.trigger, r.state, r.n_images, r.version, r.reason) for r in records]
    table(f"runs of {collection}", ("slot", "trigger", "state", "pictures", "version", "reason"), rows)


def _say(alias: Alias, as_json: bool, served: list[Serving] | None = None) -> None:
    if as_json:
        workers = {} if served is None else {"workers": [worker._asdict() for worker in served]}
        print_json({**alias.model_dump(mode="json"), **workers})
        return
    err.print(f"champion is now {alias.version}, generation {alias.generation}", highlight=False)
    if served is not None:
        table("workers", Serving._fields, served)
