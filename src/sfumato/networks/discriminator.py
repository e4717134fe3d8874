"""A second network that learns to tell true masks from estimated ones, and what the first one learns from it.

With D(image, mask) a score for each patch, x0 true and x0_hat the estimate of the segmenting network, <.> the mean over
patches (Lim & Ye 2017; Miyato et al. 2018, equations 16 and 17):

    the discriminator minimises    < max(0, 1 - D(x0)) + max(0, 1 + D(x0_hat)) >                         (1)
    the segmenting network         < -D(x0_hat) >                                                        (2)

(1) is 2 at the start and where masks cannot be told apart; once the scores are a margin of 1 away from 0 it stops
learning, which keeps (2) of order 1. The gradient of (1) ends at the estimate and that of (2) passes through a
discriminator held fixed, so one backward pass of their sum is right for both networks.

What is seen of an estimate is the mask of its likeliest classes; the gradient goes to their probabilities as if those
had been seen (straight through, Bengio et al. 2013). Probabilities would be told from a one-hot truth by their softness
(Luc et al. 2016), and the network would learn to be sure instead of right.

Patches are judged, not masks (Isola et al. 2017, PatchGAN): is this border like a border drawn here? Nothing may depend
on how a batch is cut into pieces, therefore normalisation is of single items; spectral normalisation would carry a
state that every forward pass changes.
"""

from itertools import pairwise
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, cat, nn, zeros_like
from torch.func import functional_call

from sfumato.diffusion.loss import per_item_mean
from sfumato.networks.blocks import Dimensions, channels_last, convolution, pad_to_multiple
from sfumato.networks.normalisation import Normalisation
from sfumato.typing import Data, PerItem

_Shares = Float[Tensor, "b classes *space"]
"""Class probabilities in [0, 1]."""

_LEVELS = 3
"""Halvings, each by a convolution of 4 pixels; with the last one, of 3, a score sees 38 pixels."""


class Discriminator(nn.Module):
    """Images and masks of any size -> a score for each patch, high for true masks.

    Args:
        channels_image: channels of an image.
        classes: channels of a mask.
        channels: width of the first level; each further one doubles it.
        dimensions: 2 for images, 3 for volumes.
    """

    def __init__(self, *, channels_image: int, classes: int, channels: int = 32, dimensions: Dimensions = 2) -> None:
        super().__init__()
        self.dimensions = dimensions
        widths = [channels_image + classes, *(channels * 2**level for level in range(_LEVELS))]
        stride = nn.Conv2d if dimensions == 2 else nn.Conv3d
        self.body = nn.Sequential()
        for narrow, wide in pairwise(widths):
            self.body.append(stride(narrow, wide, 4, stride=2, padding=1))
            self.body.append(Normalisation(wide))
        self.head = convolution(widths[-1], 1, kernel=3, dimensions=dimensions)

    def forward(self, images: Data, masks: _Shares) -> Float[Tensor, "b 1 *patches"]:
        """Scores of masks, given their images in [-1, 1]."""
        seen = pad_to_multiple(cat([images, masks], dim=1), 2**_LEVELS)
        scores: Tensor = self.head(self.body(seen.contiguous(memory_format=channels_last(self.dimensions))))
        return scores


class Contest(NamedTuple):
    """What each side minimises, one number for each item.

    Attributes:
        network: equation (2); reaches the estimate, not the discriminator.
        discriminator: equation (1); reaches the discriminator, not the estimate.
    """

    network: PerItem
    discriminator: PerItem


def contest(discriminator: nn.Module, images: Data, estimate: _Shares, truth: _Shares) -> Contest:
    """Both sides of the game over a batch.

    Args:
        discriminator: `Discriminator`, or any network with its call.
        images: in [-1, 1].
        estimate: of the segmenting network.
        truth: one-hot masks.
    """
    seen = _decided(estimate)
    fixed = {name: weight.detach() for name, weight in discriminator.named_parameters()}
    fooled = functional_call(discriminator, fixed, (images, seen))
    true, estimated = discriminator(cat([images, images]), cat([truth, seen.detach()])).float().chunk(2)
    return Contest(per_item_mean(-fooled.float()), per_item_mean((1 - true).relu() + (1 + estimated).relu()))


def _decided(estimate: _Shares) -> _Shares:
    """One-hot masks of the likeliest classes, with the gradient of the probabilities."""
    mask = zeros_like(estimate).scatter_(1, estimate.argmax(1, keepdim=True), 1.0)
    return mask + (estimate - estimate.detach())
