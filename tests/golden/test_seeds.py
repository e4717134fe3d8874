"""One generator per item: the numbers of a seed are those of NVlabs' per-seed generators on a CPU.

The generators' words are the same on every machine. Normal numbers are r cos(a) of two such words, in float32: the
angle a, up to 2 pi, is off by half a unit in its last place, 2^-22, and r is at most sqrt(2 ln 2^24). So they are the
same bits on processors of one kind only. The integer drawn between them shows that as many words were used.
"""

import math

import torch

from sfumato.randomness import Noise

from .gmm import arrays

ROUNDING = math.sqrt(2 * 24 * math.log(2)) * 2**-22 / 2


def test_numbers_of_a_seed():
    stored = arrays("seeds")
    noise = Noise(range(8))
    like = torch.empty(8, 3, 4, 4)
    first, later = stored["seeds/randn_3x4x4_float32"], stored["seeds/then_randn_like"]
    torch.testing.assert_close(noise.normal(like).double(), first, rtol=0, atol=2 * ROUNDING)
    drawn = [int(torch.randint(10, (), generator=generator)) for generator in noise.generators]
    assert drawn == stored["seeds/then_randint10"].tolist(), "a label drawn next is the same"
    torch.testing.assert_close(noise.normal(like).double(), later, rtol=0, atol=2 * ROUNDING)
