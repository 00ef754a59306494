"""What some pictures are, said by somebody: for measuring, never trained on."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from producer.errors import ConfigurationError
from training.evaluate import agreement

MIN_LABELLED: Final = 20  # pictures; of fewer an accuracy says nothing


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels by the pictures' names: image ids, or paths in a folder."""

    by_name: Mapping[str, str]

    @classmethod
    def read(cls, path: Path | None) -> Self:
        """Read a CSV of name, label; no file, no labels.

        Raises:
            ConfigurationError: it cannot be read, or a line has not two fields.
        """
        if path is None:
            return cls({})
        try:
            with path.open(newline="", encoding="utf-8") as file:
                rows = [row for row in csv.reader(file) if row]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise ConfigurationError(f"the labels in {path} cannot be read: {error}") from error
        wrong = next((number for number, row in enumerate(rows, 1) if len(row) != 2), None)
        if wrong is not None:
            raise ConfigurationError(f"row {wrong} of {path} is not name,label")
        return cls({row[0]: row[1] for row in rows})

    def accuracy(self, names: Sequence[str], clusters: NDArray[np.int64]) -> float | None:
        """Give the accuracy (see `evaluate.agreement`) of clusters (N,); None if too few have a label.

        Pictures in cluster -1 are passed over.
        """
        rows = [row for row, name in enumerate(names) if name in self.by_name and clusters[row] >= 0]
        if len(rows) < MIN_LABELLED:
            return None
        truth = np.array([self.by_name[names[row]] for row in rows])
        return agreement(truth, clusters[rows]).accuracy
