from producer.errors import StoreUnavailable
from tests.integration.office import Office, due_now, fields


def test_attempts_and_dead_letters_are_counted(office: Office) -> None:
    office.put(fields("a"))
    office.put({"images": []})
    office.client.lpush("bulk", b"x")
    office.classifier.error = StoreUnavailable("away")
    office.handle()
    office.classifier.error = None
    due_now(office)
    while office.handle():
        pass
    told = office.metrics.text().decode().splitlines()
    assert {
        "shoal_attempts_total 3.0",
        "shoal_failed_attempts_total 1.0",
        'shoal_dead_letters_total{why="refused"} 1.0',
        'shoal_dead_letters_total{why="unreadable"} 1.0',
        'shoal_dead_letters_total{why="given up"} 0.0',
    } <= set(told)
