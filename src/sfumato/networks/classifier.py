"""A small convolutional classifier: a downstream model, and a space of features made from the user's own images.

image --four times (convolution, GroupNorm, SiLU, halving)--> pixels --mean--> features --matrix--> class scores

Any classifier of the package timm takes its place as a downstream model, by its name there.
"""

from importlib import import_module
from itertools import pairwise
from typing import Any, cast

from jaxtyping import Float
from torch import Tensor, nn

from sfumato.errors import UsageError
from sfumato.networks.blocks import Dimensions, channels_last, convolution, pad_to_multiple
from sfumato.networks.normalisation import groups_of
from sfumato.shortage import raise_shortage
from sfumato.typing import Data

_LEVELS = 4

SMALL, TIMM = "small", "timm:"
"""The built-in classifier, and how a name in timm begins."""


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
        widths = [channels_in, channels, *[2 * channels] * (_LEVELS - 1)]
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
        padded = pad_to_multiple(images, 2**_LEVELS).contiguous(memory_format=channels_last(self.dimensions))
        features: Tensor = self.body(padded).flatten(2).mean(2)
        return features

    def forward(self, images: Data) -> Float[Tensor, "b classes"]:
        """Class scores."""
        scores: Tensor = self.head(self.features(images))
        return scores


def make_classifier(name: str, *, channels_in: int, classes: int) -> nn.Module:
    """A classifier with random weights, from torch's own generator.

    Args:
        name: `small`, or `timm:NAME`, such as timm:resnet18.
        channels_in: channels of an image.
        classes: number of classes.

    Raises:
        UsageError: there is no such classifier, or timm cannot be imported.
    """
    if name == SMALL:
        return Classifier(channels_in=channels_in, classes=classes)
    if not name.startswith(TIMM):
        raise UsageError(f"there is no classifier {name}", expected=f"{SMALL}, or {TIMM}NAME such as {TIMM}resnet18")
    timm = _timm()
    try:
        network = timm.create_model(
            name.removeprefix(TIMM), pretrained=False, in_chans=channels_in, num_classes=classes
        )
    except (RuntimeError, TypeError) as error:
        raise_shortage(error, reading=name)
        raise UsageError(f"timm does not make {name}: {error}", expected="a name of timm.list_models()") from error
    return cast(nn.Module, network)


def _timm() -> Any:
    """The package, which needs a torchvision that was built for this torch: others fail in many ways."""
    try:
        return import_module("timm")
    except (ImportError, RuntimeError, AttributeError) as error:
        raise_shortage(error, reading=TIMM)
        raise UsageError(
            f"this needs the package timm, which cannot be imported ({error})",
            remedy=f"pip install timm, with the torchvision that goes with your torch; or --network {SMALL}",
        ) from error
