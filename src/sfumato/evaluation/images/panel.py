"""Distances and diversity of two sets of images, each beside its floor: all that `metrics.csv` holds.

In each space of features the kernel distance, the Fréchet distance and precision, recall, density and coverage of the
generated images; of the images themselves the similarity of pairs and the share of near duplicates; where a space
has a classifier, its inception score. `draws.py` says what the floor and the z-score are.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from sfumato.evaluation.images.draws import Group
from sfumato.metrics.coverage import Coverage, coverage
from sfumato.metrics.diversity import alike, draw_pairs, inception_score, pair_similarities
from sfumato.metrics.fidelity import Features, frechet, frechet_interval, kid, kid_interval
from sfumato.metrics.interval import Estimate, mean_interval
from sfumato.metrics.table import METRIC_TABLE, is_better_lower
from sfumato.typing import Data

NOTICED = 3.0
"""A z-score from which a difference is called one."""

_PAIRS = 50
"""Pairs of images of each draw whose similarity is taken."""

_RESAMPLES = 999
"""Draws behind an interval of a mean over images."""

_THUMB = 64
"""Longest side in pixels of the images that are searched for duplicates and paired; larger ones are reduced."""

_Others = Float[Tensor, "m c *space"]


class MetricRow(NamedTuple):
    """A row of `metrics.csv`.

    Attributes:
        space: where it was measured: a space of features, or "images".
        group: a class, or one of the pooled groups of `draws.py`.
        metric: its name.
        value: of the generated images, mean over the draws.
        low: lower end of its 95 % interval.
        high: upper end.
        floor: the same of real images, mean over the draws.
        floor_sd: its standard deviation over the draws.
        z: equation (1) of `draws.py`.
        images: on each side.
    """

    space: str
    group: str
    metric: str
    value: float
    low: float
    high: float
    floor: float
    floor_sd: float
    z: float
    images: int

    @property
    def noticed(self) -> bool:
        """Whether the generated images are worse than real ones by more than chance."""
        worse_by = self.z if is_better_lower(self.metric) else -self.z
        return worse_by > NOTICED


class SpaceFeatures(NamedTuple):
    """Features of all sets in one space; of training images there may be none."""

    real: Features
    generated: Features
    training: Features


def measure_space(name: str, sides: SpaceFeatures, group: Group, *, seed: int) -> Iterator[MetricRow]:
    """Kernel and Fréchet distance, precision, recall, density and coverage in a space."""
    make = _Maker(name, group)
    yield make.distance("kid", kid, kid_interval, sides, seed=seed)
    if len(sides.training) and all(len(draw.training) > 1 for draw in group.draws):
        learned = tuple(draw._replace(generated=draw.training) for draw in group.draws)
        again = make._replace(group=group._replace(draws=learned))
        yield again.distance("kid_of_training", kid, kid_interval, sides._replace(generated=sides.training), seed=seed)
    yield make.distance("frechet", frechet, frechet_interval, sides, seed=seed)
    found = [coverage(sides.real[draw.reference], sides.generated[draw.generated]) for draw in group.draws]
    floor = [coverage(sides.real[draw.reference], sides.real[draw.other]) for draw in group.draws]
    for metric in Coverage._fields:
        of_images = [getattr(of_draw, metric) for of_draw in found]
        of_others = [getattr(of_draw, metric) for of_draw in floor]
        yield make.row(metric, _means(of_images), _spread(of_images[0], seed=seed), _means(of_others))


def _means(draws: Sequence[np.ndarray]) -> list[float]:
    """The mean over the images of each draw."""
    return [float(of_images.mean()) for of_images in draws]


def _spread(of_images: np.ndarray, *, seed: int) -> Estimate:
    """A mean over images with its interval."""
    interval = mean_interval(of_images, seed=seed, resamples=_RESAMPLES)
    return Estimate(interval.mean, interval.low, interval.high)


def measure_images(real: Data, generated: _Others, groups: Sequence[Group], *, seed: int) -> Iterator[MetricRow]:
    """Similarity of pairs and share of near duplicates among the generated images, beside those of real ones."""
    small, shown = thumbs(real), thumbs(generated)
    again, copied = alike(small), alike(shown)
    for group in groups:
        make = _Maker("images", group)
        pairs = draw_pairs(group.size, _PAIRS, seed=seed)
        similar = [pair_similarities(shown[draw.generated], pairs) for draw in group.draws]
        floor = [pair_similarities(small[draw.reference], pairs) for draw in group.draws]
        yield make.row("ms_ssim", _means(similar), _spread(np.concatenate(similar), seed=seed), _means(floor))
        often = [_repeated(copied, draw.generated) for draw in group.draws]
        floor = [_repeated(again, draw.reference) for draw in group.draws]
        yield make.row("duplicates", _means(often), _spread(often[0].astype(np.float64), seed=seed), _means(floor))


def measure_classes(
    name: str, real: Float[np.ndarray, "n classes"], generated: Float[np.ndarray, "m classes"], group: Group
) -> MetricRow:
    """Inception score by the probabilities of a classifier."""
    found = [inception_score(generated[draw.generated]) for draw in group.draws]
    floor = [inception_score(real[draw.reference]).value for draw in group.draws]
    return _Maker(name, group).row("inception_score", [one.value for one in found], found[0], floor)


def thumbs(images: Data) -> Data:
    """Images of at most `_THUMB` pixels a side."""
    height, width = images.shape[2:]
    shrink = _THUMB / max(height, width)
    if shrink >= 1:
        return images
    size = max(1, round(height * shrink)), max(1, round(width * shrink))
    return functional.adaptive_avg_pool2d(images, size)


def z_score(values: Sequence[float], floor: Sequence[float]) -> float:
    """Equation (1) of `draws.py`; 0 if nothing differs, infinite where real images never vary and others do."""
    gap, spread = float(np.mean(values) - np.mean(floor)), float(np.std(floor, ddof=1))
    if spread < 1e-12 * max(1.0, abs(float(np.mean(floor)))):
        return 0.0 if abs(gap) < 1e-12 else float(np.copysign(np.inf, gap))
    return gap / spread


class _Maker(NamedTuple):
    """Makes the rows of one space and group."""

    space: str
    group: Group

    def row(self, metric: str, values: Sequence[float], spread: Estimate, floor: Sequence[float]) -> MetricRow:
        """A row whose interval is that of the first draw, around the mean of all."""
        value = float(np.mean(values))
        low, high = value + spread.low - spread.value, value + spread.high - spread.value
        if METRIC_TABLE[metric].unit == "share":
            low, high = max(low, 0.0), min(high, 1.0)
        middle, deviation = float(np.mean(floor)), float(np.std(floor, ddof=1))
        z = z_score(values, floor)
        return MetricRow(self.space, self.group.name, metric, value, low, high, middle, deviation, z, self.group.size)

    def distance(
        self,
        metric: str,
        distance: Callable[[Features, Features], float],
        interval: Callable[..., Estimate],
        sides: SpaceFeatures,
        *,
        seed: int,
    ) -> MetricRow:
        """A distance of the generated images to real ones, beside that of other real ones."""
        draws, real = self.group.draws, sides.real
        values = [distance(sides.generated[draw.generated], real[draw.reference]) for draw in draws]
        floor = [distance(real[draw.other], real[draw.reference]) for draw in draws]
        spread = interval(sides.generated[draws[0].generated], real[draws[0].reference], seed=seed)
        return self.row(metric, values, spread, floor)


def _repeated(pairs: Bool[np.ndarray, "n n"], rows: np.ndarray) -> Bool[np.ndarray, " _"]:
    repeated: np.ndarray = pairs[np.ix_(rows, rows)].any(1)
    return repeated
