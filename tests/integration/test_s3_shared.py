"""What those share who read from one store at once: the way to it, and the bytes that are held."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from console.stack import Stack
from model_store.byte_budget import ByteBudget
from model_store.object_store import Get, StoredObject
from model_store.right_of_way import RightOfWay
from model_store.s3 import S3Store
from model_store.settings import StoreSettings
from producer.errors import ShoalError


def test_the_few_requests_of_who_has_right_of_way_wait_for_nobody(
    s3_store: S3Store, store_settings: StoreSettings
) -> None:
    way = RightOfWay(few=1)
    items = {f"way/{n}": b"x" for n in range(3)}

    def both() -> list[object]:
        with way.urgent():
            put = store.put_many(items)
            return [*put.values(), *(found for _, found in store.get_many([Get(key) for key in items]))]

    with closing(S3Store(s3_store.bucket, store_settings, way)) as store, ThreadPoolExecutor(1) as thread:
        with way.passing():  # the only one who may be inside
            outcomes = thread.submit(both).result(20)
        assert not any(isinstance(outcome, ShoalError) for outcome in outcomes)


def test_a_budget_bounds_what_is_read_and_is_given_back_by_what_is_not_asked_for(
    stack: Stack, store_settings: StoreSettings
) -> None:
    keys, size = [f"budget/{'a//' if i % 4 else ''}{i}" for i in range(40)], 1 << 20  # boto3's turn too
    with closing(S3Store(stack.bucket, store_settings)) as store:
        store.put_many({key: bytes(size) for key in keys})
        budget = ByteBudget(3 * size)
        for _, found in store.get_many(map(Get, keys), budget=budget):
            assert isinstance(found, StoredObject)
            budget.give_back(len(found.data))
        assert (budget.held_bytes, budget.peak_bytes) == (0, 3 * size)

        broken_off = store.get_many(map(Get, keys), budget=budget)
        _, found = next(broken_off)
        del broken_off
        assert isinstance(found, StoredObject)
        budget.give_back(len(found.data))
        while budget.held_bytes:  # what was under way is read, and let go
            time.sleep(0.01)
