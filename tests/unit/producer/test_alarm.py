import threading
from contextlib import closing

from kombu.asynchronous import Hub

from producer.alarm import Alarm

LONG_S = 30.0


def test_a_ring_from_another_thread_ends_the_waiting_of_the_loop_once() -> None:
    hub = Hub()
    with closing(Alarm(hub)) as alarm:
        ringing = threading.Timer(0.05, alarm.ring)
        ringing.start()

        ((fd, _),) = hub.poller.poll(LONG_S)
        callback, arguments = hub.readers[fd]
        callback(*arguments)

        assert not hub.poller.poll(0)
    hub.close()


def test_a_closed_alarm_is_silent_and_no_longer_listened_to() -> None:
    hub = Hub()
    alarm = Alarm(hub)
    alarm.close()

    alarm.ring()

    assert hub.readers == {}
    hub.close()
