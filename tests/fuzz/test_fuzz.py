"""The short fuzz run of every test run, and proof that the harness sees what it looks for."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from model_store.containers import sniff
from model_store.decode import DecodeLimits, decode
from tests.fuzz import child
from tests.fuzz.campaign import Campaign
from tests.fuzz.corpus import bombs, drawn, hostile
from tests.fuzz.mutation import Case, mutant
from tests.fuzz.report import BEGIN, END, put_into, tables
from tests.unit.model_store.picture_files import EVERY_FORMAT
from worker.decode_wire import DecoderOptions
from worker.decoders import enough_memory

MUTATIONS = 1500
SEED = 1_000_000
MAX_PEAK_BYTES = 640 << 20
OPTIONS = DecoderOptions(limits=EVERY_FORMAT, cpu_s=10.0, memory_bytes=enough_memory(EVERY_FORMAT, 20 << 20))


def test_mutations_of_drawn_pictures_end_in_an_outcome_each() -> None:
    corpus = drawn()
    campaign = Campaign(OPTIONS, MAX_PEAK_BYTES)

    campaign.run(mutant(corpus, seed) for seed in range(SEED, SEED + MUTATIONS))

    assert not campaign.findings, "\n".join(map(str, campaign.findings))
    assert campaign.codes.total() == MUTATIONS
    assert (
        campaign.codes["picture"] > MUTATIONS / 10
    )  # else the mutations are too wild to get past the headers
    assert campaign.codes["decode.corrupt"] > MUTATIONS / 10


def test_bombs_and_hostile_files_end_in_an_outcome_each_within_memory_and_time() -> None:
    files = {**hostile(), **bombs()}
    campaign = Campaign(OPTIONS, MAX_PEAK_BYTES)

    campaign.run(Case(name, data) for name, data in files.items())

    assert not campaign.findings, "\n".join(map(str, campaign.findings))
    assert campaign.codes.total() == len(files)


def test_headers_of_60_000_and_bombs_are_refused_or_harmless_in_little_memory() -> None:
    files = {name: data for name, data in bombs().items() if "largest" not in name and "most" not in name}
    campaign = Campaign(OPTIONS, max_peak_bytes=32 << 20)

    campaign.run(Case(name, data) for name, data in files.items())

    assert not campaign.findings, "\n".join(map(str, campaign.findings))
    assert campaign.codes["picture"] == 2, "those with bombs in text and profile, which are not unpacked"
    assert campaign.codes["decode.too_many_pixels"] == 6  # AVIF is refused by its own library, as corrupt
    assert campaign.slowest[0] < 1.0


def test_a_seed_makes_the_same_file_again_and_another_seed_another() -> None:
    corpus = drawn()

    files = [mutant(corpus, seed).data for seed in range(200)]

    assert files == [mutant(corpus, seed).data for seed in range(200)]
    assert len(set(files)) > 190


def test_every_drawn_picture_is_of_an_accepted_format() -> None:
    assert {sniff(data) for data in drawn().values()} == set(EVERY_FORMAT.formats)


SOUND = Case("sound", drawn()["PNG"], seed=7)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"crash", "crash, status -11"),
        (b"hang", "over 1 s"),
        (b"raise", "raised KeyError"),
        (b"memory", "took "),
    ],
)
def test_the_harness_sees_a_crash_a_hang_an_exception_and_a_memory_hog(data: bytes, what: str) -> None:
    options = OPTIONS.model_copy(update={"cpu_s": 1.0})
    campaign = Campaign(options, 40 << 20, child="tests.fuzz.test_fuzz")

    campaign.run([SOUND, Case("planted", data, seed=8), SOUND])

    (finding,) = campaign.findings
    assert finding.what.startswith(what)
    assert "--seed 8 --mutations 1" in str(finding)
    assert campaign.codes["picture"] == 2 + (data == b"memory")


def test_a_limit_taken_away_is_noticed() -> None:
    unguarded = OPTIONS.model_copy(
        update={"limits": DecodeLimits(max_scans=10_000), "cpu_s": 1.0, "memory_bytes": 160 << 20}
    )
    campaign = Campaign(unguarded, MAX_PEAK_BYTES)

    campaign.run(Case(name, bombs()[name]) for name in ("scan bomb", "largest PNG"))

    assert [finding.what for finding in campaign.findings] == ["over 1 s", "no memory"]


def test_the_report_replaces_only_its_figures(tmp_path: Path) -> None:
    document = tmp_path / "doc.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    campaign = Campaign(OPTIONS, MAX_PEAK_BYTES)
    campaign.run([SOUND])

    put_into(document, tables(campaign, campaign))

    text = document.read_text()
    assert text.startswith(f"before\n{BEGIN}\n20")
    assert text.endswith(f"{END}\nafter\n")
    assert "| picture | 1 | 1 |" in text
    assert "old" not in text


def misbehaving(data: bytes, *others: Any) -> Any:
    """Stand in for decode, in the child, with what must not happen."""
    if data == b"crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if data == b"hang":
        while True:
            time.process_time()
    if data == b"raise":
        raise KeyError(data)
    if data == b"memory":
        _ = b"x" * (64 << 20)
        data = SOUND.data
    return decode(data, *others)


if __name__ == "__main__":
    vars(child)["decode"] = misbehaving
    child.main()
