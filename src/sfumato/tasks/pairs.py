"""Images with masks: what of a pair is diffused, and what the network is shown beside it.

    joint             x0 = [image, one-hot mask]                  both are sampled together
    image_from_mask   x0 = image, the one-hot mask is shown       zeros in its place mean 'no mask'
    mask              x0 = one-hot mask                           the model that masks are drawn from
    none              x0 = image                                  masks, if there are any, are not looked at

One-hot masks have all classes with the background, in [-1, 1]; in a finished x0 the largest channel is the class.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.data.spec import Spec
from sfumato.recipe import Pairs
from sfumato.tasks.segment import signed_one_hot
from sfumato.typing import Data, Masks

Joined = Float[Tensor, "b joined *space"]
"""Image and one-hot mask in the channels of one array, or one of them."""

Beside = Float[Tensor, "b shown *space"]
"""One-hot masks that images are made from."""


class _Parted(NamedTuple):
    """What was made, by its parts; None where there is no such part.

    Attributes:
        images: (b, c, *space), about in [-1, 1].
        masks: class indices (b, *space), int64.
    """

    images: Data | None
    masks: Masks | None


class Layout(NamedTuple):
    """Which channels are the image and which the mask.

    Attributes:
        pairs: what is made of a pair.
        channels: of images.
        classes: of masks, with the background; 0 where masks are not looked at.
    """

    pairs: Pairs
    channels: int
    classes: int = 0

    @classmethod
    def of(cls, pairs: Pairs, spec: Spec) -> "Layout":
        """The layout of a model's data."""
        return cls(pairs, spec.channels, 0 if pairs == "none" else len(spec.mask_classes))

    @property
    def paired(self) -> bool:
        """Whether masks are looked at."""
        return self.pairs != "none"

    @property
    def from_mask(self) -> bool:
        """Whether images are made from masks."""
        return self.pairs == "image_from_mask"

    @property
    def state(self) -> int:
        """Channels of x0."""
        return {"joint": self.channels + self.classes, "mask": self.classes}.get(self.pairs, self.channels)

    @property
    def beside(self) -> int:
        """Channels that are shown beside the state."""
        return self.classes if self.from_mask else 0

    @property
    def contents(self) -> str:
        """What x0 is, in words."""
        return {"joint": "images with their masks", "mask": "masks"}.get(self.pairs, "images")

    def states(self, images: Data, masks: Masks | None) -> Joined:
        """x0 of images and their masks, which are not needed where they are no part of it."""
        if masks is None or self.pairs in ("none", "image_from_mask"):
            return images
        hot = signed_one_hot(masks, self.classes)
        return hot if self.pairs == "mask" else torch.cat([images, hot], 1)

    def shown(self, masks: Masks | None) -> Beside | None:
        """What is shown beside the state; None if nothing is."""
        return signed_one_hot(masks, self.classes) if self.from_mask and masks is not None else None

    def parted(self, x0: Joined) -> _Parted:
        """The parts of finished states."""
        match self.pairs:
            case "joint":
                return _Parted(x0[:, : self.channels], x0[:, self.channels :].argmax(1))
            case "mask":
                return _Parted(None, x0.argmax(1))
            case _:
                return _Parted(x0, None)
