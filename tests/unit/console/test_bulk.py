"""A bulk submission that is cut short anywhere, and gone on with."""

from collections.abc import Iterator, Sequence

import pytest

from console.bulk import BulkSubmission, job_id_for
from console.bulk_resend import resend
from console.bulk_source import BulkPage
from model_store.erasure import Erasure
from model_store.job_completion import JobCompletion
from model_store.job_part import part_of
from model_store.job_parts import JobParts
from model_store.job_record import JobRecord
from model_store.jobs import Jobs
from model_store.object_store import MemoryStore
from producer.contracts import ClassifyImages, ImageRef, Result
from producer.errors import BrokerUnavailable, ConfigurationError, QueueFull, ShoalError


class Numbers:
    """Pages of 300 references, which make two messages each."""

    kind, name, identity, total = "test", "numbers", "numbers", 900

    def pages(self, after: str) -> Iterator[BulkPage]:
        for page in range(int(after or 0), 3):
            refs = (ImageRef(image_id=f"{page}-{i}", bucket="uploads", key=f"{page}-{i}") for i in range(300))
            yield BulkPage(tuple(refs), str(page + 1), 1, f"entry {page}")


class Lane:
    """Takes messages; fails for good or for a while after some."""

    def __init__(self) -> None:
        self.messages: list[ClassifyImages] = []
        self.room: int | None = None
        self.full = 0

    def send(self, messages: Sequence[ClassifyImages]) -> list[ShoalError | None]:
        return [self._outcome(message) for message in messages]

    def _outcome(self, message: ClassifyImages) -> ShoalError | None:
        if self.full:
            self.full -= 1
            return QueueFull("many wait")
        if self.room is not None and len(self.messages) >= self.room:
            return BrokerUnavailable("away")
        self.messages.append(message)
        return None


def submit(store: MemoryStore, lane: Lane, job_id: str = "job") -> JobRecord:
    work = BulkSubmission(Jobs(store, "cats"), lane.send)
    return work.run(work.begin(job_id, "cats", Numbers()), Numbers())


def test_a_job_is_submitted_in_numbered_messages_and_closed(store: MemoryStore) -> None:
    lane = Lane()
    record = submit(store, lane)
    assert (record.state, record.messages, record.pictures, record.skipped) == ("closed", 6, 900, 3)
    assert record.first_skipped == "entry 0"
    assert [message.message_id for message in lane.messages] == record.message_ids
    assert {(m.job_id, m.lane, m.collection) for m in lane.messages} == {("job", "bulk", "cats")}
    assert len({ref.image_id for message in lane.messages for ref in message.images}) == 900


@pytest.mark.parametrize("room", range(6))
def test_cut_short_anywhere_the_same_command_sends_the_rest_and_repeats_only_itself(
    store: MemoryStore, room: int
) -> None:
    lane = Lane()
    lane.room = room
    with pytest.raises(BrokerUnavailable):
        submit(store, lane)
    lane.room = None
    record = submit(store, lane)
    sent = {message.message_id: message.images for message in lane.messages}
    assert list(sent) == record.message_ids  # in this order, some twice
    assert all(sent[message.message_id] == message.images for message in lane.messages)
    assert (record.pictures, record.skipped, len(lane.messages) - 6) == (900, 3, room % 2)


def test_a_job_that_is_closed_is_not_submitted_again(store: MemoryStore) -> None:
    lane = Lane()
    assert submit(store, lane) == submit(store, lane)
    assert len(lane.messages) == 6


def test_a_full_lane_is_waited_for(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.bulk.FULL_PAUSE_S", 0.0)
    lane = Lane()
    lane.full = 5
    assert submit(store, lane).pictures == 900


def test_two_that_submit_one_job_at_once_find_out(store: MemoryStore) -> None:
    lane = Lane()
    work = BulkSubmission(Jobs(store, "cats"), lane.send)
    slow = work.begin("job", "cats", Numbers())
    submit(store, lane)
    with pytest.raises(ConfigurationError, match="another process submits the job job"):
        work.run(slow, Numbers())


def test_a_job_of_another_source_is_refused(store: MemoryStore) -> None:
    Jobs(store, "cats").save(JobRecord(job_id="job", collection="cats", source="dir elsewhere"), None)
    with pytest.raises(ConfigurationError, match="is of another source: dir elsewhere"):
        submit(store, Lane())


def test_an_erasure_that_hits_the_place_to_go_on_costs_work_and_loses_nothing(store: MemoryStore) -> None:
    lane = Lane()
    jobs = Jobs(store, "cats")
    held = BulkSubmission(jobs, lane.send).begin("job", "cats", Numbers())
    jobs.save(held.record.model_copy(update={"cursor": "a/img_1", "messages": 2}), held.etag)
    Erasure(store, "cats", {}).run(["img_1"])
    record = submit(store, lane)
    assert record.messages == 8
    assert len({ref.image_id for message in lane.messages for ref in message.images}) == 900


def test_a_jobs_name_follows_from_its_collection_and_source() -> None:
    assert job_id_for("cats", Numbers()) == job_id_for("cats", Numbers())
    assert job_id_for("cats", Numbers()) != job_id_for("dogs", Numbers())
    assert JobRecord(job_id=job_id_for("cats", Numbers()), collection="cats").job_id.startswith("test-")


def answered(store: MemoryStore, message: ClassifyImages, n: int | None = None) -> None:
    """Leave what a worker leaves of a message, or of its first half."""
    refs = message.images[:n]
    results = [
        Result(image_id=ref.image_id, collection="cats", status="failed", message_id=message.message_id)
        for ref in refs
    ]
    part = part_of(message.message_id, message.whole.pictures, refs, results, [])
    JobParts(store, "cats").save("job", message.message_id, part)


def resent(store: MemoryStore, lane: Lane) -> JobRecord:
    jobs = Jobs(store, "cats")
    work = BulkSubmission(jobs, lane.send)
    return resend(jobs.record("job"), Numbers(), jobs, JobParts(store, "cats"), work)


def test_after_a_loss_exactly_the_pictures_without_a_row_are_sent_again(store: MemoryStore) -> None:
    lane, second = Lane(), Lane()
    submit(store, lane)
    answered(store, lane.messages[0])
    answered(store, lane.messages[2], 100)  # the other half was lost
    record = resent(store, second)
    rest = {ref.image_id for message in second.messages for ref in message.images}
    assert rest == {f"{page}-{i}" for page in range(3) for i in range(300)} - {
        ref.image_id for ref in (*lane.messages[0].images, *lane.messages[2].images[:100])
    }
    assert JobCompletion(store, "cats").settle("job") is None
    for message in second.messages:
        answered(store, message)
    manifest = JobCompletion(store, "cats").settle("job")
    assert manifest is not None
    assert (record.state, manifest.pictures, manifest.totals) == ("closed", 900, {"failed": 900})


def test_what_was_not_lost_after_all_does_no_harm(store: MemoryStore) -> None:
    lane, second = Lane(), Lane()
    submit(store, lane)
    resent(store, second)
    for message in (*lane.messages, *second.messages):
        answered(store, message)
    manifest = JobCompletion(store, "cats").settle("job")
    assert manifest is not None
    assert manifest.pictures == 900


def test_a_job_that_lost_nothing_is_left_as_it_is(store: MemoryStore) -> None:
    lane, second = Lane(), Lane()
    submit(store, lane)
    for message in lane.messages:
        answered(store, message)
    assert resent(store, second) == Jobs(store, "cats").record("job").record
    assert second.messages == []


def test_a_job_that_is_not_submitted_whole_is_not_resent(store: MemoryStore) -> None:
    lane = Lane()
    lane.room = 3
    with pytest.raises(BrokerUnavailable):
        submit(store, lane)
    with pytest.raises(ConfigurationError, match="leave out --resend"):
        resent(store, Lane())
