"""Remedies against servers that fail, workers that hang, and strangers."""

from tests.mutants.mutant import Mutant

REMEDIES = (
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
        "a store whose conditional writes do not exclude is believed",
        "model_store/exclusion.py",
        "    if len(winners) > 1:",
        "    if False:",
        ("tests/integration/test_exclusion.py",),
    ),
    Mutant(
        "a worker grows without end",
        "worker/memory_mark.py",
        "            if size_bytes > self._mark_bytes:",
        "            if size_bytes < 0:",
        ("tests/unit/worker/test_memory_mark.py",),
    ),
    Mutant(
        "requests of the store are not tried again",
        "model_store/retry.py",
        "                if retries >= self.max_retries or",
        "                if retries >= 0 or",
        ("tests/integration/test_store_faults.py::test_a_store_away_for_a_moment_costs_only_time",),
    ),
    Mutant(
        "a request may drip for ever",
        "model_store/deadline.py",
        "        return answer.result(timeout_s)",
        "        return answer.result()",
        ("tests/integration/test_store_faults.py::test_a_single_attempt_meets_the_fault_and_says_so[drip]",),
    ),
    Mutant(
        "an error with status 200 is believed",
        "model_store/s3_requests.py",
        "        if not known:",
        "        if False:",
        (
            "tests/integration/test_store_faults.py::test_a_single_attempt_meets_the_fault_and_says_so[error_200]",
        ),
    ),
    Mutant(
        "an error without a code means that there is no object",
        "model_store/s3_errors.py",
        '"KeyTooLongError"}',
        '"KeyTooLongError", "400"}',
        (
            "tests/integration/test_store_faults.py::test_a_single_attempt_meets_the_fault_and_says_so[error_400]",
        ),
    ),
    Mutant(
        "the broker is not told to sync",
        "console/valkey.py",
        '"always" if fsync else "everysec"',
        '"everysec"',
        ("tests/system/faults/test_power_cut.py",),
    ),
    Mutant(
        "the certificate of the broker is not verified",
        "producer/settings.py",
        '"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True',
        '"ssl_cert_reqs": ssl.CERT_NONE, "ssl_check_hostname": False',
        ("tests/integration/test_tls.py",),
    ),
    Mutant(
        "a role may send any command to its keys",
        "console/access/broker_acl.py",
        '    yield "-@all"\n    yield from',
        '    yield "+@all"\n    yield from',
        ("tests/integration/test_policies_broker.py",),
    ),
    Mutant(
        "a producer may read uploads",
        "console/access/roles.py",
        '"producer": Access(broker=SEND, uploads=("write",)),',
        '"producer": Access(broker=SEND, uploads=("read", "write")),',
        ("tests/integration/test_policies_store.py",),
    ),
    Mutant(
        "the broker password is shown",
        "producer/settings.py",
        'f"***@{host}" if parts.password else host',
        "parts.netloc",
        ("tests/unit/producer/test_broker_settings.py",),
    ),
)
