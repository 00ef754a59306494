from console.commands.status import ANSWERS, champion_in_words


def test_a_store_that_was_not_read_is_not_taken_for_one_without_a_model() -> None:
    assert "shoal train" in champion_in_words(None, ANSWERS)
    assert "shoal train" not in champion_in_words(None, "the store http://127.0.0.1:1 does not answer")
