"""Each remedy taken out by itself, and the test that must notice."""

from typing import NamedTuple


class Mutant(NamedTuple):
    """A change that takes one remedy out."""

    name: str
    file: str
    old: str  # stands there exactly once
    new: str
    tests: tuple[str, ...]  # at least one of them must fail


LEASES = "producer/leases.py"
DELIVERIES = "worker/deliveries.py"
ON_VALKEY = "tests/integration/test_leases.py"
OFFICE = "tests/integration/test_deliveries.py"
DEATHS = "tests/integration/test_deliveries_deaths.py"
FAULTS = "tests/system/faults"

REMEDIES = (
    Mutant(
        "a message is popped and not booked",
        LEASES,
        "    redis.call('HSET', KEYS[3], ARGV[1], KEYS[i] .. '\\\\n' .. message)\n",
        "",
        (ON_VALKEY,),
    ),
    Mutant(
        "leases are not renewed",
        LEASES,
        "    redis.call('ZADD', KEYS[2], now + ARGV[1], ARGV[i])\n",
        "",
        (f"{ON_VALKEY}::test_a_living_holder_keeps_its_message_however_long_it_takes",),
    ),
    Mutant(
        "leases of the dead are not looked for",
        LEASES,
        "for _, lease in ipairs(due) do to_lane(lease) end",
        "",
        (ON_VALKEY,),
    ),
    Mutant(
        "only who holds something looks for the dead",
        LEASES,
        "            if self._keeper is None:",
        "            if self._keeper is None and self._held:",
        (ON_VALKEY,),
    ),
    Mutant(
        "scripts are refused when Redis is full",
        LEASES,
        "#!lua flags=allow-oom",
        "#!lua",
        (f"{ON_VALKEY}::test_a_broker_at_its_memory_limit_can_be_drained",),
    ),
    Mutant(
        "a holder that slept too long acknowledges all the same",
        LEASES,
        "            self._let_go(name.decode())\n",
        "            pass\n",
        (ON_VALKEY,),
    ),
    Mutant(
        "what is in work is given back at the end",
        LEASES,
        "if name not in self._in_work]",
        "]",
        (ON_VALKEY,),
    ),
    Mutant(
        "the death of a worker that has just started condemns a picture",
        DELIVERIES,
        " and too_young_s > 0:",
        " and too_young_s > 1e9:",
        (DEATHS,),
    ),
    Mutant(
        "envelopes go to Celery unread",
        "producer/envelope.py",
        '        raise Unreadable("it has no body")',
        '        return b"[[], {}, {}]"',
        ("tests/unit/producer/test_envelope.py",),
    ),
    Mutant(
        "deaths are not counted",
        "worker/attempts.py",
        "then deaths = deaths + 1 end",
        "then deaths = 0 end",
        (DEATHS,),
    ),
    Mutant(
        "a message is not taken apart",
        DELIVERIES,
        "        if left <= 0:",
        "        if left <= -1000:",
        (f"{DEATHS}::test_a_message_of_one_picture_gets_three_tries",),
    ),
    Mutant(
        "suspects do not run alone",
        DELIVERIES,
        "                if not attempt.deaths:",
        "                if True:",
        (DEATHS,),
    ),
    Mutant(
        "an expired message is done all the same",
        DELIVERIES,
        "if expires_at is not None and datetime.now(UTC) > expires_at and not begun_before:",
        "if False:",
        (OFFICE,),
    ),
    Mutant(
        "a full lane is not refused",
        "producer/client.py",
        "        if depth >= limit:",
        "        if False:",
        ("tests/integration/test_producer.py",),
    ),
    Mutant(
        "an older model's result replaces a newer one's",
        "model_store/results.py",
        "    return _rank(new) >= _rank(old)",
        "    return True",
        ("tests/unit/model_store/test_results.py",),
    ),
    Mutant(
        "aliases move without compare-and-swap",
        "model_store/registry.py",
        "create_only=etag is None, if_match=etag)",
        "create_only=False, if_match=None)",
        ("tests/unit/model_store/test_registry.py",),
    ),
    Mutant(
        "a bundle serves without its probe",
        "model_store/bundle.py",
        "    _probe(",
        "    (lambda *_: None)(",
        ("tests/unit/model_store/test_bundle.py",),
    ),
    Mutant(
        "bytes from the store are not checked",
        "model_store/s3_requests.py",
        "        if not known:",
        '        return known or "x"\n        if not known:',
        ("tests/integration/test_store_faults.py",),
    ),
    Mutant(
        "signatures are not checked",
        "producer/signing.py",
        "hmac.compare_digest(",
        "(lambda *_: True)(",
        ("tests/unit/producer/test_signing.py",),
    ),
    Mutant(
        "any bucket may be read",
        "model_store/images.py",
        "            if bucket not in self._stores:",
        "            if False:",
        ("tests/unit/model_store/test_images.py",),
    ),
    Mutant(
        "pixels are not limited",
        "model_store/admission.py",
        "    if width * height > limits.max_pixels:",
        "    if False:",
        ("tests/unit/model_store/test_decode_bombs.py",),
    ),
    Mutant(
        "scans are not counted",
        "model_store/admission.py",
        "    if count_scans(container.data, limits.max_scans) > limits.max_scans:",
        "    if False:",
        ("tests/unit/model_store/test_decode_bombs.py",),
    ),
    Mutant(
        "lying headers are believed",
        "model_store/admission.py",
        "    if len(container.data) < limits.min_bytes_per_pixel * width * height:",
        "    if False:",
        ("tests/unit/model_store/test_decode_bombs.py", "tests/unit/model_store/test_decode.py"),
    ),
    Mutant(
        "the watchdog never finds anything",
        "worker/watchdog.py",
        "def verdict(sight: Sight, limits: Limits) -> str | None:\n",
        "def verdict(sight: Sight, limits: Limits) -> str | None:\n    return None\n",
        ("tests/unit/worker/test_watchdog.py",),
    ),
    Mutant(
        "prefork is let pass",
        "worker/app.py",
        "        if not issubclass(worker.pool_cls, ThreadPool):",
        "        if False:",
        ("tests/system/test_startup.py",),
    ),
    Mutant(
        "two runs of one slot",
        "training/runs.py",
        "create_only=True",
        "create_only=False",
        ("tests/unit/training/test_runs.py",),
    ),
    Mutant(
        "a message whose attempt cannot be counted is acknowledged",
        DELIVERIES,
        "            self._leases.let_run_out(name)",
        "            pass",
        (OFFICE,),
    ),
    Mutant(
        "a decoder's death fails its whole batch",
        "worker/decoders.py",
        "            return [self._alone(decoder, job) for job in batch]\n",
        '            return [Decoded(Failed("internal", "died"))] * len(batch)\n',
        ("tests/unit/worker/test_decoders.py",),
    ),
    Mutant(
        "erased pictures are not looked for after writing",
        "worker/recorder.py",
        "            late = (self._tombstones.now() & ids) - erased\n",
        "            late = set[str]()\n",
        ("tests/unit/worker", "tests/unit/model_store/test_erasure.py"),
    ),
    Mutant(
        "a store whose conditional writes do not exclude is believed",
        "model_store/exclusion.py",
        "    if len(winners) > 1:",
        "    if False:",
        ("tests/integration/test_exclusion.py",),
    ),
    Mutant(
        "a late redelivery takes an answer back",
        "model_store/results.py",
        "    if _rank(new) == _rank(old) and old.status in PREDICTED:",
        "    if False:",
        ("tests/unit/model_store/test_results.py",),
    ),
    Mutant(
        "objects of kombu's are let pass",
        "producer/envelope.py",
        '    if value.keys() == {"__type__", "__value__"}:',
        "    if False:",
        ("tests/unit/producer/test_envelope.py",),
    ),
    Mutant(
        "what is abandoned counts as a death",
        DELIVERIES,
        "                self._attempts.pause(lease)\n        except REDIS_AWAY as error:",
        "                pass\n        except REDIS_AWAY as error:",
        (OFFICE,),
    ),
    Mutant(
        "a message put off goes to the head of its lane",
        LEASES,
        "and 'LPUSH' or 'RPUSH'",
        "and 'RPUSH' or 'RPUSH'",
        (ON_VALKEY,),
    ),
    Mutant(
        "a batch that does not fit is not halved",
        "model_store/predictor.py",
        "            if len(pixels) == 1 or not _out_of_memory(error):",
        "            if True:",
        ("tests/unit/model_store/test_predictor.py",),
    ),
)
