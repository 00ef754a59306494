"""A mistyped collection is a new one to everything else; here it is noticed."""

import contextlib
import re
import sys
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Annotated, Final

import typer

from console.output import err
from console.store import Connection, connection
from model_store.object_store import ObjectStore
from model_store.process_settings import ALIKE, ProcessSettings
from producer.errors import ConfigurationError, ShoalError

HELD: Final = frozenset({"models", "ledger", "results"})  # a collection without any of them may be a slip
NAMED: Final = 5  # collections, where none is alike
New = Annotated[
    bool,
    typer.Option(
        "--new",
        help="the collection is to be a new one, though another is spelt alike; needed until it has a model, "
        "a result or a job",
    ),
]


def near_collection(store: ObjectStore, collection: str, held: frozenset[str] = HELD) -> str | None:
    """Give the collection that was probably meant; None if this one holds something, or none is alike.

    Names that differ in their numbers alone, `shop-1` and `shop-2`, are meant.

    Raises:
        StoreUnavailable, AccessDenied: the store could not be asked.
    """
    if held & set(store.folders(f"{collection}/")):
        return None
    others = [name for name in _collections(store) if _letters(name) != _letters(collection)]
    return next(iter(get_close_matches(collection, others, n=1, cutoff=ALIKE)), None)


def say_if_mistyped(store: ObjectStore, collection: str) -> None:
    """Say on standard error which collection was probably meant; nothing where that cannot be known."""
    if question := _question(store, collection):
        err.print(question, highlight=False, soft_wrap=True)


def refuse_if_mistyped(store: ObjectStore, collection: str, *, new: bool) -> None:
    """Before anything is put into a collection: ask whether another was meant, where a terminal is.

    Args:
        store: where collections lie; if it cannot be asked, nothing is.
        collection: as it was typed.
        new: it is known to be meant.

    Raises:
        ConfigurationError: another was probably meant, and nobody is there to be asked.
        typer.Abort: it was.
    """
    question = None if new else _question(store, collection, HELD | {"jobs"})
    if question is None:
        return
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):  # closed, it is None
        raise ConfigurationError(f"{question} Nothing was done; if it is to be a new one, say --new")
    err.print(question, highlight=False, soft_wrap=True)
    typer.confirm(f"Is {collection} to be a new one?", abort=True, err=True)


def refuse_if_unknown(store: ObjectStore, collection: str) -> None:
    """Tell a collection of which nothing is stored from one whose list is empty.

    Raises:
        ConfigurationError: there are others, but not this one; names what was meant, or some.
        StoreUnavailable, AccessDenied: the store could not be asked.
    """
    known = _collections(store)
    if not known or collection in known:
        return
    near = near_collection(store, collection)
    others = f"only {', '.join(known[:NAMED])}{' ...' if len(known) > NAMED else ''}"
    said = f"did you mean {near}?" if near else others
    raise ConfigurationError(f"there is no collection {collection} in the store: {said}")


@contextlib.contextmanager
def connection_to(
    collection: str, settings: ProcessSettings | None = None, *, new: bool
) -> Iterator[Connection]:
    """Open the store to put something into a collection: see `connection` and `refuse_if_mistyped`."""
    with connection(settings) as conn:
        refuse_if_mistyped(conn.store, collection, new=new)
        yield conn


def _question(store: ObjectStore, collection: str, held: frozenset[str] = HELD) -> str | None:
    with contextlib.suppress(ShoalError):
        if near := near_collection(store, collection, held):
            return f"collection {collection} has no model and no pictures yet: did you mean {near}?"
    return None


def _collections(store: ObjectStore) -> list[str]:
    return [name for name in store.folders("") if not name.startswith(".")]  # see layout.SCRATCH


def _letters(name: str) -> str:
    """Give a name without its numbers."""
    return re.sub(r"[._~-]?\d+", "", name)
