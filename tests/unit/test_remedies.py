from pathlib import Path

import pytest

from tests.mutants.mutant import Mutant
from tests.mutants.remedies import REMEDIES

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("mutant", REMEDIES, ids=lambda mutant: mutant.name)
def test_the_remedy_that_a_mutant_takes_out_stands_once(mutant: Mutant) -> None:
    assert (ROOT / mutant.file).read_text().count(mutant.old) == 1
