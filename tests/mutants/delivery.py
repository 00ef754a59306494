"""Remedies that keep messages from being lost, done wrongly, or blamed wrongly."""

from tests.mutants.mutant import Mutant

LEASES = "producer/leases.py"
DELIVERIES = "worker/deliveries.py"
ON_VALKEY = "tests/integration/test_leases.py"
OFFICE = "tests/integration/test_deliveries.py"
DEATHS = "tests/integration/test_deliveries_deaths.py"
SENDER = "producer/sender.py"
TOGETHER = "tests/integration/test_sending_together.py"
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
        "a message whose attempt cannot be counted is acknowledged",
        DELIVERIES,
        "            self._leases.let_run_out(name)",
        "            pass",
        (OFFICE,),
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
        "a worker hoards messages",
        "producer/broker.py",
        "worker_prefetch_multiplier=1,",
        "worker_prefetch_multiplier=64,",
        ("tests/system/faults/test_delivery.py::test_two_workers_share_a_backlog",),
    ),
    Mutant(
        "what waits at the end is kept until its lease runs out",
        "producer/leases.py",
        "        for name in waiting:\n",
        "        for name in waiting[:0]:\n",
        ("tests/integration/test_leases.py",),
    ),
    Mutant(
        "a half that was begun in time expires",
        "worker/deliveries.py",
        " or letter.split is not None\n",
        "\n",
        ("tests/integration/test_deliveries_deaths.py",),
    ),
    Mutant(
        "a sweep submits nothing",
        "console/sweep.py",
        "messages(missing, self",
        "messages(missing[:0], self",
        ("tests/unit/console/test_sweep.py",),
    ),
    Mutant(
        "what no worker would read is sent",
        "producer/envelope.py",
        "    if len(body) > MAX_MESSAGE_BYTES:",
        "    if False:",
        ("tests/integration/test_producer_lengths.py",),
    ),
    Mutant(
        "bulk messages take every thread",
        "producer/transport.py",
        "if held[lane] < self.most_held.get(lane, held[lane] + 1)]",
        "]",
        ("tests/integration/test_most_held.py",),
    ),
    Mutant(
        "single uploads wait for bulk on the device",
        "worker/batcher.py",
        "self._lines.join(request, urgent=urgent)",
        "self._lines.join(request, urgent=False)",
        ("tests/unit/worker/test_batcher.py",),
    ),
    Mutant(
        "single uploads wait for bulk to be decoded",
        "worker/two_lines.py",
        "else self.urgent or self.bulk",
        "else self.bulk or self.urgent",
        ("tests/unit/worker/test_reader.py",),
    ),
    Mutant(
        "single uploads wait for the bytes that bulk holds",
        "model_store/byte_budget.py",
        "self.urgent if urgent else",
        "self.other if urgent else",
        ("tests/unit/model_store/test_images.py",),
    ),
    Mutant(
        "bulk passes beside single uploads at the store",
        "model_store/right_of_way.py",
        "if self._urgent and self._held_back_s < PATIENCE_S:",
        "if not self._urgent and self._held_back_s < 0:",
        ("tests/unit/model_store/test_right_of_way.py",),
    ),
    Mutant(
        "a row of the ledger comes before the result, and a sweep believes it",
        "worker/recorder.py",
        "        while True:\n            kept",
        "        self._ledger.append(message.message_id, *list(zip(*rows, strict=True)))\n"
        "        while True:\n            kept",
        ("tests/unit/worker/test_recorder.py",),
    ),
    Mutant(
        "what a broker refused counts as sent",
        SENDER,
        "                outcomes[position] = outcome\n",
        "                outcomes[position] = None\n",
        (TOGETHER,),
    ),
    Mutant(
        "one refusal costs all that was sent with it",
        SENDER,
        "                    if len(letters) == 1:",
        "                    if letters:",
        ("tests/unit/producer/test_sender.py",),
    ),
    Mutant(
        "what has no answer counts as answered",
        SENDER,
        "                if not isinstance(outcome, BrokerUnavailable):",
        "                if True:",
        (f"{TOGETHER}::test_broker_killed_and_back_within_the_time_out_has_all_in_their_order",),
    ),
)
