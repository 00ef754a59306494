"""What becomes of messages where the worker has signing keys, on a real Valkey."""

from collections.abc import Iterator
from contextlib import closing

import pytest
import redis
from pydantic import SecretStr

from producer.broker import CLASSIFY
from producer.errors import StoreUnavailable
from producer.settings import BrokerSettings
from producer.signing import Keyring
from producer.ulid import new_ulid
from tests.integration.office import Office, due_now, fields

KEY = SecretStr("k:" + "x" * 32)
KEYRING = Keyring([KEY])


@pytest.fixture
def office(lease_broker: BrokerSettings, lease_client: "redis.Redis") -> Iterator[Office]:
    office = Office(lease_broker, lease_client, KEY)
    with closing(office.leases):
        yield office


def test_only_what_is_signed_is_done_and_the_rest_is_kept_with_the_reason(office: Office) -> None:
    signed = KEYRING.sign(CLASSIFY, fields(message_id=new_ulid()))
    refused = {
        "it is not signed": fields(message_id=new_ulid()),
        "changed after signing": {**signed, "collection": "other"},
        "without a message_id": KEYRING.sign(CLASSIFY, fields()),  # else a copy of it would count as another
    }
    for sent in (*refused.values(), signed):
        office.put(sent)
        assert office.handle()

    assert [message.message_id for message in office.classifier.done] == [signed["message_id"]]
    letters = office.dead()
    assert len(letters) == len(refused)
    assert all(sum(reason in letter.error for letter in letters) >= 1 for reason in refused)
    assert office.classifier.failed == []
    assert office.nothing_left()


def test_a_signed_message_that_is_tried_again_is_verified_again_and_done(office: Office) -> None:
    office.put(KEYRING.sign(CLASSIFY, fields(message_id=new_ulid())))
    office.classifier.error = StoreUnavailable("away")
    office.handle()
    due_now(office)

    office.classifier.error = None
    office.handle()

    assert len(office.classifier.done) == 1
    assert office.dead() == []


def test_the_halves_of_a_message_that_killed_workers_are_signed_and_done(office: Office) -> None:
    office.put(KEYRING.sign(CLASSIFY, fields("a", "b", "c", "bad", message_id=new_ulid())))
    office.classifier.poison = "bad"
    while office.handle():
        pass

    done = {ref.image_id for message in office.classifier.done for ref in message.images}
    assert done == {"a", "b", "c"}
    assert office.classifier.failed == [("bad", "internal")]
    (letter,) = office.dead()
    assert "workers died of it" in letter.error
