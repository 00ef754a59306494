import pytest

from model_store.layout import Layout
from tests.system.running_platform import Platform, picture, wait_until
from tests.system.shoal_command import Shoal


@pytest.fixture
def shoal(platform: Platform, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shoal:
    (platform.workdir / "pictures").mkdir()
    (platform.workdir / "pictures" / "a.png").write_bytes(picture(0, 0))
    return Shoal(platform, monkeypatch, capsys)


@pytest.mark.parametrize("how", ["--lane=interactive", "--bulk"])
def test_submitting_to_a_collection_without_a_model_says_so_and_what_to_do(
    platform: Platform, shoal: Shoal, how: str
) -> None:
    submit = ("submit", "pictures", how, "--wait", "--patience-s", "0", "--collection", platform.collection)

    without = shoal(*submit, status=1)
    platform.promote_tiny_model()
    with_one = shoal(*submit, status=1)

    said = f"Train it: `shoal train path/to/pictures --collection {platform.collection}`"
    assert said in without
    assert said not in with_one


def test_a_picture_without_a_result_is_told_with_the_reason(platform: Platform, shoal: Shoal) -> None:
    asked = ("result", "never", "--collection", platform.collection)
    assert "no result of never: collection" in shoal(*asked, status=1)
    platform.promote_tiny_model()
    assert "no message waits" in shoal(*asked, status=1)
    platform.submit(platform.upload_kinds("waits", 1))
    assert "among what waits or is in work, 1 message of all" in shoal(*asked, status=1)
    assert "the job j has no row of it" in shoal(*asked, "--job", "j", status=1)


def test_the_status_shows_which_collection_pictures_wait_for_a_model_of_and_what_to_do(
    platform: Platform, shoal: Shoal
) -> None:
    with platform.running("worker", "worker ready"):
        platform.submit(platform.upload_kinds("waits", 1))
        wait_until(lambda: platform.collection in shoal.json("status")["awaited"], 30, "it is told")
        shown = " ".join(shoal("status").split())
    assert "pictures that wait for a model" in shown


@pytest.mark.parametrize("command", ["submit pictures", "submit --bulk pictures", "train pictures", "sweep"])
def test_a_script_that_mistypes_its_collection_is_told_before_anything_is_done(
    platform: Platform, shoal: Shoal, command: str
) -> None:
    platform.store.put(Layout("invoices").result("img_1"), b"{}")
    before = [info.key for info in platform.uploads.list("")]

    said = shoal(*command.split(), "--collection", "invioces", status=1)

    assert "did you mean invoices? Nothing was done; if it is to be a new one, say --new" in said
    assert [info.key for info in platform.uploads.list("")] == before
    assert list(platform.store.list("invioces/")) == []
    assert "there is no collection invioces" in shoal(
        "models", "list", "--json", "--collection", "invioces", status=1
    )
