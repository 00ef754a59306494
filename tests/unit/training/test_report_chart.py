from types import SimpleNamespace

from training.course import Course, Epoch
from training.report.cards import SHAPES
from training.report.chart import drawable, themed
from training.report.curves import loss_curve
from training.report.palette import COLOURS, MARKERS


def test_neighbouring_clusters_differ_in_colour_and_in_shape() -> None:
    looks = [(n % len(COLOURS), n % len(MARKERS)) for n in range(len(COLOURS) * len(MARKERS))]

    assert len(set(looks)) == len(looks) == 56
    assert set(SHAPES) == set(MARKERS)


def test_what_the_font_lacks_or_has_no_room_for_is_not_drawn() -> None:
    assert drawable("invoices", "3") == "invoices"
    assert drawable("\N{CJK UNIFIED IDEOGRAPH-72AC}", "3") == "3"
    assert drawable("x" * 40, "3") == "x" * 17 + "…"
    assert "http" not in themed('<?xml?><svg xmlns="http://www.w3.org/2000/svg"><path/></svg>', "a")


def test_losses_of_several_orders_have_plain_numbers_at_their_axis() -> None:
    epochs = tuple(
        Epoch(epoch=nth, train={"total": loss}, validation={"total": loss}, seconds=nth)
        for nth, loss in enumerate((0.9, 0.2, 0.004), 1)
    )

    drawn = loss_curve(SimpleNamespace(course=Course(epochs=epochs)))  # type: ignore[arg-type]

    assert drawn is not None
    assert "<!-- 0.01 -->" in drawn.svg
    assert "$" not in drawn.svg
