import pytest

from console.commands.erase import _say
from model_store.erasure_record import ErasureRecord


def test_models_that_learnt_or_may_have_learnt_from_it_are_named_with_what_to_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    record = ErasureRecord(
        request="r", collection="cats", image_ids=("a",), learnt_by={"v2": ("a",)}, unknown_models=("v1",)
    )

    _say(record)

    said = capsys.readouterr().err
    assert "model v2 has learnt from a\n" in said
    assert "nobody can tell whether they have learnt from them: v1\n" in said
    assert "`shoal retrain --collection cats` makes one that has not" in said
    _say(record.model_copy(update={"learnt_by": {}, "unknown_models": ()}))
    assert "retrain" not in capsys.readouterr().err
