"""One picture seen in several ways: the symmetries of a rectangle or square, for test-time augmentation.

A view is a number, the sum of

    1    left and right swapped
    2    up and down swapped
    4    rows and columns swapped after that; of squares only                                               (1)

so 0 is the picture as it is, 0 to 3 are all views of a rectangle and 0 to 7 those of a square. An ensemble of views is
what a deterministic model can say with as many network calls as a diffusion model makes.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.typing import Data

Turned = Float[Tensor, "b c height width"]
"""Images that may have other sides than before."""


def views_of(size: Sequence[int] | None) -> int:
    """How many views there are of pictures of a size (h, w); None: of any size."""
    return 8 if size is not None and size[-1] == size[-2] else 4


def turn_images(images: Data, views: Sequence[int]) -> Turned:
    """Each image in its view, equation (1); the very same where none is turned."""
    if not any(views):
        return images
    return torch.stack([_swapped(_flipped(image, view), view) for image, view in zip(images, views, strict=True)])


def turn_back(images: Data, views: Sequence[int]) -> Turned:
    """The inverse of `turn_images`."""
    if not any(views):
        return images
    return torch.stack([_flipped(_swapped(image, view), view) for image, view in zip(images, views, strict=True)])


def _flipped(image: Tensor, view: int) -> Tensor:
    return image.flip([axis for bit, axis in ((1, -1), (2, -2)) if view & bit])


def _swapped(image: Tensor, view: int) -> Tensor:
    return image.transpose(-1, -2) if view & 4 else image
