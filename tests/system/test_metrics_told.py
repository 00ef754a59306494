"""What a worker tells at `/metrics`, asked over HTTP while it works."""

from tests.system.running_platform import Platform, wait_until


def test_a_worker_tells_what_it_does(serving: Platform) -> None:
    of_it = {"collection": serving.collection}
    refs = serving.upload_kinds("told", 6)
    missing = refs[0].model_copy(update={"image_id": "missing", "key": "nowhere"})
    stages = {stage: serving.metrics("shoal_stage_seconds_count", stage=stage) for stage in STAGES}
    pictures = serving.metrics("shoal_batch_pictures_sum")

    serving.results([*refs, missing], serving.submit([*refs, missing]))

    wait_until(lambda: serving.metrics("shoal_pictures_in_hand") == 0, 10, "the message is acknowledged")
    assert serving.metrics("shoal_results_total", **of_it) == 7
    assert serving.metrics("shoal_results_total", status="rejected", **of_it) == 1
    assert serving.metrics("shoal_batch_pictures_sum") == pictures + 6
    for stage in STAGES:
        assert serving.metrics("shoal_stage_seconds_count", stage=stage) > stages[stage]
    assert serving.metrics("shoal_model_generation", **of_it) == serving.registry().current().generation
    assert serving.metrics("shoal_attempts_total") >= 1
    assert serving.metrics("process_resident_memory_bytes") > 1e7


STAGES = ("fetch", "decode", "predict", "write")
