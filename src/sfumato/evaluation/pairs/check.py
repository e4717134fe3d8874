"""Which pairs are kept: those whose image a segmenter, trained on real images, reads as the mask says.

With the segmenter's mask s(x) of an image x, and the real validation cases (x_i, y_i) that it was not trained on,

    threshold = quantile_q of Dice(s(x_i), y_i)                                                            (1)
    a pair (x, y) is kept when Dice(s(x), y) >= threshold                                                  (2)

so that a share q of real cases would be turned away too: the check asks for no more than reality gives. The Dice of a
case is the mean over foreground classes, and over readers where there are several; a class that both masks lack counts
1. Where no real case is without foreground, a pair without counts 0.

A segmenter that reads nothing agrees with anything. So it is compared with the best constant mask on the same cases
(`tasks.constant_mask`), and beside (1) stands what it is worth: the Dice of s(x_i) with the mask of the *next* case,
which should lie below it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from sfumato.data.dataset import Dataset
from sfumato.data.mask import IGNORED
from sfumato.diffusion.loss import probabilities
from sfumato.errors import UsageError, listed
from sfumato.experiment.run import Model
from sfumato.metrics.overlap import overlap
from sfumato.randomness import derive_seed
from sfumato.tasks.constant_mask import BesideConstant, best_constant_mask, compare_with_constant, patients_of
from sfumato.tasks.readers import readers_of
from sfumato.tasks.segment import draw_masks
from sfumato.tasks.task import Sampler, last
from sfumato.typing import Data


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A segmenter as it reads images: the mean of its members, decided.

    Attributes:
        model: trained to segment.
        sampler: how each member is drawn.
        members: masks drawn for each image.
    """

    model: Model
    sampler: Sampler
    members: int

    @classmethod
    def of(cls, model: Model) -> "Reader":
        """As its recipe draws, from noise; a deterministic model has one member."""
        alone = model.recipe.process.kind == "none"
        members = 1 if alone else model.recipe.sample.samples
        return cls(model=model, sampler=model.sampler(start="noise"), members=members)

    @property
    def calls(self) -> int:
        """Network calls for each image."""
        return self.members * self.model.calls(self.sampler)

    def masks(self, images: Data, names: Sequence[str]) -> np.ndarray:
        """Class indices (b, h, w) of images in [-1, 1]; the noise follows from their names."""
        count = self.members
        seeds = [derive_seed("resegment", name, member) for name in names for member in range(count)]
        steps = draw_masks(
            self.model.process,
            self.model.network,
            self.sampler,
            images.to(self.model.device).repeat_interleave(count, 0),
            len(self.model.spec.mask_classes),
            seeds=seeds,
            window=self.model.window,
        )
        drawn = probabilities(last(steps).x0)
        mean = drawn.view(len(images), count, *drawn.shape[1:]).mean(1)
        return mean.argmax(1).to(torch.uint8).cpu().numpy()


@dataclass(frozen=True, kw_only=True)
class Check:
    """Equations (1) and (2).

    Attributes:
        reader: reads the generated images.
        real: Dice of its masks of real validation cases.
        quantile: q.
        may_be_empty: whether a real case is without foreground.
        mismatched: Dice of its masks of the same cases with the masks of other ones.
        constant: the segmenter beside the best constant mask; None where nobody looked.
    """

    reader: Reader
    real: tuple[float, ...]
    quantile: float
    may_be_empty: bool
    mismatched: tuple[float, ...] = ()
    constant: BesideConstant | None = None

    @classmethod
    def of(cls, model: Model, dataset: Dataset, *, quantile: float, batch: int = 32) -> "Check":
        """The check by a segmenter on the dataset that it was trained on.

        Args:
            model: trained to segment.
            dataset: its dataset; the validation split is read.
            quantile: share of real cases that may lie below the threshold.
            batch: cases read at once.

        Raises:
            UsageError: a quantile outside [0, 1), or no case to validate on.
        """
        rows, reader = dataset.rows("validation"), Reader.of(model)
        if not 0 <= quantile < 1:
            raise UsageError(f"--quantile {quantile:g}", expected="a share from 0 to below 1, such as 0.1")
        if not rows:
            raise UsageError("the segmenter's dataset has no validation cases, so nobody knows how well it reads")
        real, mismatched = list[float](), list[float]()
        for start in range(0, len(rows), batch):
            part = rows[start : start + batch]
            masks = reader.masks(dataset.images(part), [dataset.cases[row].id for row in part])
            real += [_real_dice(dataset, row, mask) for row, mask in zip(part, masks, strict=True)]
            others = [_next(rows, start + place) for place in range(len(part))]
            mismatched += [_real_dice(dataset, other, mask) for other, mask in zip(others, masks, strict=True)]
        constant = best_constant_mask(dataset, rows, partial(_real_dice, dataset))
        return cls(
            reader=reader,
            real=tuple(real),
            quantile=quantile,
            may_be_empty=any(_is_empty(dataset, row) for row in [*dataset.rows("train"), *rows]),
            mismatched=tuple(mismatched) if len(rows) > 1 else (),
            constant=compare_with_constant(np.array(real), constant, patients_of(dataset, rows)),
        )

    @property
    def threshold(self) -> float:
        """Equation (1)."""
        return float(np.quantile(self.real, self.quantile))

    @property
    def below(self) -> int:
        """How many real cases the threshold leaves below itself."""
        return sum(not self.keeps(dice) for dice in self.real)

    @property
    def kept_by_chance(self) -> float | None:
        """Share of the real cases that would be kept with the mask of another one; None with a single case."""
        return float(np.mean([self.keeps(dice) for dice in self.mismatched])) if self.mismatched else None

    def keeps(self, dice: float) -> bool:
        """Equation (2)."""
        return dice >= self.threshold

    def dice(self, images: np.ndarray, masks: np.ndarray, names: Sequence[str]) -> list[float]:
        """Dice of the masks of generated images with what the segmenter reads.

        Args:
            images: (b, h, w, c) uint8.
            masks: class indices (b, h, w) that the images were made with.
            names: of the images, which decide the noise of the segmenter.
        """
        data = torch.from_numpy(images).movedim(-1, 1).float() / 127.5 - 1
        classes = len(self.reader.model.spec.mask_classes)
        return [
            0.0 if not mask.any() and not self.may_be_empty else _dice(read, mask, classes)
            for read, mask in zip(self.reader.masks(data, names), masks, strict=True)
        ]

    def summary(self) -> dict[str, Any]:
        """For a summary."""
        return {
            "segmenter": self.reader.model.sha256,
            "quantile": self.quantile,
            "threshold": self.threshold,
            "real_cases": len(self.real),
            "real_below": self.below,
            "real_dice_median": float(np.median(self.real)),
            "kept_by_chance": self.kept_by_chance,
            "constant_mask": None if self.constant is None else self.constant.to_dict(),
        }


def check_fits(reader: Model, model: Model) -> None:
    """Whether a segmenter, or a model of masks, sees what a generator makes.

    Raises:
        UsageError: it was trained on other sizes, channels, intensities or classes of pixels.
    """
    names = ("size", "channels", "mask_classes")
    pairs = {name: (getattr(reader.spec, name), getattr(model.spec, name)) for name in names}
    pairs["intensity"] = (reader.spec.intensity[:3], model.spec.intensity[:3])
    other = [f"{name}: {theirs} and {ours}" for name, (theirs, ours) in pairs.items() if theirs != ours]
    if other:
        raise UsageError(
            f"{reader.name} and {model.name} were trained on data prepared in other ways:\n{listed(other)}",
            remedy="train both on one prepared dataset",
        )


def _next(rows: Sequence[int], place: int) -> int:
    """The row after that at a place, in a circle."""
    return rows[(place + 1) % len(rows)]


def _real_dice(dataset: Dataset, row: int, mask: np.ndarray) -> float:
    """Mean over the readers of a case, each where he says something."""
    classes, scores = len(dataset.spec.mask_classes), list[float]()
    for truth in readers_of(dataset, row):
        scores.append(_dice(mask[truth != IGNORED], truth[truth != IGNORED], classes))
    return float(np.mean(scores))


def _dice(mask: np.ndarray, truth: np.ndarray, classes: int) -> float:
    return float(overlap(mask, truth, classes=classes).dice.mean())


def _is_empty(dataset: Dataset, row: int) -> bool:
    masks = readers_of(dataset, row)
    return bool(((masks == 0) | (masks == IGNORED)).all((1, 2)).any())
