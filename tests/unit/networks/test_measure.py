"""What a network computes, attention included."""

import pytest
import torch
from torch import nn

from sfumato.networks.measure import Call, count_flops
from sfumato.networks.tokens import CrossAttention, Everywhere


class _Attending(nn.Module):
    """Attention of all pixels, or of three tokens to them."""

    def __init__(self, *, masked):
        super().__init__()
        self.masked = masked
        self.attention = CrossAttention(8, head_channels=4) if masked else Everywhere(8, head_channels=4)

    def forward(self, x, level, condition):
        pixels = x.flatten(2).transpose(1, 2)
        if not self.masked:
            return self.attention(pixels)
        return self.attention(pixels[:, :3], pixels, torch.ones(1, 3, pixels.shape[1], dtype=torch.bool))


def test_the_state_of_a_call_has_a_pixel_for_each_begun_block():
    assert Call(1, 1, (9, 33, 30), labelled=False, stride=(1, 2, 4)).state_size == (9, 17, 8)
    assert Call(1, 1, (9, 33), labelled=False, stride=4).state_size == (3, 9)


@pytest.mark.parametrize("masked", [False, True])
def test_attention_is_counted_on_every_device(masked):
    counted = count_flops(_Attending(masked=masked), Call(8, 0, (4, 5), labelled=False))
    n, c, asking = 20, 8, 3 if masked else 20
    linear = (asking + 2 * n) * c * c + asking * c * c if masked else n * (3 + 1) * c * c
    assert counted == 2 * (linear + 2 * asking * n * c)
