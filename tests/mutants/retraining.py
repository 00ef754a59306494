"""Remedies that keep a retraining with nobody watching from making things worse."""

from tests.mutants.mutant import Mutant

RETRAIN = "tests/unit/training/test_retrain.py"
ERASED = "tests/unit/training/test_erased_meanwhile.py"
REMEDIES = (
    Mutant(
        "a trainer that lost its run writes on",
        "training/run_lease.py",
        "self._store.put(self._key, data, if_match=self._etag)",
        "self._store.put(self._key, data)",
        ("tests/unit/training/test_run_lease.py",),
    ),
    Mutant(
        "a version is published without asking whether the run is still its trainer's",
        "training/retrain.py",
        ", confirm=lease.save)",
        ")",
        (f"{RETRAIN}::test_a_trainer_that_wakes_up_late_publishes_and_promotes_nothing",),
    ),
    Mutant(
        "a run that kills trainers is taken up again and again",
        "training/runs.py",
        "over = record.attempt >= MAX_ATTEMPTS",
        "over = False",
        ("tests/unit/training/test_run_lease.py",),
    ),
    Mutant(
        "erased pictures are learnt from",
        "training/snapshot.py",
        "        wanted = pc.and_(wanted, pc.invert(gone))\n",
        "        wanted = pc.or_(wanted, gone)\n",
        ("tests/unit/training/test_snapshot.py",),
    ),
    Mutant(
        "a flood of one uploader owns the sample",
        "training/snapshot.py",
        "    kept = order[_nth_of_its_kind(uploaders[order]) < cap]\n",
        "    kept = order\n",
        ("tests/unit/training/test_snapshot.py",),
    ),
    Mutant(
        "clusters that the champion tells apart may be merged",
        "training/promotion.py",
        "            comparison.merged,\n",
        "            0.0,\n",
        ("tests/unit/training/test_promotion.py",),
    ),
    Mutant(
        "slacks of many nights add up",
        "training/floor.py",
        "before = {} if forced else champion.floor",
        "before = {}",
        ("tests/unit/training/test_promotion.py",),
    ),
    Mutant(
        "a champion that cannot be read opens the gates",
        "training/promotion.py",
        '_gate("compared", False, obstacle)',
        '_gate("compared", True, obstacle)',
        ("tests/unit/training/test_promotion.py",),
    ),
    Mutant(
        "a backfill goes on for a champion that is none any more",
        "training/backfill.py",
        "if now.generation != champion.generation:",
        "if False:",
        ("tests/unit/training/test_backfill_course.py",),
    ),
    Mutant(
        "a renewal that fails takes an answer away",
        "worker/recorder.py",
        "if row[1].status in PREDICTED or not message.reclassify",
        "if True",
        ("tests/unit/worker/test_recorder.py",),
    ),
    Mutant(
        "what was erased while a model was trained is forgotten when it is published",
        "model_store/registry.py",
        "        heed_erasures(self._store, self.collection, manifest.version, files.get(REFERENCE))\n",
        "",
        (f"{ERASED}::test_what_a_trainer_notes_while_the_erasure_ends_is_kept",),
    ),
    Mutant(
        "a file that was altered is taken",
        "model_store/manifest.py",
        "if len(data) != entry.size_bytes or sha256(data) != entry.sha256:",
        "if False:",
        ("tests/unit/model_store/test_registry_integrity.py",),
    ),
    Mutant(
        "a refused champion leaves nothing to serve",
        "worker/model_cache.py",
        "slot.refused = alias.generation",
        "slot.refused, slot.served = alias.generation, None",
        ("tests/unit/worker/test_model_cache.py",),
    ),
    Mutant(
        "no alarm rises when a champion is refused",
        "worker/metrics.py",
        "ever.add_metric([name], refusal.total)",
        "ever.add_metric([name], 0)",
        ("tests/unit/worker/test_workers_metrics.py",),
    ),
    Mutant(
        "an id of the past is given again",
        "training/identity.py",
        "{*taken, *champion_ids}))",
        "set()))",
        ("tests/unit/training/test_identity.py",),
    ),
    Mutant(
        "names do not follow two clusters into the one they became",
        "model_store/cluster_names.py",
        'takes_name=cluster.lineage == "merged"',
        "takes_name=False",
        ("tests/unit/training/test_identity.py", "tests/unit/model_store/test_cluster_names.py"),
    ),
    Mutant(
        "what is left of a dead publisher goes while it may still publish",
        "model_store/unfinished.py",
        "and _is_given_up(store, layout, version):",
        "and True:",
        ("tests/unit/model_store/test_unfinished.py",),
    ),
)
