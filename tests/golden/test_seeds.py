"""One generator per item: the numbers of a seed are those of NVlabs' per-seed generators on a CPU, bit for bit."""

import torch

from sfumato.diffusion.process import Noise

from .gmm import arrays


def test_numbers_of_a_seed():
    stored = arrays("seeds")
    noise = Noise(range(8))
    like = torch.empty(8, 3, 4, 4)
    assert torch.equal(noise.normal(like), stored["seeds/randn_3x4x4_float32"].float())
    drawn = [int(torch.randint(10, (), generator=generator)) for generator in noise.generators]
    assert drawn == stored["seeds/then_randint10"].tolist(), "a label drawn next is the same"
    assert torch.equal(noise.normal(like), stored["seeds/then_randn_like"].float())
