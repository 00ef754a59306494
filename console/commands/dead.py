"""`shoal dead`: messages that could not be done; look at them, put them back, or let them go."""

import sys
from typing import Annotated

import typer

from console.output import err, print_json, table
from console.replay import raw_pusher, replay
from console.store import Connection, connection
from model_store.counted import counted
from model_store.dead_letters import DeadLetter, DeadLetters
from producer.client import Producer
from producer.errors import InvalidReference, PermanentError

Collection = Annotated[
    str, typer.Option(help="whose; messages that name none that can be read are in default")
]
AsJson = Annotated[bool, typer.Option("--json", help="for scripts")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="ID…", help="as `shoal dead list` shows them")]
All = Annotated[bool, typer.Option("--all", help="every one that is there now")]

dead = typer.Typer(help="List, show, replay and drop messages that could not be done.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(dead, name="dead")


@dead.command("list")
def list_dead(collection: Collection = "default", as_json: AsJson = False) -> None:
    """List what died, with the reason."""
    with connection() as conn:
        letters = list(_letters(conn, collection).list())
    if as_json:
        print_json([_document(letter) for letter in letters])
        return
    rows = [
        (letter.id, f"{letter.died_at:%Y-%m-%d %H:%M:%S}", letter.queue, _content(letter), letter.error)
        for letter in letters
    ]
    table(f"dead letters of {collection}", ("id", "died at (UTC)", "queue", "holds", "error"), rows)


@dead.command()
def show(
    message_id: Annotated[str, typer.Argument(metavar="ID")],
    collection: Collection = "default",
    raw: Annotated[bool, typer.Option("--raw", help="only the bytes of one that cannot be read")] = False,
) -> None:
    """Show one with its message and history, as JSON."""
    with connection() as conn:
        letters = _letters(conn, collection)
        if raw:
            sys.stdout.buffer.write(letters.raw(message_id))
        else:
            print_json(_document(letters.get(message_id)))


@dead.command("replay")
def replay_dead(
    message_ids: Ids = None,
    collection: Collection = "default",
    everything: All = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="also what cannot be read: its bytes go back as they are")
    ] = False,
    sign: Annotated[
        bool, typer.Option("--sign", help="also those named that were refused for their signature")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put messages back on their lanes, under their old ids; exit status 1 if one cannot be."""
    if sign and everything:
        raise InvalidReference("--sign vouches for messages that you have looked at: name them")
    with connection() as conn, Producer(conn.settings.broker) as producer:
        letters = _letters(conn, collection)
        push_raw = raw_pusher(conn.settings.broker) if raw else None
        done: list[str] = []
        kept: dict[str, str] = {}
        for message_id in _chosen(letters, message_ids, everything=everything):
            try:
                replay(letters, message_id, producer.send, push_raw, vouch=sign)
                done.append(message_id)
            except PermanentError as error:
                kept[message_id] = str(error)
    if as_json:
        print_json({"replayed": done, "kept": kept})
    else:
        err.print(f"replayed {len(done)} of {len(done) + len(kept)}", highlight=False)
        for message_id, reason in kept.items():
            err.print(f"{message_id} stays: {reason}", highlight=False)
    if kept:
        raise typer.Exit(1)


@dead.command()
def drop(
    message_ids: Ids = None,
    collection: Collection = "default",
    everything: All = False,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
) -> None:
    """Remove messages for good: their pictures keep the results they have, if any."""
    with connection() as conn:
        letters = _letters(conn, collection)
        chosen = _chosen(letters, message_ids, everything=everything)
        if not everything:
            for message_id in chosen:
                letters.get(message_id)  # a mistyped id drops nothing
        if chosen and not yes:
            typer.confirm(
                f"Remove {counted(len(chosen), 'dead letter')} of {collection} for good?",
                abort=True,
                err=True,
            )
        for message_id in chosen:
            letters.drop(message_id)
    err.print(f"dropped {len(chosen)}", highlight=False)


def _letters(conn: Connection, collection: str) -> DeadLetters:
    return DeadLetters(conn.store, collection)


def _chosen(letters: DeadLetters, message_ids: list[str] | None, *, everything: bool) -> list[str]:
    if bool(message_ids) == everything:
        raise InvalidReference("name the dead letters, or say --all (one of the two)")
    return list(letters.ids()) if everything else list(dict.fromkeys(message_ids or ()))


def _document(letter: DeadLetter) -> dict[str, object]:
    return {**letter.model_dump(exclude={"message"}), "message": letter.message}


def _content(letter: DeadLetter) -> str:
    if letter.message is None:
        return f"{letter.raw_size} bytes that cannot be read" if letter.raw_size is not None else "nothing"
    images = letter.message.get("images")
    return counted(len(images), "picture") if isinstance(images, list) else "a message"
