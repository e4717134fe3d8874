"""Which repairs of drawn masks help, by the validation cases: chosen for each class, and none where nothing helps.

The candidates of a class are the repairs of `metrics.components`: its largest component alone, its holes filled, and no
component smaller than the share `QUANTILES` of those that readers outlined. One after another the best is taken, on top
of those that were taken before, as long as there is one

    whose mean gain in Dice of the class is above `MARGIN`                         it is worth it             (1)
    and which lowers the Dice of no more cases than it raises                      paired by the case         (2)

over the masks of the ensembles, in the model's size, each with the mean over readers. A repair changes pixels of its
own class and the background alone, so the Dice of other classes stays as it is, and the mean over classes rises too.
The gain was chosen as the largest one on these very cases: on others expect a little less.

Volumes are repaired plane by plane, as the validation cases are planes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from sfumato.data.dataset import Dataset
from sfumato.data.mask import IGNORED
from sfumato.evaluation.review import FEWEST_CASES
from sfumato.experiment.fewest_steps import ensembles
from sfumato.experiment.mask_sampling import MaskDrawing
from sfumato.experiment.run import Model
from sfumato.metrics.components import component_sizes, drop_small, fill_holes, keep_largest
from sfumato.metrics.ensemble import Readers, mean_probability
from sfumato.metrics.overlap import IndexMask
from sfumato.tasks.readers import reader_dice, readers_of

MARGIN = 0.002
"""Gain in mean Dice of a class above which a repair is worth it."""

QUANTILES = (0.0, 0.05, 0.1, 0.25)
"""Shares of the readers' components, the smallest of them, that a least size would drop: none, then a few."""

_DIGITS = 6
"""Decimals that are kept of what was measured."""

RepairKind = Literal["largest", "holes", "least"]
"""Only the largest component; holes filled; no component below the least size."""

_Scores = Float[np.ndarray, " n"]


class Repair(NamedTuple):
    """What is done to one class of a mask.

    Attributes:
        mask_class: index of the class.
        kind: what is done.
        least: pixels of the smallest component that stays, in the model's size; 0 of other kinds.
    """

    mask_class: int
    kind: RepairKind
    least: int = 0

    def of(self, mask: IndexMask, *, scale: float = 1.0) -> IndexMask:
        """A mask repaired; `scale` is how many of its pixels are one in the model's size."""
        match self.kind:
            case "largest":
                return keep_largest(mask, self.mask_class)
            case "holes":
                return fill_holes(mask, self.mask_class)
            case "least":
                return drop_small(mask, self.mask_class, least=self.least * scale)

    def words(self, names: Sequence[str]) -> str:
        """What is done, with the names of all classes."""
        name = names[self.mask_class] if self.mask_class < len(names) else f"class {self.mask_class}"
        match self.kind:
            case "largest":
                return f"only the largest component of {name}"
            case "holes":
                return f"holes of {name} filled"
            case "least":
                return f"no component of {name} below {self.least} pixels of the model"


class ChosenRepair(NamedTuple):
    """A repair, and what it did to the validation cases on top of those before it.

    Attributes:
        repair: the repair.
        gain: in mean Dice of its class.
        higher: cases whose Dice it raised.
        lower: cases whose Dice it lowered.
    """

    repair: Repair
    gain: float
    higher: int
    lower: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON, flat."""
        return {**self.repair._asdict(), "gain": self.gain, "higher": self.higher, "lower": self.lower}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "ChosenRepair":
        """The inverse of `to_dict`."""
        return cls(Repair(raw["mask_class"], raw["kind"], raw["least"]), raw["gain"], raw["higher"], raw["lower"])


@dataclass(frozen=True, kw_only=True)
class Postprocessing:
    """The repairs that help the masks of a model, in their order; for one way of drawing masks.

    Attributes:
        chosen: the repairs.
        cases: validation cases that they were chosen on.
    """

    chosen: tuple[ChosenRepair, ...]
    cases: int

    def of(self, mask: IndexMask, *, scale: float = 1.0) -> IndexMask:
        """A mask with all repairs.

        Args:
            mask: class indices of an image or a plane (h, w), in any size.
            scale: how many of its pixels are one in the model's size.
        """
        for each in self.chosen:
            mask = each.repair.of(mask, scale=scale)
        return mask

    def words(self, names: Sequence[str]) -> str:
        """All repairs, with the names of all classes; empty where there is none."""
        return "; ".join(each.repair.words(names) for each in self.chosen)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"chosen": [each.to_dict() for each in self.chosen], "cases": self.cases}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "Postprocessing":
        """The inverse of `to_dict`."""
        return cls(chosen=tuple(map(ChosenRepair.from_dict, raw["chosen"])), cases=raw["cases"])


def measure_postprocessing(
    model: Model, dataset: Dataset, rows: Sequence[int], *, drawing: MaskDrawing
) -> Postprocessing:
    """Draw the ensembles of cases and choose what helps their masks.

    Args:
        model: the model.
        dataset: the dataset that it was trained on.
        rows: cases of `dataset`.
        drawing: how each ensemble is drawn; its seed does not count.
    """
    drawn = ensembles(
        model,
        drawing.each.sampler,
        dataset,
        rows,
        members=drawing.count,
        batch=drawing.batch,
        seed=0,
        start=drawing.start,
        tta=drawing.tta,
        guidance=drawing.each.guidance,
    )
    masks = [mean_probability(ensemble).argmax(0).astype(np.uint8) for ensemble in drawn]
    return choose_repairs(masks, [readers_of(dataset, row) for row in rows], classes=len(model.spec.mask_classes))


def choose_repairs(masks: Sequence[IndexMask], readers: Sequence[Readers], *, classes: int) -> Postprocessing:
    """The repairs that help, by equations (1) and (2); none where there are fewer than `FEWEST_CASES` cases.

    Args:
        masks: the mask of each ensemble, (*space) class indices.
        readers: of each case the masks of those who outlined it (readers, *space); 255 where nothing is said.
        classes: number of classes, with the background.
    """
    chosen = list[ChosenRepair]()
    if len(masks) >= FEWEST_CASES:
        for mask_class in range(1, classes):
            helpful = _helpful(masks, readers, _candidates(readers, mask_class))
            chosen += helpful
            masks = [_repaired(mask, helpful) for mask in masks]
    return Postprocessing(chosen=tuple(chosen), cases=len(masks))


def _repaired(mask: IndexMask, chosen: Sequence[ChosenRepair]) -> IndexMask:
    return Postprocessing(chosen=tuple(chosen), cases=0).of(mask)


def _candidates(readers: Sequence[Readers], mask_class: int) -> list[Repair]:
    """What may be done to a class."""
    found = [component_sizes(mask, mask_class) for of_case in readers for mask in of_case]
    sizes = np.concatenate([*found, np.zeros(0, np.intp)])
    least = sorted({int(np.quantile(sizes, share)) for share in QUANTILES}) if len(sizes) else []
    repairs = [Repair(mask_class, "largest"), Repair(mask_class, "holes")]
    return repairs + [Repair(mask_class, "least", pixels) for pixels in least if pixels > 1]


def _helpful(
    masks: Sequence[IndexMask], readers: Sequence[Readers], candidates: Sequence[Repair]
) -> list[ChosenRepair]:
    """The best candidates of a class, each on top of the one before, and each kind once."""
    chosen = list[ChosenRepair]()
    while candidates and (best := _best(masks, readers, candidates)) is not None:
        chosen.append(best)
        masks = [best.repair.of(mask) for mask in masks]
        candidates = [each for each in candidates if each.kind != best.repair.kind]
    return chosen


def _best(masks: Sequence[IndexMask], readers: Sequence[Readers], candidates: Sequence[Repair]) -> ChosenRepair | None:
    """The candidate with the largest gain of those that help; the first of equal ones."""
    before = _dice(masks, readers, candidates[0].mask_class)
    tried = [
        _compared(repair, _dice([repair.of(mask) for mask in masks], readers, repair.mask_class) - before)
        for repair in candidates
    ]
    helping = [each for each in tried if each.gain > MARGIN and each.lower <= each.higher]
    return max(helping, key=lambda each: each.gain, default=None)


def _compared(repair: Repair, differences: _Scores) -> ChosenRepair:
    gain, higher, lower = differences.mean(), (differences > 0).sum(), (differences < 0).sum()
    return ChosenRepair(repair, round(float(gain), _DIGITS), int(higher), int(lower))


def _dice(masks: Sequence[IndexMask], readers: Sequence[Readers], mask_class: int) -> _Scores:
    """Dice of one class in each case, mean over readers."""
    return np.array(
        [
            reader_dice((mask == mask_class).astype(np.uint8), _one_class(of_case, mask_class), 2)
            for mask, of_case in zip(masks, readers, strict=True)
        ]
    )


def _one_class(readers: Readers, mask_class: int) -> Readers:
    """The masks of readers with one class alone, still silent where they say nothing."""
    return np.where(readers == IGNORED, IGNORED, readers == mask_class).astype(np.uint8)
