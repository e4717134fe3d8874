"""A small convolutional classifier: a downstream model, and a space of features made from the user's own images.

image --four times (convolution, GroupNorm, SiLU, halving)--> pixels --mean--> features --matrix--> class scores
"""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from sfumato.networks.blocks import Dimensions, channels_last, convolution, pad_to_multiple
from sfumato.networks.normalisation import groups_of
from sfumato.typing import Data

LEVELS = 4


class Classifier(nn.Module):
    """Images in [-1, 1] of any size -> class scores.

    Args:
        channels_in: channels of an image.
        classes: number of classes.
        channels: width of the first level; it doubles once, at the second.
        dimensions: 2 for images, 3 for volumes.
    """

    def __init__(self, *, channels_in: int, classes: int, channels: int = 32, dimensions: Dimensions = 2) -> None:
        super().__init__()
        self.dimensions = dimensions
        widths = [channels_in, channels, *[2 * channels] * (LEVELS - 1)]
        pool = nn.AvgPool2d if dimensions == 2 else nn.AvgPool3d
        self.body = nn.Sequential()
        for narrow, wide in pairwise(widths):
            self.body.append(convolution(narrow, wide, kernel=3, dimensions=dimensions))
            self.body.append(nn.GroupNorm(groups_of(wide), wide))
            self.body.append(nn.SiLU())
            self.body.append(pool(2))
        self.head = nn.Linear(widths[-1], classes)

    def features(self, images: Data) -> Float[Tensor, "b d"]:
        """The features before the last matrix, one row for each image."""
        padded = pad_to_multiple(images, 2**LEVELS).contiguous(memory_format=channels_last(self.dimensions))
        features: Tensor = self.body(padded).flatten(2).mean(2)
        return features

    def forward(self, images: Data) -> Float[Tensor, "b classes"]:
        """Class scores."""
        scores: Tensor = self.head(self.features(images))
        return scores
