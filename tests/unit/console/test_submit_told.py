from console.commands.submit import SHOWN_ONE_BY_ONE, _how_to_look
from producer.contracts import ImageRef


def refs(n: int) -> list[ImageRef]:
    return [ImageRef(image_id=f"img_{i}", bucket="uploads", key=f"k{i}") for i in range(n)]


def test_after_a_few_pictures_one_command_shows_them_all() -> None:
    assert _how_to_look(refs(2), "default", shown=False) == "their results: `shoal result img_0 img_1`"
    assert "`shoal result img_0 img_1 --collection cats`" in _how_to_look(refs(2), "cats", shown=False)


def test_after_many_it_is_said_how_to_see_them_all_unless_they_were_shown() -> None:
    many = refs(SHOWN_ONE_BY_ONE + 1)
    assert "all of them: the same command with --wait" in _how_to_look(many, "default", shown=False)
    assert _how_to_look(many, "default", shown=True) == "each by its id: `shoal result img_0`"
