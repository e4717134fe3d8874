"""Attempts at pairs: an image and its mask from a seed, and whether the pair is kept."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from sfumato.data.mask import MaskRule
from sfumato.evaluation.pairs.check import Check
from sfumato.evaluation.pairs.sources import MaskSource
from sfumato.experiment.inference import GeneratedImage, SampleRequest, make
from sfumato.experiment.run import Model
from sfumato.experiment.sampling import Drawing

JOINT = "joint"
"""Source of a mask that was made together with its image."""


class Pair(NamedTuple):
    """One attempt.

    Attributes:
        wanted: number, class and seed, from which all follows.
        image: uint8 (h, w, c).
        mask: class indices (h, w) uint8.
        source: where the mask comes from.
        dice: with what a segmenter reads in the image; None where nobody looked.
        kept: whether the pair is good enough.
    """

    wanted: SampleRequest
    image: np.ndarray
    mask: np.ndarray
    source: str
    dice: float | None
    kept: bool


@dataclass(frozen=True, kw_only=True)
class Maker:
    """Everything that makes pairs.

    Attributes:
        model: trained with `data.pairs` joint or image_from_mask.
        drawing: how each image is drawn.
        masks: where masks come from; None where they are made with their images.
        check: which pairs are kept; None: all.
    """

    model: Model
    drawing: Drawing
    masks: MaskSource | None = None
    check: Check | None = None

    @cached_property
    def calls(self) -> int:
        """Network calls of one attempt: of the image, of a mask that is drawn, of the segmenter."""
        of_mask = 0 if self.masks is None else self.masks.calls
        of_check = 0 if self.check is None else self.check.reader.calls
        return self.drawing.calls + of_mask + of_check

    def pairs(
        self, wanted: Sequence[SampleRequest], *, batch: int, tell: Callable[[str], object] = warnings.warn
    ) -> Iterator[Pair]:
        """An attempt for each seed, `batch` at a time; each depends on its seed and class alone."""
        for start in range(0, len(wanted), batch):
            yield from self._together(wanted[start : start + batch], batch, tell)

    def _together(self, part: Sequence[SampleRequest], batch: int, tell: Callable[[str], object]) -> Iterator[Pair]:
        given = None if self.masks is None else self.masks(part)
        asked = part if given is None else [w._replace(mask=g.mask) for w, g in zip(part, given, strict=True)]
        sampler, guidance, _ = self.drawing
        made = list(make(self.model, sampler, asked, batch=batch, guidance=guidance, tell=tell))
        masks = [_mask_of(each) for each in made]
        sources = [JOINT] * len(made) if given is None else [each.source for each in given]
        dice = self._dice([each.image for each in made], masks, part)
        for place, each in enumerate(made):
            kept = self.check is None or self.check.keeps(dice[place] or 0.0)
            yield Pair(part[place], each.image, masks[place], sources[place], dice[place], kept)

    def _dice(
        self, images: Sequence[np.ndarray], masks: Sequence[np.ndarray], part: Sequence[SampleRequest]
    ) -> Sequence[float | None]:
        if self.check is None:
            return [None] * len(images)
        names = [f"{image.label}/{image.seed}" for image in part]
        return self.check.dice(np.stack(images), np.stack(masks), names)


def _mask_of(made: GeneratedImage) -> np.ndarray:
    """The mask that was made with an image, or the one that it was made from."""
    mask = made.wanted.mask if made.mask is None else made.mask
    assert mask is not None, "each pair has a mask"
    return mask


def stored_mask(mask: np.ndarray, rule: MaskRule) -> np.ndarray:
    """Class indices in the numbers in which the masks of the training data are stored; uint8, or uint16 if need be."""
    values = np.array(rule.values if rule.threshold is None else (0, 255))
    stored: np.ndarray = values.astype(np.uint8 if values.max() <= 255 else np.uint16)[mask]
    return stored
