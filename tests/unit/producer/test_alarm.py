import threading

from kombu.asynchronous import Hub

from producer.alarm import Alarm

LONG_S = 30.0


def heard(hub: Hub) -> bool:
    """Wait as the loop does, and do what it would do then; tells whether something came."""
    events = hub.poller.poll(LONG_S)
    for fd, _ in events:
        callback, arguments = hub.readers[fd]
        callback(*arguments)
    return bool(events)


def test_what_another_thread_asks_for_ends_the_waiting_of_the_loop_once() -> None:
    hub, called = Hub(), list[int]()
    alarm = Alarm.of(hub)
    threading.Timer(0.05, hub.call_soon, (called.append, 7)).start()

    assert heard(hub)

    assert not hub.poller.poll(0)
    for callback in hub._pop_ready():
        callback()
    assert called == [7]
    alarm.close()
    hub.close()


def test_a_loop_that_lost_its_connection_has_the_same_alarm_and_listens_again() -> None:
    hub = Hub()
    alarm = Alarm.of(hub)
    hub.reset()

    assert Alarm.of(hub) is alarm

    hub.call_soon(print)
    assert heard(hub)
    alarm.close()
    hub.close()
