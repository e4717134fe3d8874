"""How near the images of a model lie to held-out ones while it trains: the kernel distance in the space of pixels.

It costs few images and no other network; it sees intensities and coarse shapes. Its value is 0 in the mean for perfect
images, and at times slightly below.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sfumato.data.dataset import Dataset
from sfumato.metrics.fidelity import Features, PixelSpace, kid
from sfumato.typing import Data


@dataclass(frozen=True)
class ImageDistance:
    """Held-out images to compare with, in a space that training images span.

    Attributes:
        dataset: the prepared dataset.
        rows: held-out rows.
        train_rows: rows that span the space.
        images: how many images are to be drawn for a comparison.
    """

    dataset: Dataset
    rows: Sequence[int]
    train_rows: Sequence[int]
    images: int

    def distance(self, images: Data) -> float:
        """Kernel distance of generated images (n, c, h, w) in [-1, 1] to the held-out ones."""
        return kid(self._space.features(images.cpu().numpy()), self._real)

    @cached_property
    def _space(self) -> PixelSpace:
        return PixelSpace.of(self._pixels(self.train_rows))

    @cached_property
    def _real(self) -> Features:
        return self._space.features(self._pixels(self.rows))

    def _pixels(self, rows: Sequence[int]) -> np.ndarray:
        return self.dataset.images(rows).numpy()
