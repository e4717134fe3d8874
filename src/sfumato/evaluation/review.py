"""Which cases to look at first: the error to expect of a mask, given what the ensemble says.

With the mean probability p of the members and the mask m = argmax p, both one-hot over the foreground classes c,

    own error = 1 - 2 sum m_c p_c / sum (m_c + p_c)          what the model itself expects of 1 - Dice            (1)

with sums over pixels and classes; 1 for an empty mask, whatever the image. Filled and empty masks fail differently: one
is more or less right, the other right or all wrong. So there are two lines, fitted by least squares with slopes >= 0 to
the error 1 - Dice of validation cases (mean over readers and classes),

    expected error = a + b own error           of filled masks                                                    (2)
                   = a' + b' uncertainty       of empty masks, `image_uncertainty`: near the likeliest pixel      (3)

within [0, 1]. A kind of mask with fewer than `FEWEST_CASES` validation cases has no line of its own: (2) is fitted to
all of them, so where the model never left an image empty, an empty mask comes first. How well the order agrees with the
error is told by the rank correlation of errors expected from the cases of *other* patients.

Chosen among 17 candidates on two data sets (64 px, 60 validation cases each, 2 and 4 members; the test splits were
looked at as well). Lines on entropy or isotonic regression of it expected less well in cross-validation. Lines on
agreement were as good or slightly better there, ridge regression of all signs clearly better on one data set; on the
test splits neither was better throughout, and agreement needs a second member.

The planes of a volume are put together by the identity 1 - Dice = sum w_i (1 - Dice_i) / sum w_i, w_i = |A_i| + |B_i|,
with the expected size of the reference, sum p, in place of |B_i|.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from sfumato.data.dataset import Dataset
from sfumato.diffusion.guidance import UNGUIDED, Guidance
from sfumato.experiment.fewest_steps import ensembles
from sfumato.experiment.inference import Twin
from sfumato.experiment.run import Model
from sfumato.metrics.ensemble import Members, image_uncertainty, mean_probability, one_hot
from sfumato.metrics.selective import spearman
from sfumato.slabs import slabs
from sfumato.tasks.constant_mask import best_constant_mask, compare_with_constant, patients_of
from sfumato.tasks.readers import reader_dice, readers_of
from sfumato.tasks.task import Sampler

_CASES = 60
"""Validation cases that are drawn, at most."""

FEWEST_CASES = 10
"""Validation cases from which a line is fitted, at least."""

_DIGITS = 6
"""Decimals that are kept of what was fitted."""

_Numbers = Float[np.ndarray, " n"]


class UncertaintyFeatures(NamedTuple):
    """What a mask says about its own error, in the model's size.

    Attributes:
        own_error: equation (1), in [0, 1].
        uncertainty: entropy around the foreground, in [0, 1].
        filled: whether there is any foreground.
        size: pixels of the mask and expected pixels of the reference: the weight of a plane in its volume.
    """

    own_error: float
    uncertainty: float
    filled: bool
    size: float


class FittedLine(NamedTuple):
    """error = offset + slope * sign."""

    offset: float
    slope: float


@dataclass(frozen=True, kw_only=True)
class ErrorRegression:
    """How signs become an expected error, for one way of drawing masks.

    Attributes:
        filled: equation (2).
        empty: equation (3), or (2) again where too few masks were empty; `empty_by` says which.
        empty_by: the sign that `empty` is of.
        cases: validation cases that it was fitted to.
        spearman: rank correlation of expected and true error over these, each expected from other patients; None where
            all are equal.
        constant: the masks of these cases beside the best constant mask, as plain data with `told` in words; empty
            where nobody looked, as up to version 0.1.
    """

    filled: FittedLine
    empty: FittedLine
    empty_by: str
    cases: int
    spearman: float | None
    constant: Mapping[str, Any] = field(default_factory=dict)

    def expected_error(self, planes: Sequence[UncertaintyFeatures]) -> float:
        """1 - Dice to expect of an image, or of a volume by its planes; in [0, 1]."""
        errors = [self._expected(uncertainty_features) for uncertainty_features in planes]
        sizes = np.array([uncertainty_features.size for uncertainty_features in planes])
        return float(np.average(errors, weights=sizes if sizes.sum() > 0 else None))

    def _expected(self, uncertainty_features: UncertaintyFeatures) -> float:
        line, sign = (self.filled, "own_error") if uncertainty_features.filled else (self.empty, self.empty_by)
        return float(np.clip(line.offset + line.slope * getattr(uncertainty_features, sign), 0, 1))

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self) | {"filled": list(self.filled), "empty": list(self.empty)}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "ErrorRegression":
        """The inverse of `to_dict`."""
        return cls(**{**raw, "filled": FittedLine(*raw["filled"]), "empty": FittedLine(*raw["empty"])})


def uncertainty_features(members: Members) -> UncertaintyFeatures:
    """The signs of an ensemble, in the model's size; of large volumes some planes at a time."""
    parts = slabs(members.shape[2:])
    size = shared = 0.0
    probability = np.empty(members.shape[1:], np.float64 if len(parts) == 1 else np.float32)
    for part in parts:
        probability[:, part] = mean = mean_probability(members[:, :, part])
        mask = mean.argmax(axis=0)
        size += float((mask > 0).sum() + mean[1:].sum())
        shared += float((one_hot(mask[None], classes=len(mean))[0] * mean)[1:].sum())
    return UncertaintyFeatures(
        own_error=1.0 - 2.0 * shared / size if size > 0 else 1.0,
        uncertainty=image_uncertainty(probability),
        filled=bool((probability[1:] > probability[0]).any()),
        size=size,
    )


def rows_of(dataset: Dataset) -> list[int]:
    """The validation cases to measure on; there may be fewer than it takes."""
    return dataset.rows("validation", at_most=_CASES)


def measure_review(
    model: Model,
    dataset: Dataset,
    sampler: Sampler,
    rows: Sequence[int],
    *,
    members: int,
    batch: int,
    start: Twin | None = None,
    tta: bool = False,
    guidance: Guidance = UNGUIDED,
) -> ErrorRegression:
    """Draw masks of cases and fit their errors.

    Args:
        model: the model.
        dataset: the dataset that it was trained on.
        sampler: how each mask is drawn.
        rows: cases of `dataset`, at least `FEWEST_CASES`.
        members: of each ensemble.
        batch: masks drawn at once.
        start: what a warm sampler starts from.
        tta: whether each member sees another view.
        guidance: away from a weaker model.
    """
    drawn = ensembles(
        model, sampler, dataset, rows, members=members, batch=batch, seed=0, start=start, tta=tta, guidance=guidance
    )
    seen, errors = [], []
    for row, ensemble in zip(rows, drawn, strict=True):
        seen.append(uncertainty_features(ensemble))
        errors.append(
            1.0 - reader_dice(mean_probability(ensemble).argmax(0), readers_of(dataset, row), len(ensemble[0]))
        )
    patients = patients_of(dataset, rows)
    found = compare_with_constant(1 - np.array(errors), best_constant_mask(dataset, rows), patients)
    constant = found.to_dict() | {"told": found.sentence("the model")}
    return replace(calibrate(seen, np.array(errors), patients), constant=constant)


def calibrate(seen: Sequence[UncertaintyFeatures], errors: _Numbers, patients: Sequence[str]) -> ErrorRegression:
    """Fit equations (2) and (3).

    Args:
        seen: the signs of each case.
        errors: their 1 - Dice.
        patients: whose they are: the rank correlation is that of patients the lines have not seen.
    """
    whose = np.array(patients)
    expected = np.empty_like(errors)
    for patient in np.unique(whose):
        own = whose == patient
        others = _fit([sign for sign, left_out in zip(seen, own, strict=True) if not left_out], errors[~own])
        expected[own] = [others.expected_error([sign]) for sign, left_out in zip(seen, own, strict=True) if left_out]
    correlation = spearman(expected, errors)
    agrees = round(correlation, _DIGITS) if np.isfinite(correlation) else None
    fitted = asdict(_fit(seen, errors))
    return ErrorRegression(**{**fitted, "spearman": agrees})


def _fit(seen: Sequence[UncertaintyFeatures], errors: _Numbers) -> ErrorRegression:
    """The lines, of which nothing is known yet."""
    filled = np.array([sign.filled for sign in seen], dtype=bool)
    own_error, uncertainty = (np.array([getattr(sign, name) for sign in seen]) for name in ("own_error", "uncertainty"))
    every = _line(own_error, errors, np.ones_like(filled))
    few_filled, few_empty = filled.sum() < FEWEST_CASES, (~filled).sum() < FEWEST_CASES
    return ErrorRegression(
        filled=every if few_filled or few_empty else _line(own_error, errors, filled),
        empty=every if few_empty else _line(uncertainty, errors, ~filled),
        empty_by="own_error" if few_empty else "uncertainty",
        cases=len(seen),
        spearman=None,
    )


def _line(sign: _Numbers, error: _Numbers, where: Bool[np.ndarray, " n"]) -> FittedLine:
    """Least squares with a slope >= 0."""
    x, y = sign[where], error[where]
    if not len(x):
        return FittedLine(0.0, 0.0)
    slope = max(0.0, float(np.polyfit(x, y, 1)[0])) if np.ptp(x) > 1e-9 else 0.0
    return FittedLine(round(float(y.mean() - slope * x.mean()), _DIGITS), round(slope, _DIGITS))
