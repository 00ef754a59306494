import pytest

from model_store.counted import counted


@pytest.mark.parametrize(
    ("n", "noun", "said"),
    [
        (0, "picture", "0 pictures"),
        (1, "picture", "1 picture"),
        (2000, "picture", "2,000 pictures"),
        (1, "entry", "1 entry"),
        (2, "entry", "2 entries"),
    ],
)
def test_a_count_and_its_noun_fit_each_other(n: int, noun: str, said: str) -> None:
    assert counted(n, noun) == said
