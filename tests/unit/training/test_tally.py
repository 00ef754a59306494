import pytest
import torch

from training.tally import Tally

CPU = torch.device("cpu")


def step(total: float) -> dict[str, torch.Tensor]:
    return {"total": torch.tensor(total), "agreement": torch.tensor(total / 2)}


def test_an_epochs_losses_are_averaged_by_name_in_the_recipes_order() -> None:
    tally = Tally(3, CPU)
    for total in (1.0, 3.0):
        tally.add(step(total))

    assert tally.names == ("total", "agreement")
    assert tally.means().tolist() == [2.0, 1.0]
    assert tally.last().tolist() == [3.0, 1.5]
    assert len(tally) == 2


def test_a_tally_goes_on_from_its_state() -> None:
    tally, resumed = Tally(3, CPU), Tally(3, CPU)
    tally.add(step(1.0))

    resumed.restore(tally.state())
    for each in (tally, resumed):
        each.add(step(5.0))

    assert torch.equal(resumed.means(), tally.means())


def test_the_next_epoch_begins_with_nothing() -> None:
    tally = Tally(1, CPU)
    tally.add(step(7.0))
    tally.clear()

    assert tally.state() == {}
    tally.add(step(1.0))
    assert tally.means()[0].item() == pytest.approx(1.0)
