import re
from datetime import UTC, datetime

import pytest

from producer.ulid import ALPHABET, PATTERN, new_ulid, ulid_time


def test_id_matches_its_pattern() -> None:
    assert re.match(PATTERN, new_ulid())


def test_ids_sort_by_the_millisecond_in_which_they_were_made() -> None:
    moments = [0.0, 0.001, 1.0, 1_700_000_000.0, 1_700_000_000.001, 4_000_000_000.0]

    ids = [new_ulid(moment) for moment in moments]

    assert ids == sorted(ids)


def test_ids_of_one_millisecond_differ() -> None:
    assert len({new_ulid(1.0) for _ in range(1000)}) == 1000


def test_time_of_the_specifications_example_is_read() -> None:
    # https://github.com/ulid/spec: 01ARYZ6S41 is 1469918176385 ms
    made = ulid_time("01ARYZ6S41TSV4RRFFQ69G5FAV")

    assert made == datetime(2016, 7, 30, 22, 36, 16, 385000, tzinfo=UTC)


def test_time_survives_the_way_there_and_back() -> None:
    assert ulid_time(new_ulid(1_700_000_000.25)) == datetime.fromtimestamp(1_700_000_000.25, tz=UTC)


@pytest.mark.parametrize(  # the first, the last of the year 9999, the next, the last
    "stranger", ["0" * 26, "76EZ91ZPZZ" + "Z" * 16, "76EZ91ZQ00" + "0" * 16, "7" + "Z" * 25]
)
def test_every_id_that_matches_has_a_time(stranger: str) -> None:
    assert re.match(PATTERN, stranger)

    assert ulid_time(stranger).tzinfo == UTC


def test_alphabet_is_crockfords_base_32() -> None:
    assert len(ALPHABET) == 32
    assert not set("ILOU") & set(ALPHABET)
