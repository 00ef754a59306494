"""Real decoding processes, really killed: by a picture, by a limit, by somebody else."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import psutil
import pytest
from PIL import Image

from model_store.admission import Undecodable
from model_store.decode import DecodeLimits, Picture, decode
from model_store.preprocess import Preprocess
from tests.unit.model_store.picture_files import EVERY_FORMAT, encode, lying_jpeg, noise, scan_bomb
from worker.decode_wire import DecoderOptions
from worker.decoder_process import DecoderDied, DecoderProcess, DecoderUnavailable
from worker.decoders import Decoders
from worker.pipeline import Failed

PREPROCESS = Preprocess(input_size=16)
SOUND = encode(noise(24), "PNG")
# with the limit on scans off, a scan bomb does what it was made for: it burns tens of seconds
UNGUARDED = DecodeLimits(max_scans=10_000, formats=EVERY_FORMAT.formats)
BOMB = scan_bomb(2000)
MEMORY_BYTES = 1 << 30


def options(cpu_s: float = 10.0) -> DecoderOptions:
    return DecoderOptions(limits=UNGUARDED, cpu_s=cpu_s, memory_bytes=MEMORY_BYTES)


@pytest.fixture
def decoders() -> Iterator[Decoders]:
    pool = Decoders(UNGUARDED, 2, cpu_s=0.3, memory_bytes=MEMORY_BYTES)
    yield pool
    pool.close()


@pytest.fixture
def process() -> Iterator[DecoderProcess]:
    decoder = DecoderProcess(options())
    yield decoder
    decoder.close()


def pid(decoder: DecoderProcess) -> int:
    assert decoder._process is not None
    return decoder._process.pid


def test_another_process_gives_what_this_one_would(decoders: Decoders) -> None:
    files = [encode(noise(side), kind) for side in (9, 40) for kind in UNGUARDED.formats]
    files += [b"", b"no picture", lying_jpeg(4000, 4000), SOUND[:40]]
    wanted = [(data, Preprocess(input_size=side)) for data in files for side in (8, 16)]

    answers = [decoders.submit(*file) for file in wanted]

    for answer, file in zip(answers, wanted, strict=True):
        there, here = answer.result().outcome, decode(*file, UNGUARDED)
        if isinstance(here, Undecodable):
            assert there == here
            continue
        assert isinstance(there, Picture)
        assert np.array_equal(there.pixels, here.pixels)
        assert there.pixels.flags.writeable
        assert (there.width, there.height, there.format) == (here.width, here.height, here.format)


def test_what_is_not_urgent_has_every_second_batch_once_it_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Decoders, "_run", lambda _: None)  # batches are taken here
    monkeypatch.setattr("worker.two_lines.BULK_WAITS_S", 0.0)
    pool = Decoders(UNGUARDED, 1, cpu_s=0.3, memory_bytes=MEMORY_BYTES)
    for nth in range(60):
        pool.submit(SOUND, PREPROCESS, urgent=nth >= 20)

    bulk = set(pool._lines.bulk)
    batches = [pool._take() for _ in range(5)]

    pool.close()
    assert [("bulk" if set(batch) <= bulk else "urgent", len(batch)) for batch in batches] == [
        ("urgent", 16),
        ("bulk", 16),
        ("urgent", 16),
        ("bulk", 4),
        ("urgent", 8),
    ]


def test_a_picture_that_kills_its_process_fails_alone(decoders: Decoders) -> None:
    files = [SOUND] * 40
    files[11] = files[30] = BOMB

    answers = [decoders.submit(data, PREPROCESS) for data in files]
    outcomes = [answer.result().outcome for answer in answers]

    fates = [type(outcome) for outcome in outcomes]
    assert [i for i, fate in enumerate(fates) if fate is Failed] == [11, 30]
    assert fates.count(Picture) == 38
    assert isinstance(outcomes[11], Failed)
    assert "over 0.3 s of CPU time" in outcomes[11].detail


def test_a_picture_that_needs_too_much_memory_fails_and_the_process_lives() -> None:
    large = encode(Image.new("RGBA", (5000, 5000)), "PNG", compress_level=1)
    pool = Decoders(UNGUARDED, 1, cpu_s=30.0, memory_bytes=192 << 20)

    outcomes = [pool.submit(data, PREPROCESS).result().outcome for data in (SOUND, large, SOUND)]
    pool.close()

    assert [type(outcome) for outcome in outcomes] == [Picture, Failed, Picture]
    assert isinstance(outcomes[1], Failed)
    assert "not enough memory" in outcomes[1].detail


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_a_crash_is_told_by_its_signal_and_the_next_batch_finds_a_new_process(
    process: DecoderProcess, number: signal.Signals
) -> None:
    process.decode([(SOUND, PREPROCESS)])
    os.kill(pid(process), number)

    with pytest.raises(DecoderDied, match=number.name):
        process.decode([(SOUND, PREPROCESS)])

    assert isinstance(process.decode([(SOUND, PREPROCESS)])[0].outcome, Picture)


def test_a_process_killed_by_somebody_else_costs_no_picture(decoders: Decoders) -> None:
    decoders.submit(SOUND, PREPROCESS).result()
    for child in psutil.Process().children():
        child.kill()

    answers = [decoders.submit(SOUND, PREPROCESS) for _ in range(8)]

    assert all(isinstance(answer.result().outcome, Picture) for answer in answers)


def test_a_picture_whose_process_is_killed_again_and_again_may_yet_be_read(
    decoders: Decoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_: DecoderProcess, batch: object) -> object:
        raise DecoderDied("it ended with SIGKILL", killed=True)

    monkeypatch.setattr(DecoderProcess, "decode", killed)

    assert isinstance(decoders.submit(SOUND, PREPROCESS).result().outcome, DecoderUnavailable)


def test_a_process_tells_whether_somebody_else_killed_it(process: DecoderProcess) -> None:
    for number, by_somebody in [(signal.SIGKILL, True), (signal.SIGSEGV, False)]:
        process.decode([(SOUND, PREPROCESS)])
        os.kill(pid(process), number)
        with pytest.raises(DecoderDied) as caught:
            process.decode([(SOUND, PREPROCESS)])
        assert caught.value.killed == by_somebody


def test_signals_for_the_worker_do_not_end_its_processes(process: DecoderProcess) -> None:
    process.decode([(SOUND, PREPROCESS)])
    before = pid(process)
    os.kill(before, signal.SIGINT)
    os.kill(before, signal.SIGTERM)

    assert isinstance(process.decode([(SOUND, PREPROCESS)])[0].outcome, Picture)
    assert pid(process) == before


def test_processes_know_no_secrets_of_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_STORE__SECRET_KEY", "hunter2")
    decoder = DecoderProcess(options())
    decoder.decode([(SOUND, PREPROCESS)])

    environment = psutil.Process(pid(decoder)).environ()
    decoder.close()

    assert sorted(environment.keys() - {"LC_CTYPE"}) == ["OPENBLAS_NUM_THREADS", "PYTHONPATH"]


def test_a_process_that_cannot_be_started_is_no_fault_of_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    pool = Decoders(UNGUARDED, 1, cpu_s=1.0, memory_bytes=MEMORY_BYTES)

    outcome = pool.submit(SOUND, PREPROCESS).result().outcome
    pool.close()

    assert isinstance(outcome, DecoderUnavailable)


def test_a_process_that_ends_at_its_start_is_no_fault_of_the_picture() -> None:
    pool = Decoders(UNGUARDED, 1, cpu_s=1.0, memory_bytes=1 << 70)  # setrlimit refuses it

    outcome = pool.submit(SOUND, PREPROCESS).result().outcome
    pool.close()

    assert isinstance(outcome, DecoderUnavailable)
    assert "status 1" in str(outcome)


def test_no_process_outlives_a_worker_that_was_killed() -> None:
    program = (
        "import sys, psutil\n"
        "from model_store.decode import DecodeLimits, Preprocess\n"
        "from worker.decoders import Decoders\n"
        "pool = Decoders(DecodeLimits(), 2, cpu_s=5.0, memory_bytes=1 << 30)\n"
        "pool.submit(b'', Preprocess()).result()\n"
        "print(*(child.pid for child in psutil.Process().children()), flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as worker:
        assert worker.stdout is not None
        children = [psutil.Process(int(number)) for number in worker.stdout.readline().split()]
        worker.kill()

    _, alive = psutil.wait_procs(children, timeout=30)

    assert len(children) == 2
    assert not alive


def test_closing_ends_processes_and_threads_and_cancels_what_waits() -> None:
    others = psutil.Process().children()  # the servers of other tests
    pool = Decoders(UNGUARDED, 1, cpu_s=0.3, memory_bytes=MEMORY_BYTES)
    answers = [pool.submit(BOMB, PREPROCESS) for _ in range(40)]
    children = [child for child in psutil.Process().children() if child not in others]

    pool.close()

    assert not any(child.is_running() for child in children)
    assert all(answer.done() for answer in answers)
    with pytest.raises(RuntimeError, match="closed"):
        pool.submit(SOUND, PREPROCESS)
