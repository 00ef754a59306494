from training.split import MAX_JUDGED_BYTES, divide


def test_of_large_pictures_so_many_are_judged_as_the_bytes_allow() -> None:
    names = [f"{nth}.jpg" for nth in range(30_000)]

    small, large = divide(names, 10, 0.1, 32), divide(names, 10, 0.1, 160)

    assert len(small.judged) == len(small.held_out) == 3000
    assert len(large.judged) == MAX_JUDGED_BYTES // (3 * 160 * 160)
    assert set(large.judged) < set(large.held_out)
