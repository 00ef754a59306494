"""Waiting for results, without asking for each of thousands again and again."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from model_store.results import Results
from producer.contracts import Result

WINDOW: Final = 256  # messages are done about in their order: ask for the oldest that are missing
PAUSE_S, LONGEST_PAUSE_S = 0.2, 1.0  # it grows while nothing new comes: a question is WINDOW requests


def wait_for_results(
    results: Results,
    image_ids: Sequence[str],
    *,
    not_before: str,
    patience_s: float,
    on_progress: Callable[[int], None],
) -> dict[str, Result]:
    """Collect the results of pictures just submitted.

    Args:
        results: of their collection.
        image_ids: in the order of submission.
        not_before: the first message id of the submission; a result of an earlier one does not count.
        patience_s: gives up when nothing new came for this long.
        on_progress: told how many are there.

    Returns:
        Those that came, by image id: all, unless patience ran out.
    """
    found: dict[str, Result] = {}
    missing = list(dict.fromkeys(image_ids))
    last_news = time.monotonic()
    while missing and time.monotonic() - last_news < patience_s:
        before = len(found)
        for result in results.get_many(missing[:WINDOW]):
            if result.message_id >= not_before:
                found[result.image_id] = result
        missing = [image_id for image_id in missing if image_id not in found]
        if len(found) > before:
            last_news = time.monotonic()
            on_progress(len(found))
        else:
            missing = missing[WINDOW:] + missing[:WINDOW]  # one that never comes must not hide the others
            waited_s = time.monotonic() - last_news
            time.sleep(min(PAUSE_S + waited_s / 10, LONGEST_PAUSE_S))
    return found
