"""Law 5: item i depends on seed i, not on the batch around it."""

import pytest
import torch
from torch import Tensor

from sfumato.diffusion.denoiser import Denoiser
from sfumato.diffusion.guidance import Guided
from sfumato.diffusion.process import Condition

from .families import CATEGORICALS, GAUSSIANS, LEVELLED, PAIRS, SAMPLERS, grid, sample, walked

SEEDS = [11, 7, 0, 7, 2**62]


def network(x: Tensor, level: Tensor, condition: Condition) -> Tensor:
    """Some smooth function of all that a network may look at, item by item."""
    answer = torch.tanh(x + level.view(-1, 1, 1, 1) + x.flatten(1).mean(1).view(-1, 1, 1, 1))
    if condition.image is not None:
        answer = answer + 0.3 * condition.image
    if condition.label is not None:
        answer = answer * (1 + 0.1 * condition.label.view(-1, 1, 1, 1))
    return answer


def doubled(x: Tensor, level: Tensor, condition: Condition) -> Tensor:
    """With a learned variance."""
    return network(torch.cat([x, -x], 1), level, condition)


GUIDED = [("edm", sampler) for sampler in SAMPLERS] + [("categorical", "ancestral"), ("learned", "ancestral")]


@pytest.mark.parametrize(
    ("name", "sampler", "guided"), [*((*pair, False) for pair in PAIRS), *((*pair, True) for pair in GUIDED)]
)
def test_alone_as_in_a_batch(name: str, sampler: str, guided: bool):
    process, channels = walked(name, sampler), 2 if name in CATEGORICALS else 1
    plain = Denoiser(process, doubled if name == "learned" else network)
    denoise = Guided(process, plain, scale=2.0, unlabelled=3) if guided else plain
    pictures = torch.linspace(-1, 1, 80, dtype=torch.float64).view(5, 1, 4, 4)
    labels = torch.tensor([0, 1, 2, 1, 3])

    def sampling_loop(items: slice) -> Tensor:
        return sample(
            SAMPLERS[sampler],
            process,
            denoise,
            like=torch.zeros_like(pictures[items]).expand(-1, channels, -1, -1),
            seeds=SEEDS[items],
            times=grid(LEVELLED[name], 6),
            condition=Condition(image=pictures[items], label=labels[items]),
        )

    together = sampling_loop(slice(None))
    assert torch.isfinite(together).all()
    assert len(together.flatten(1).unique(dim=0)) == len(SEEDS)
    for i in range(len(SEEDS)):
        torch.testing.assert_close(sampling_loop(slice(i, i + 1)), together[i : i + 1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_same_seed_same_image(sampler: str):
    process = GAUSSIANS["edm"]
    like = torch.zeros(3, 1, 4, 4)
    drawn = sample(
        SAMPLERS[sampler], process, Denoiser(process, network), like=like, seeds=[5, 6, 5], times=grid(process, 5)
    )
    assert torch.equal(drawn[0], drawn[2])
    assert not torch.allclose(drawn[0], drawn[1])
    assert drawn.dtype == torch.float32
