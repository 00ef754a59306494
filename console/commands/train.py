"""`shoal train`: a model from pictures, now and here."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from pydantic import ValidationError
from rich.text import Text

from console.near_collection import New, connection_to
from console.output import Bars, err, print_json
from model_store.counted import counted
from model_store.layout import Layout
from model_store.process_settings import load_settings
from producer.errors import ConfigurationError
from training.settings import Settings
from training.work_folder import work_folder

if TYPE_CHECKING:
    from console.new_model import NewModel

RECIPES: Final = (
    "pure (default): anything, needs nothing from outside; distilled: photographs, small and fast; "
    "pretrained: photographs (no writing) on GPUs or few a second, the one with a trustworthy `unknown`, for "
    "some ninety times the CPU time a picture; pixel: to compare with. See docs/training.md"
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(train)


def train(
    source: Annotated[
        Path | None,
        typer.Argument(help="folder of pictures, or .npy of (N, H, W, 3) uint8; none: the ledger"),
    ] = None,
    collection: Annotated[str, typer.Option(help="which the model is for")] = "default",
    new: New = False,
    n_clusters: Annotated[
        str | None,
        typer.Option(help="K, or auto: chosen by stability and silhouette; default: the champion's, else 10"),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help=RECIPES),
    ] = None,
    input_size: Annotated[
        int | None, typer.Option(help="side of the network's input: 32, 64 ... 224")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="at most")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="equal seeds give equal models on a CPU")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda")] = None,
    out: Annotated[
        Path | None, typer.Option(help="write the bundle to this folder; needs no servers")
    ] = None,
    promote: Annotated[bool, typer.Option(help="make it the champion, if it passes its gates")] = True,
    force: Annotated[bool, typer.Option("--force", help="even if it does not pass its gates")] = False,
    reason: Annotated[str | None, typer.Option(help="kept for good; --force needs one")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object at the end")] = False,
) -> None:
    """Train a model, publish it, and make it the champion if it is no worse than the present one.

    Killed on the way, the same command goes on where it was. Further settings: SHOAL_TRAINING__...
    """
    from console.new_model import Promotion, into_folder, into_store, write  # noqa: PLC0415 - bring torch, which --help does without
    from training.fit import follow  # noqa: PLC0415
    from training.recipes import recipe as recipe_of  # noqa: PLC0415
    from training.team import join, leave  # noqa: PLC0415

    Layout(collection)  # a wrong name is told before the work, not after it
    if force and not (reason or "").strip():
        raise ConfigurationError("--force needs a --reason: it is kept, and somebody will ask")
    settings = _overridden(
        {
            "cluster": {"n_clusters": n_clusters},
            "fit": {
                "recipe": recipe,
                "epochs": epochs,
                "min_steps": 1 if epochs else None,  # asked for a few, it gets a few
                "random_state": seed,
                "device": device,
                "architecture": {"input_size": input_size},
            },
        }
    )
    recipe_of(settings.training.fit.recipe)  # as is a wrong recipe
    team = join(settings.training.fit.torch_device().type)
    try:
        if team is not None and not team.leads:
            follow(team)
            return
        if out is not None and source is not None:
            with Bars() as bars, work_folder(settings.training.workdir) as workdir:
                model = into_folder(source, collection, settings, workdir, bars, out)
        else:
            promotion = Promotion(promote, reason if force else None)
            with (
                connection_to(collection, settings, new=new) as conn,
                Bars() as bars,
                work_folder(settings.training.workdir) as workdir,
            ):
                model = into_store(conn, source, collection, settings, workdir, bars, promotion)
                if out is not None:
                    write(model, out)
    finally:
        leave()
    _say(model, out, as_json)


def _overridden(given: dict[str, Any]) -> Settings:
    """Lay what was given on the command line over the settings; what nobody set stays known as such."""
    settings = load_settings(Settings)
    merged = _merge(settings.training.model_dump(exclude_unset=True), given)
    try:
        training = type(settings.training).model_validate(merged)
    except ValidationError as error:
        faults = "; ".join(f"{e['loc'][-1]}: {e['msg']}" for e in error.errors())
        raise ConfigurationError(f"these options do not fit: {faults}") from error
    return settings.model_copy(update={"training": training})


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for name, value in above.items():
        if isinstance(value, dict):
            result[name] = _merge(result.get(name, {}), value)
        elif value is not None:
            result[name] = value
    return result


def _say(model: "NewModel", out: Path | None, as_json: bool) -> None:
    from training.report.report import PAGE  # noqa: PLC0415

    manifest, alias = model.trained.manifest, model.alias
    if as_json:
        print_json(
            {
                "version": manifest.version,
                "collection": manifest.collection,
                "n_images": manifest.snapshot.n_images,
                "n_rejected": manifest.snapshot.n_rejected,
                "n_duplicates": manifest.snapshot.n_duplicates,
                "n_clusters": manifest.n_clusters,
                "metrics": manifest.metrics,
                "gates_passed": model.verdict.promote,
                "reason": model.kept or model.verdict.reason,
                "promoted": alias is not None,
                "generation": alias.generation if alias else None,
                "out": str(out) if out else None,
                "report": model.report is not None,
            }
        )
        return
    named = f"{manifest.version} --collection {manifest.collection}"
    where = f"written to {out}" if out else "published"
    serves = f", champion of {manifest.collection} (generation {alias.generation})" if alias else ""
    err.print(f"model {manifest.version} {where}{serves}", highlight=False)
    left_out = f", {manifest.snapshot.n_rejected} unreadable left out" if manifest.snapshot.n_rejected else ""
    err.print(
        f"  trained on {counted(manifest.snapshot.n_images, 'picture')}{left_out}, "
        f"{counted(manifest.n_clusters, 'cluster')}",
        highlight=False,
    )
    if model.report is not None:
        where = str(out / PAGE) if out else f"`shoal models report {named}` fetches it"
        err.print(f"  report: {where}", highlight=False, soft_wrap=True)
    if not model.verdict.promote:
        err.print(Text("  did not pass its gates:", "yellow"), model.verdict.reason, highlight=False)
    if model.kept:
        err.print(
            f"  it is the challenger: look at `shoal models diff`, then `shoal models promote "
            f"{named}`, with --force --reason '...' if gates stand against it",
            highlight=False,
        )
        if model.kept != model.verdict.reason:
            err.print(f"  {model.kept}", highlight=False)
