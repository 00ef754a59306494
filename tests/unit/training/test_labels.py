from pathlib import Path

import numpy as np
import pytest

from producer.errors import ConfigurationError
from training.labels import MIN_LABELLED, Labels

NAMES = [f"img-{n}" for n in range(40)]


def test_accuracy_is_measured_on_what_has_a_label(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(
        "".join(f'{name},"kind, {n % 2}"\n' for n, name in enumerate(NAMES[:30])) + "\nunseen,x\n"
    )
    clusters = np.arange(40) % 2
    clusters[:3] = 1 - clusters[:3]

    assert Labels.read(path).accuracy(NAMES, clusters) == pytest.approx(27 / 30)


def test_too_few_labels_measure_nothing() -> None:
    few = Labels(dict.fromkeys(NAMES[: MIN_LABELLED - 1], "x"))

    assert few.accuracy(NAMES, np.zeros(40, np.int64)) is None
    assert Labels.read(None).accuracy(NAMES, np.zeros(40, np.int64)) is None


def test_pictures_that_the_model_could_not_see_are_passed_over() -> None:
    labels = Labels({name: str(n % 2) for n, name in enumerate(NAMES)})
    clusters = np.arange(40) % 2
    clusters[:10] = -1

    assert labels.accuracy(NAMES, clusters) == 1


@pytest.mark.parametrize(
    ("text", "said"), [("a,b\nc\n", r"row 2 of .* is not name,label"), (None, "cannot be read")]
)
def test_a_file_of_labels_that_is_none_is_refused(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "labels.csv"
    if text is not None:
        path.write_text(text)

    with pytest.raises(ConfigurationError, match=said):
        Labels.read(path)
