"""Remedies that keep results and models right."""

from tests.mutants.mutant import Mutant

REMEDIES = (
    Mutant(
        "an older model's result replaces a newer one's",
        "model_store/results.py",
        "    return _rank(new) >= _rank(old)",
        "    return True",
        ("tests/unit/model_store/test_results.py",),
    ),
    Mutant(
        "aliases move without compare-and-swap",
        "model_store/aliases.py",
        "create_only=etag is None, if_match=etag)",
        "create_only=False, if_match=None)",
        ("tests/unit/model_store/test_aliases.py",),
    ),
    Mutant(
        "a bundle serves without its probe",
        "model_store/bundle.py",
        "    _probe(",
        "    (lambda *_: None)(",
        ("tests/unit/model_store/test_bundle.py",),
    ),
    Mutant(
        "two runs of one slot",
        "training/runs.py",
        "create_only=True",
        "create_only=False",
        ("tests/unit/training/test_runs.py",),
    ),
    Mutant(
        "erased pictures are not looked for after writing",
        "worker/recorder.py",
        "            late = (self._tombstones.now() & ids) - erased\n",
        "            late = set[str]()\n",
        ("tests/unit/worker", "tests/unit/model_store/test_erasure.py"),
    ),
    Mutant(
        "any signature of a model will do",
        "model_store/signature.py",
        "        if not any(_made_by",
        "        if False and any(_made_by",
        ("tests/unit/model_store/test_signature.py",),
    ),
    Mutant(
        "a collapsed embedding passes",
        "training/promotion.py",
        "old.spread * policy.min_spread",
        "0.0",
        ("tests/unit/training/test_promotion.py",),
    ),
    Mutant(
        "a splinter of outliers passes",
        "training/promotion.py",
        "min(policy.min_size, old.smallest_size)",
        "0.0",
        ("tests/unit/training/test_promotion.py",),
    ),
)
