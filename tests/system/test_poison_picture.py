from typing import Final

from tests.system.running_platform import Platform
from tests.unit.model_store.picture_files import scan_bomb

POISON: Final = 100


def test_poison_among_256_pictures_fails_alone_and_the_worker_lives(platform: Platform) -> None:
    """With the limit on scans off, the bomb burns CPU until its decoding process is ended for it."""
    platform.promote_tiny_model()
    refs = platform.upload_kinds("good", 255)
    refs.insert(POISON, platform.upload(f"{platform.collection}/poison.jpg", scan_bomb(2000)))
    with platform.running(
        "worker",
        "worker ready",
        SHOAL_DECODE__MAX_SCANS="10000",
        SHOAL_WORKER__DECODE_CPU_S="0.5",
    ) as log:
        results = platform.results(refs, platform.submit(refs), patience_s=120)
        text = log.read_text()

    failed = [ref.image_id for ref in refs if results[ref.image_id].status == "failed"]
    assert failed == [refs[POISON].image_id]
    error = results[failed[0]].error
    assert error is not None
    assert "CPU time" in error.detail
    assert sum(result.status in {"assigned", "unknown"} for result in results.values()) == 255
    assert {result.attempt for result in results.values()} == {1}
    assert text.count("a picture kills its decoding process") == 1
