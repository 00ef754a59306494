"""Results as the rows of a table for people."""

from producer.contracts import Result

COLUMNS = ("image", "status", "cluster", "distance", "typicality", "model", "error")


def result_rows(answers: list[Result]) -> list[tuple[object, ...]]:
    """Give a row for each result, of one cell for each of COLUMNS."""
    return [
        (
            answer.image_id,
            answer.status,
            answer.cluster.name or answer.cluster.id if answer.cluster else None,
            f"{answer.distance:.3f}" if answer.distance is not None else None,
            f"{answer.typicality:.2f}" if answer.typicality is not None else None,
            answer.model.version if answer.model else None,
            f"{answer.error.code}: {answer.error.detail}" if answer.error else None,
        )
        for answer in answers
    ]
