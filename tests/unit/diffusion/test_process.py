"""Randomness and conditions."""

import pytest
import torch

from sfumato.diffusion.process import Condition
from sfumato.randomness import Noise, derive_seed, generator_of


def test_seeds_differ_by_every_part_and_fit_a_generator():
    seeds = {
        derive_seed(*parts) for parts in [(1, "noise", 2), (1, "noise", 3), (1, "time", 2), (2, "noise", 2), (12, 2)]
    }
    assert len(seeds) == 5 and all(0 <= seed < 2**63 for seed in seeds)
    # Written down once: a change of this rule would change every run that is resumed.
    assert derive_seed(7, "noise", 12, 3) == 6630150200855931691


@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_an_item_depends_on_its_seed_alone(kind: str):
    def draw(noise: Noise) -> torch.Tensor:
        return noise.normal(torch.zeros(len(noise), 2, 4, 4)) if kind == "normal" else noise.uniform(2)

    three, one = draw(Noise([5, 6, 5])), draw(Noise([6]))
    assert torch.equal(three[1], one[0]) and torch.equal(three[0], three[2]) and not torch.equal(three[0], three[1])


def test_noise_is_normal_and_moves_on():
    noise, like = Noise([0]), torch.zeros(1, 1, 100, 100, dtype=torch.float64)
    first, second = noise.normal(like), noise.normal(like)
    assert first.dtype == torch.float64 and not torch.equal(first, second)
    assert float(first.mean()) == pytest.approx(0, abs=0.05) and float(first.std()) == pytest.approx(1, abs=0.03)


def test_uniform_numbers():
    drawn = Noise(range(50)).uniform(20)
    assert drawn.shape == (50, 20) and drawn.min() >= 0 and drawn.max() < 1
    assert float(drawn.mean()) == pytest.approx(0.5, abs=0.05)


def test_drawing_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    Noise([1, 2]).normal(torch.zeros(2, 1, 2))
    assert torch.equal(before, torch.get_rng_state())


def test_twice_keeps_what_there_is():
    both = Condition(label=torch.tensor([4, 1])).twice(9)
    assert both.image is None and both.augment is None
    assert both.label is not None and both.label.tolist() == [4, 1, 9, 9]


def test_twice_drops_what_it_is_told_to():
    image = torch.ones(2, 1, 3)
    both = Condition(image=image).twice(None, drops_image=True)
    assert both.label is None and both.image is not None and both.image.flatten(1).sum(1).tolist() == [3, 3, 0, 0]
    both = Condition(image=image, label=torch.tensor([4, 1])).twice(9)
    assert both.image is not None and (both.image == 1).all()
    for condition, label in ((Condition(image=image), 9), (Condition(image=image), None)):
        with pytest.raises(ValueError, match="drop"):
            condition.twice(label)


def test_every_bit_of_a_seed_counts():
    """torch's own seeding takes the low 32 bits alone."""
    seeds = [0, 5, 2**32, 2**32 + 5, 5 * 2**32, 5 * 2**32 + 5, 2**62, 2**62 + 1, 2**63 - 1]
    drawn = [torch.randn(50, generator=generator_of(seed)) for seed in seeds]
    for i, a in enumerate(drawn):
        assert abs(a.mean()) < 0.6 and 0.6 < a.std() < 1.5
        for b in drawn[:i]:
            assert abs(float(torch.corrcoef(torch.stack([a, b]))[0, 1])) < 0.6
    assert torch.equal(drawn[-1], torch.randn(50, generator=generator_of(seeds[-1])))


def test_small_seeds_are_those_of_torch():
    own = torch.randn(7, generator=torch.Generator().manual_seed(2**32 - 1))
    assert torch.equal(own, torch.randn(7, generator=generator_of(2**32 - 1)))


def test_numbers_of_large_seeds_are_uniform_and_do_not_repeat():
    streams = torch.stack([torch.rand(5000, generator=generator_of(k * 2**32 + k)) for k in range(1, 9)]).double()
    assert (streams.mean(1) - 0.5).abs().max() < 5 / (12 * 5000) ** 0.5
    assert len(streams.unique()) > 0.995 * streams.numel()
    lagged = torch.corrcoef(torch.cat([streams[:, :-1], streams[:, 1:]])) - torch.eye(16)
    assert lagged.abs().max() < 5 / 5000**0.5
