"""Random waves of the noise level, and where class and augmentation join them."""

import pytest
import torch

from sfumato.diffusion.process import Condition
from sfumato.networks.embedding import Embedding, RandomFourier

LEVELS = torch.linspace(-4, 4, 4001)


def waves(features, **settings):
    torch.manual_seed(0)
    return RandomFourier(features, **settings)


def test_free_waves_have_a_mean_square_of_one_at_every_level():
    features = waves(4096, bandwidth=1.0, paired=False)(LEVELS[::500])
    torch.testing.assert_close(features.square().mean(1), torch.ones(9), rtol=0.05, atol=0)


def test_paired_waves_are_cosine_and_sine_of_one_frequency():
    fourier = waves(512, bandwidth=16.0, paired=True)
    cosine, sine = fourier(LEVELS).chunk(2, dim=1)
    torch.testing.assert_close(cosine.square() + sine.square(), torch.ones_like(cosine), rtol=0, atol=1e-3)
    assert fourier.frequencies.std().item() == pytest.approx(16, rel=0.1)
    assert (sine[2000:2010].diff(dim=0)[0] * fourier.frequencies[:256] > 0).all()  # sin x, not -sin x or cos x


def test_random_waves_are_part_of_the_weights():
    assert set(waves(8, bandwidth=1.0, paired=False).state_dict()) == {"frequencies", "phases"}


@pytest.mark.parametrize(("early", "width"), [(True, 6), (False, 20)])
def test_class_and_augmentation_join_the_features_or_the_vector(early, width):
    embed = Embedding(features=6, width=20, classes=3, augment_labels=2, early=early)
    assert embed.label.weight.shape == (4, width)
    assert embed.augment.weight.shape == (width, 2)
    condition = Condition(label=torch.tensor([1]), augment=torch.ones(1, 2))
    plain = embed(torch.zeros(1), Condition())
    assert plain.shape == (1, 20)
    for told in (Condition(label=torch.tensor([1])), Condition(augment=torch.ones(1, 2))):
        assert (embed(torch.zeros(1), told) - plain).abs().max() > 1e-3
    with torch.no_grad():  # what is linear behind the sum cannot tell its terms apart
        embed.label.weight[1] = -embed.augment(torch.ones(2))
        embed.label.weight[3] = 0
    torch.testing.assert_close(embed(torch.zeros(1), condition), embed(torch.zeros(1), Condition()))
