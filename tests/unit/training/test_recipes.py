import pytest
import torch

from model_store.architecture import Architecture
from producer.errors import ConfigurationError
from training.augment import augment
from training.augmentation import Augmentation
from training.fit_settings import PRETRAINED
from training.recipes import RECIPES, Batch, recipe
from training.recipes.pure import Pure, balanced

SMALL = Architecture(widths=(4, 6), embedding_dim=5)
STILL = Augmentation.model_validate(dict.fromkeys(Augmentation.model_fields, 0) | {"min_crop": 1})


def some_pixels(n: int = 12) -> torch.Tensor:
    return torch.randint(
        0, 256, (n, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


@pytest.mark.parametrize("name", sorted(set(RECIPES) - {PRETRAINED}))
def test_every_recipe_that_trains_an_encoder_moves_all_that_is_kept(name: str) -> None:
    objective = recipe(name)(SMALL, Augmentation())

    losses = objective(Batch(some_pixels()))
    losses["total"].backward()

    assert all(loss.shape == () and torch.isfinite(loss) for loss in losses.values())
    kept = [*objective.encoder.parameters(), *objective.decoder.parameters()]
    assert all(parameter.grad is not None for parameter in kept)


def test_an_unknown_recipe_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="pixel, pretrained, pure"):
        recipe("magic")


def test_agreement_is_lower_for_two_views_of_a_picture_than_of_two_pictures() -> None:
    torch.manual_seed(0)
    objective = Pure(SMALL, Augmentation())
    embeddings = torch.randn(32, 5)

    same = objective._agreement(torch.cat([embeddings, embeddings]))
    other = objective._agreement(torch.cat([embeddings, embeddings.roll(1, 0)]))

    assert same < other


def test_balanced_shares_use_all_prototypes_even_if_all_pictures_prefer_one() -> None:
    scores = torch.rand(256, 8, generator=torch.Generator().manual_seed(0)) * 0.2
    scores[:, 0] += 0.5

    shares = balanced(scores)

    torch.testing.assert_close(shares.sum(1), torch.ones(256))
    torch.testing.assert_close(shares.sum(0), torch.full((8,), 32.0), rtol=0.1, atol=0)


def test_views_stay_between_0_and_1_and_differ() -> None:
    images = torch.rand(8, 3, 32, 32)

    first, second = augment(images, Augmentation()), augment(images, Augmentation())

    assert first.shape == images.shape
    assert 0 <= float(first.min()) <= float(first.max()) <= 1
    assert not torch.allclose(first, second)


def test_augmentation_of_no_strength_gives_the_picture_itself() -> None:
    images = torch.rand(4, 3, 32, 32)

    torch.testing.assert_close(augment(images, STILL), images, rtol=0, atol=1e-5)


def test_grey_pictures_stay_grey() -> None:
    images = torch.rand(8, 1, 32, 32).expand(-1, 3, -1, -1)

    views = augment(images, Augmentation())

    torch.testing.assert_close(views[:, 0], views[:, 2], rtol=0, atol=1e-5)


def test_no_view_is_mirrored_unless_asked_for() -> None:
    left_white = torch.zeros(64, 3, 32, 32)
    left_white[..., :16] = 1
    mirrored = STILL.model_copy(update={"horizontal_flip": True})

    assert bool((augment(left_white, STILL)[:, 0, 16, 2] > 0.5).all())
    assert 16 < int((augment(left_white, mirrored)[:, 0, 16, 2] < 0.5).sum()) < 48
