"""What a validation of a segmenter looks at: held-out images, and how masks of them are scored.

Images are looked at whole, but of a large one that patches are cut from a part (`Patches.judged`): a validation must
not take longer than the training between two of them. `evaluate masks` scores whole images.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np

from sfumato.data.dataset import Dataset
from sfumato.data.mask import IGNORED
from sfumato.data.ragged import cut_out
from sfumato.metrics.overlap import Overlap, overlap, summarise_overlap
from sfumato.randomness import Noise, derive_seed
from sfumato.recipe import SegmentMetric
from sfumato.tasks.constant_mask import ConstantMask, best_constant_mask
from sfumato.tasks.patches import ImageBox, Patches
from sfumato.typing import Data


@dataclass(frozen=True)
class HeldOut:
    """Held-out images and their first readers' masks.

    Args:
        dataset: the dataset.
        rows: which of its cases.
        patches: what is cut out of the images to train on; None for whole images.
        seed: decides which part of a large image is looked at, always the same.
    """

    dataset: Dataset
    rows: Sequence[int]
    patches: Patches | None
    seed: int

    @cached_property
    def boxes(self) -> dict[int, ImageBox]:
        """Which part of its image is looked at, by the row of the case."""
        return {row: self._box(row) for row in self.rows}

    def _box(self, row: int) -> ImageBox:
        if self.patches is None:
            return ImageBox((0,) * len(self.dataset.size(row)), self.dataset.size(row))
        return self.patches.judged(row, Noise([derive_seed(self.seed, "judged", self.dataset.cases[row].id)]))

    def together(self, rows: Sequence[int], at_most: int) -> Iterator[list[int]]:
        """The rows in their order, in lists of at most so many whose parts have one size."""
        for _, group in groupby(rows, key=lambda row: self.boxes[row].size):
            same = list(group)
            yield from (same[start : start + at_most] for start in range(0, len(same), at_most))

    def images(self, rows: Sequence[int], device: str = "cpu") -> Data:
        """What is looked at of images, all of one size; float32 in [-1, 1]."""
        boxes = [self.boxes[row] for row in rows]
        return self.dataset.image_crops(rows, [box.corner for box in boxes], boxes[0].size, device)

    def truth(self, row: int) -> np.ndarray:
        """Class index of each pixel (*space) of what is looked at of an image."""
        return cut_out(self.dataset.mask(row), *self.boxes[row])

    def scores(self, predicted: Iterable[np.ndarray]) -> dict[str, float]:
        """Dice and IoU of a mask for each row, mean over foreground classes."""
        summary = summarise_overlap([self._overlap(row, mask) for row, mask in zip(self.rows, predicted, strict=True)])
        return {name: float(np.mean([getattr(each, name) for each in summary])) for name in ("dice", "iou")}

    def empty(self) -> dict[str, float]:
        """The scores of masks of background alone."""
        return self.scores(np.zeros(self.boxes[row].size, np.uint8) for row in self.rows)

    def constant(self, metric: SegmentMetric) -> ConstantMask:
        """The mask that is best for all rows alike."""

        def score(row: int, mask: np.ndarray) -> float:
            return float(getattr(self._overlap(row, cut_out(mask, *self.boxes[row])), metric).mean())

        return best_constant_mask(self.dataset, self.rows, score)

    def _overlap(self, row: int, mask: np.ndarray) -> Overlap:
        """Where the reader says something."""
        truth = self.truth(row)
        said, classes = truth != IGNORED, len(self.dataset.spec.mask_classes)
        return overlap(mask[said], truth[said], classes=classes, case=self.dataset.cases[row].id)
