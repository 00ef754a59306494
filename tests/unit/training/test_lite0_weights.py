import torch
from torch import Tensor, nn

from training.lite0_weights import BATCH_NORM_EPS, folded


def published(path: str, convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> dict[str, Tensor]:
    """Name weights as `efficientnet_lite_pytorch` does."""
    return {f"{path}_depthwise_conv.weight": convolution.weight} | {
        f"{path}_bn1.{name}": values for name, values in norm.state_dict().items()
    }


def test_a_folded_convolution_answers_as_with_its_batch_norm() -> None:
    torch.manual_seed(0)
    convolution, norm = nn.Conv2d(6, 6, 3, bias=False, groups=6), nn.BatchNorm2d(6, BATCH_NORM_EPS)
    for values, low in (
        (norm.weight, 0.5),
        (norm.bias, -1),
        (norm.running_mean, -1),
        (norm.running_var, 0.1),
    ):
        assert values is not None
        nn.init.uniform_(values, low, 2)
    images = torch.rand(2, 6, 8, 8)

    weights = folded(published("_blocks.0.", convolution, norm))

    plain = nn.Conv2d(6, 6, 3, groups=6)
    plain.load_state_dict({name.removeprefix("blocks.0.depthwise_conv."): w for name, w in weights.items()})
    torch.testing.assert_close(plain(images), norm.eval()(convolution(images)), rtol=1e-4, atol=1e-5)


def test_the_classifier_is_left_out() -> None:
    assert not folded({"_fc.weight": torch.ones(2, 2), "_fc.bias": torch.ones(2)})
