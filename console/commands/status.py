"""`shoal status`: where everything is, what waits, who works, with which model."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final

import typer

from console.near_collection import near_collection, say_if_mistyped
from console.no_result import without_model
from console.output import print_json, table
from console.store import Connection, connection
from model_store.object_store import ObjectStore
from model_store.registry import Registry
from producer.broker import LANES, TRAINING_QUEUE, broker_errors, lane_depths, redis_client
from producer.errors import BrokerUnavailable, ShoalError
from producer.leases import LEASED
from producer.presence import workers

ANSWERS: Final = "answers"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(status)


def status(
    collection: Annotated[str, typer.Option(help="whose champion to show")] = "default",
    as_json: Annotated[bool, typer.Option("--json", help="for scripts; shows the broker's password")] = False,
) -> None:
    """Show where the servers are, waiting messages per lane, workers, models and what waits for one."""
    with connection() as conn:
        document = _document(conn, collection, reveal=as_json)
        say_if_mistyped(conn.store, collection)
    if as_json:
        print_json(document)
        return
    store = document["store"]
    where = [
        ("broker", document["broker_url"], document["broker"]),
        ("store", store["endpoint"] or "AWS", store["state"]),
        ("bucket", store["bucket"], ""),
        ("uploads", store["uploads_bucket"], ""),
        (f"champion of {collection}", champion_in_words(document["champion"], store["state"]), ""),
    ]
    table("servers", ("what", "where", "state"), where)
    lanes = document["lanes"].values()
    table("lanes", ("queue", "waiting messages"), [(lane["queue"], lane["waiting"]) for lane in lanes])
    rows = [
        (worker["worker"], worker["device"], name, stamp["version"], stamp["generation"])
        for worker in document["workers"]
        for name, stamp in (
            worker["models"] or {"-": {"version": "waits for a model", "generation": ""}}
        ).items()
    ]
    table("workers", ("worker", "device", "collection", "model", "generation"), rows)
    refused = [
        (worker["worker"], name, refusal["total"], refusal["reason"] or "serves again")
        for worker in document["workers"]
        for name, refusal in worker.get("refused", {}).items()
    ]
    if refused:
        table("refused models", ("worker", "collection", "since its start", "now"), refused)
    if document["awaited"]:
        what_to_do = list(document["awaited"].items())
        table("pictures that wait for a model", ("collection", "what to do"), what_to_do)


def _document(conn: Connection, collection: str, *, reveal: bool) -> dict[str, Any]:
    broker, store = conn.settings.broker, conn.settings.store
    alive, lanes, broker_state = _broker_side(conn)
    champion, store_state = None, ANSWERS
    try:
        alias = conn.registry(collection).alias("champion")
        champion = alias.model_dump(mode="json") if alias else None
    except ShoalError as error:
        store_state = str(error)
    return {
        "broker_url": broker.url.get_secret_value() if reveal else broker.masked_url(),
        "broker": broker_state,
        "store": {
            "endpoint": store.endpoint,
            "region": store.region,
            "bucket": store.bucket,
            "uploads_bucket": store.uploads_bucket,
            "state": store_state,
        },
        "credentials_file": str(store.credentials_file.resolve()) if store.credentials_file else None,
        "collection": collection,
        "champion": champion,
        "lanes": lanes,
        "workers": alive,
        "awaited": awaited(alive, conn.store, conn.registry),
    }


def awaited(
    alive: Sequence[Mapping[str, Any]], store: ObjectStore, registry: Callable[[str], Registry]
) -> dict[str, str]:
    """Say what to do for each collection that pictures wait for a first model of, as the workers tell."""
    names = {name for worker in alive for name in worker.get("awaited", ())}
    told = {}
    with contextlib.suppress(ShoalError):  # the store's state is told beside it
        for name in sorted(names):
            if said := without_model(registry(name), store):
                near = near_collection(store, name)
                told[name] = f"{said}. If {near} was meant, submit them again, to it" if near else said
    return told


def _broker_side(conn: Connection) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]], str]:
    broker = conn.settings.broker
    with contextlib.closing(redis_client(broker)) as client:
        try:
            depths = lane_depths(client, broker)
            alive = workers(client, broker)
            with broker_errors(broker), contextlib.closing(redis_client(broker.for_training())) as training:
                waiting = training.llen(TRAINING_QUEUE)
                held = client.hlen(LEASED)
        except BrokerUnavailable as error:
            return [], {lane: {"queue": lane, "waiting": None} for lane in LANES}, str(error)
    lanes: dict[str, dict[str, Any]] = {n: {"queue": n, "waiting": depth} for n, depth in depths.items()}
    held_back = {"queue": LEASED, "waiting": held}  # in work, or put off: for a model, or to be tried again
    return (
        alive,
        {**lanes, "in work or put off": held_back, "training": {"queue": TRAINING_QUEUE, "waiting": waiting}},
        ANSWERS,
    )


def champion_in_words(champion: dict[str, Any] | None, store_state: str) -> str:
    """Name it, or say why there is none to be named."""
    if store_state != ANSWERS:
        return "not known: the store was not read"
    if champion is None:
        return "none yet: train one with `shoal train`"
    return f"{champion['version']} (generation {champion['generation']})"
