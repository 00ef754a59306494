import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
# The parent's sender is held up while it forks; the child tells what happened to it by its exit status.
SCRIPT = """
import os
import threading

from producer.outbox import Address, Outbox
from producer.settings import ProducerSettings
from tests.unit.producer.post import Post, ref

post, address = Post(), Address("default", "interactive", None)
outbox = Outbox(post, ProducerSettings())
post.hold()
outbox.put(ref(1), address)
assert post.reached.wait(5)
outbox.put(ref(2), address)

with outbox._changed if {locked} else threading.Lock():
    child = os.fork()
if child == 0:
    post.release()
    {child}
    os._exit(0)

status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
assert status == 0, f"the child ended with {{status}}"
post.release()
outbox.flush(5)
assert post.image_ids == ["img_1", "img_2"], post.image_ids
"""


def run(child: str, *, locked: bool = False) -> None:
    script = SCRIPT.format(child=child, locked=locked)
    subprocess.run([sys.executable, "-c", script], check=True, timeout=20, cwd=REPOSITORY)


def test_child_sends_its_own_references_and_not_its_parents() -> None:
    run('outbox.put(ref(3), address).result(5); assert post.image_ids == ["img_3"], post.image_ids')


def test_flush_in_a_child_does_not_wait_for_what_its_parent_has_to_send() -> None:
    run("outbox.flush(0)")


def test_fork_while_another_thread_holds_the_lock_leaves_the_child_usable() -> None:
    run("outbox.put(ref(3), address).result(5); outbox.stop()", locked=True)


def test_stopped_outbox_stays_stopped_in_a_child() -> None:
    script = """
import os
from producer.outbox import Address, Outbox
from producer.settings import ProducerSettings
from tests.unit.producer.post import Post, ref
outbox = Outbox(Post(), ProducerSettings())
outbox.stop()
if os.fork() == 0:
    try:
        outbox.put(ref(1), Address("default", "interactive", None))
    except RuntimeError:
        os._exit(0)
    os._exit(1)
assert os.wait()[1] == 0
"""

    ended = subprocess.run([sys.executable, "-c", script], check=False, timeout=20, cwd=REPOSITORY)

    assert ended.returncode == 0


def test_fork_while_another_thread_holds_redis_pys_lock_leaves_the_child_usable() -> None:
    script = """
import os
import threading
from producer import Producer
producer = Producer("redis://127.0.0.1:1/0")
held, done = threading.Event(), threading.Event()
def hold():
    with producer._redis.connection_pool._lock:
        held.set()
        done.wait()
threading.Thread(target=hold, daemon=True).start()
held.wait()
child = os.fork()
if child == 0:
    os._exit(0 if producer._redis.connection_pool._lock.acquire(timeout=5) else 1)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
done.set()
raise SystemExit(status)
"""

    ended = subprocess.run([sys.executable, "-c", script], check=False, timeout=20, cwd=REPOSITORY)

    assert ended.returncode == 0
