"""`shoal demo`: watch real pictures go through a real queue, store and model, and see their clusters."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from pydantic import SecretStr

from console.demo_pictures import digits, folder
from console.output import Bars, err, print_json, table
from console.stack import Stack, forget_other_servers
from console.stack_folder import lock
from model_store.process_settings import load_settings
from model_store.settings import StoreSettings
from producer.settings import BrokerSettings
from training.settings import Settings

if TYPE_CHECKING:
    from console.demo import DemoReport

FOLDER: Final = Path("shoal-demo")
# photographs want many small steps, digits do not; how large they may be was measured for `pure` alone
FOR_DIGITS: Final = {"min_steps": 300, "max_steps": 300}
PURE_FOR_DIGITS: Final = {"min_steps": 200, "max_steps": 200, "learning_rate": 4e-3}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    images: Annotated[
        Path | None, typer.Option(help="folder of pictures; default: handwritten digits")
    ] = None,
    n_clusters: Annotated[int | None, typer.Option(min=2, help="K")] = None,
    out: Annotated[Path, typer.Option(help="folder for the contact sheet and the worker's log")] = FOLDER,
    as_json: Annotated[bool, typer.Option("--json", help="last line: one JSON object")] = False,
) -> None:
    """Start servers, train, submit, classify, and draw a contact sheet; leaves that, a report and a log."""
    from console.demo import run_demo  # noqa: PLC0415 - bring torch, which --help does without
    from training.recipes import recipe  # noqa: PLC0415

    forget_other_servers()
    settings = load_settings(Settings)
    recipe(settings.training.fit.recipe)  # a wrong name is told before anything starts
    pictures = digits() if images is None else folder(images)
    out.mkdir(parents=True, exist_ok=True)
    with lock(out / ".lock"):
        err.print("starting Valkey and SeaweedFS")
        with Stack() as stack, Bars() as bars:
            own = _on(stack, shortened(settings, images), n_clusters)
            report = run_demo(pictures, own, stack, out / "contact-sheet.png", bars, out / "worker.log")
    _say(report, out)
    if as_json:
        print_json(_document(report))
    if report.lost:
        raise typer.Exit(1)


def shortened(settings: Settings, images: Path | None) -> Settings:
    """Shorten the training of digits, unless the settings say how many steps it takes, or how large."""
    fit = settings.training.fit
    if images is not None or fit.model_fields_set & set(PURE_FOR_DIGITS):
        return settings
    short = fit.model_copy(update=PURE_FOR_DIGITS if fit.recipe == "pure" else FOR_DIGITS)
    return settings.model_copy(update={"training": settings.training.model_copy(update={"fit": short})})


def _on(stack: Stack, settings: Settings, n_clusters: int | None) -> Settings:
    training = settings.training
    if n_clusters is not None:
        cluster = training.cluster.model_copy(update={"n_clusters": n_clusters})
        training = training.model_copy(update={"cluster": cluster})
    store = StoreSettings(
        endpoint=stack.endpoint,
        bucket=stack.bucket,
        uploads_bucket=stack.uploads_bucket,
        credentials_file=stack.credentials_file,
    )
    keys = settings.broker.signing_keys  # the worker's environment has them
    broker = BrokerSettings(url=SecretStr(stack.broker_url), signing_keys=keys)
    return settings.model_copy(update={"store": store, "broker": broker, "training": training})


def _say(report: "DemoReport", out: Path) -> None:
    table("clusters", ("id", "pictures"), list(report.sizes.items()))
    rows: list[tuple[str, object]] = [
        ("images", report.images),
        *report.by_status.items(),
        ("lost", report.lost),
        ("clusters", len(report.sizes)),
    ]
    if report.agreement is not None:
        rows += [
            ("clustering accuracy (Hungarian)", f"{report.agreement.accuracy:.3f}"),
            ("NMI", f"{report.agreement.nmi:.3f}"),
        ]
    rows += [
        ("training", f"{report.train_s:.1f} s"),
        ("classifying", f"{report.classify_s:.1f} s, {report.images_per_s:.0f} images/s"),
        ("contact sheet", report.contact_sheet),
        ("report of the training", report.report),
        ("worker's log", out / "worker.log"),
    ]
    table("demo", ("what", "value"), rows)


def _document(report: "DemoReport") -> dict[str, object]:
    return {
        "images": report.images,
        **report.by_status,
        "lost": report.lost,
        "accuracy": report.agreement.accuracy if report.agreement else None,
        "nmi": report.agreement.nmi if report.agreement else None,
        "n_clusters": len(report.sizes),
        "images_per_s": round(report.images_per_s, 1),
        "train_s": round(report.train_s, 2),
        "classify_s": round(report.classify_s, 2),
        "contact_sheet": str(report.contact_sheet),
        "report": str(report.report) if report.report else None,
    }
