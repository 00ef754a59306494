"""The page of `shoal models diff --html`: one file, no script, nothing fetched; for a phone as for a screen.

Colours are of Okabe and Ito (2008), told apart by the colour-blind; nothing is said by colour alone.
"""

import base64
import importlib.resources
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from string import Template
from typing import Final

from model_store.bundle_files import ClusterEvent
from model_store.counted import counted
from model_store.manifest import Gate
from training.changes import Change, Changes, Flow

Label = Callable[[str], str]
"""Cluster id -> what it is called, or the id."""

MINUS: Final = "\N{MINUS SIGN}"
SHOWN_PER_FLOW: Final = 24
MARKS: Final = {"kept": "·", "new": "+", "gone": MINUS}
PAGE: Final = "diff_page.html"


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A JPEG of a picture squeezed into a square, and the shape that the picture really has."""

    jpeg: bytes
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Diff:
    """What the page tells."""

    collection: str
    before: str
    after: str
    changes: Changes
    events: tuple[ClusterEvent, ...]
    gates: tuple[Gate, ...]


def diff_page(diff: Diff, label: Label, thumbnails: Mapping[str, Thumbnail]) -> str:
    """Draw the page; whatever comes from outside is escaped."""
    found = diff.changes
    fates = [change.fate for change in found.clusters]
    figures = (
        (f"{found.share_moved:.1%}", "of pictures get another id"),
        (f"{found.n_moved:,}", f"of {counted(found.n, 'picture')} move"),
        (str(fates.count("kept")), "clusters keep their id"),
        (str(fates.count("new")), "new clusters"),
        (str(fates.count("gone")), "clusters gone"),
    )
    most = max((max(c.n_before, c.n_after) for c in found.clusters), default=1)
    shown = [_flow(flow, label, thumbnails) for flow in found.flows]
    template = Template(importlib.resources.files("console").joinpath(PAGE).read_text())
    return template.substitute(
        collection=escape(diff.collection),
        before=escape(diff.before),
        after=escape(diff.after),
        n=f"{found.n:,}",
        figures="".join(f"<div><b>{number}</b>{what}</div>" for number, what in figures),
        gates=_gates(diff.gates),
        clusters="".join(_cluster(change, label, most) for change in found.clusters),
        events=_events(diff.events, label),
        flows="".join(shown) or '<p class="soft">None.</p>',
    )


def _gates(gates: tuple[Gate, ...]) -> str:
    if not gates:
        return '<p class="soft">This version was published without being held against a champion.</p>'
    failed = [gate for gate in gates if not gate.passed]
    lines = "".join(f"<li><b>✕</b><b>{escape(gate.name)}</b>: {escape(gate.reason)}</li>" for gate in failed)
    passed = escape(", ".join(gate.name for gate in gates if gate.passed))
    return (
        f'<ul class="gates">{lines}<li><b>✓</b>{len(gates) - len(failed)} of {len(gates)}: {passed}</li></ul>'
    )


def _cluster(change: Change, label: Label, most: int) -> str:
    bars = "".join(
        f'<i style="width:{100 * n / max(1, most):.1f}%"></i>' for n in (change.n_before, change.n_after)
    )
    delta = change.n_after - change.n_before
    mark = f'<span class="mark">{MARKS[change.fate]}</span>'
    return (
        f'<div class="row">{mark}<span>{_name(change.id, label)}</span>'
        f'<span class="bars">{bars}</span><span class="n">{change.n_before} → {change.n_after} '
        f'<span class="soft">({f"{delta:+d}" if delta else "="})</span></span></div>'
    )


def _events(events: tuple[ClusterEvent, ...], label: Label) -> str:
    told = [event for event in events if event.kind != "survived"]
    if not told:
        return '<p class="soft">Every cluster is the one that it was.</p>'
    lines = "".join(
        f"<li><b>{event.kind}</b>: {_names(event.before, label) or 'nothing'} → "
        f"{_names(event.after, label) or 'nothing'}. <span class='soft'>{escape(event.reason)}</span></li>"
        for event in told
    )
    return f"<ul>{lines}</ul>"


def _flow(flow: Flow, label: Label, thumbnails: Mapping[str, Thumbnail]) -> str:
    pictures = "".join(
        _picture(name, thumbnails[name]) for name in flow.pictures[:SHOWN_PER_FLOW] if name in thumbnails
    )
    more = len(flow.pictures) - SHOWN_PER_FLOW
    rest = f'<p class="soft">and {more:,} more</p>' if more > 0 else ""
    return (
        f'<section class="flow"><h3><span class="from">{_name(flow.before, label)}</span><span>→</span>'
        f'<span class="to">{_name(flow.after, label)}</span>'
        f'<span class="count soft">{counted(len(flow.pictures), "picture")}</span></h3>'
        f'<div class="pictures">{pictures}</div>{rest}</section>'
    )


def _picture(name: str, thumbnail: Thumbnail) -> str:
    data = base64.b64encode(thumbnail.jpeg).decode()
    ratio = f"{thumbnail.width}/{thumbnail.height}"
    text = escape(name, quote=True)
    return (
        f'<img src="data:image/jpeg;base64,{data}" style="aspect-ratio:{ratio}" alt="{text}" title="{text}">'
    )


def _name(cluster_id: str, label: Label) -> str:
    name = label(cluster_id)
    own = f'<span class="id">{escape(cluster_id)}</span>'
    return own if name == cluster_id else f'{escape(name)} <span class="id soft">{escape(cluster_id)}</span>'


def _names(ids: tuple[str, ...], label: Label) -> str:
    return ", ".join(_name(cluster_id, label) for cluster_id in ids)
