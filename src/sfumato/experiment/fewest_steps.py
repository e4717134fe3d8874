"""How few network calls are enough: a curve of quality over calls on the validation split, and the choice it leads to.

Masks are judged by the Dice of the ensemble's mean and by the generalised energy distance between members and readers
(unbiased in the number of members), images by the kernel distance to held-out real images in the space of their
principal components. The fewest steps are chosen from which on every number stays within a tolerance of that of the
most steps. The curve is kept beside the model, so that it is measured once.

Of a model that has learnt nothing all numbers of steps are as good as the most. So with these its masks are compared
with the best constant mask (`tasks.constant_mask`), its images with the mean of the training images, by the Fréchet
distance to held-out ones; where they are no better, no fewer steps are chosen.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch

from sfumato.data.dataset import Dataset
from sfumato.data.mask import IGNORED
from sfumato.diffusion.guidance import UNGUIDED, Guidance
from sfumato.diffusion.process import Denoise
from sfumato.errors import DataError
from sfumato.evenly import evenly
from sfumato.experiment.inference import Draw, SampleRequest, Twin, make_steps, members_of
from sfumato.experiment.run import Model
from sfumato.metrics.ensemble import ged, mean_probability
from sfumato.metrics.fidelity import PixelSpace, frechet, kid
from sfumato.randomness import derive_seed
from sfumato.tasks.constant_mask import best_constant_mask, compare_with_constant, patients_of
from sfumato.tasks.readers import reader_dice, readers_of
from sfumato.tasks.task import Sampler, last
from sfumato.wording import counted

_MOST = 50
"""Steps with which fewer are compared."""

STEPS = (1, 2, 3, 4, 6, 8, 12, 18, 25, _MOST)
CASES, MEMBERS, IMAGES_DRAWN = 24, 4, 192
LARGEST_SPACE = 1000
"""Real images of which the principal components are taken, at most."""

REPEATS = 10
"""Sets of real images by which the error of the kernel distance is measured."""

_FEWEST = 2
"""Validation cases from which anything can be said."""

TOLERANCE = {"dice": 0.005, "ged": 0.01}
"""How much worse masks may be; images by twice the standard error of the distance at the most steps."""


class Point(NamedTuple):
    """Quality at a number of steps.

    Attributes:
        steps: steps of the sampler.
        calls: network calls of one result.
        values: number by metric: dice and ged, or kid.
    """

    steps: int
    calls: int
    values: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Quality over steps, for one way of sampling.

    Attributes:
        sampler: its name.
        grid: where its steps lie.
        points: in the order of their steps.
        tolerance: how much worse each metric may be.
        of: how many cases and members, or images, each point is measured on.
        constant: the model at the most steps beside what never changes, as plain data: the `verdict`, and `told` for
            where it is not "better"; empty where nobody looked, as up to version 0.1.
    """

    sampler: str
    grid: str
    points: tuple[Point, ...]
    tolerance: Mapping[str, float]
    of: str
    constant: Mapping[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """Whether the model is better than what never changes; of a curve of 0.1, as far as its Dice tells."""
        known = "better" if self.points[-1].values.get("dice", 1.0) > 0 else "no better"
        return str(self.constant.get("verdict", known))

    @property
    def steps(self) -> int:
        """The fewest steps from which on every metric stays within its tolerance of the most steps.

        The most steps, where it is not known to have learnt anything.
        """
        most = self.points[-1]
        fewest = most.steps
        if self.verdict != "better":
            return fewest
        for point in reversed(self.points):
            if any(_worse(name, point, most) > self.tolerance[name] for name in most.values):
                break
            fewest = point.steps
        return fewest

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "points": [point._asdict() for point in self.points], "steps": self.steps}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "Curve":
        """The inverse of `to_dict`."""
        points = tuple(Point(**point) for point in raw["points"])
        names = ("sampler", "grid", "tolerance", "of")
        return cls(**{name: raw[name] for name in names}, points=points, constant=raw.get("constant", {}))


def _worse(metric: str, point: Point, most: Point) -> float:
    difference = point.values[metric] - most.values[metric]
    return -difference if metric == "dice" else difference


def measure_curve(
    model: Model, dataset: Dataset, *, sampler: str, grid: str, batch: int, seed: int = 0
) -> Iterator[Curve]:
    """The curve on the validation split, growing by a point at a time; the last one yielded is whole.

    Every point is drawn with the same seeds.

    Args:
        model: the model.
        dataset: the dataset that it was trained on.
        sampler: the sampler's name.
        grid: where its steps lie.
        batch: results drawn at once.
        seed: decides the noise.

    Raises:
        DataError: the validation split has fewer than two cases.
    """
    if (count := len(dataset.rows("validation"))) < _FEWEST:
        raise DataError(
            f"the dataset has {count} validation cases: how many steps are enough cannot be measured",
            expected=f"{_FEWEST} at least",
            remedy="give a number of steps",
            code="DATA-020",
        )
    quality = (_MaskQuality if model.recipe.task == "segment" else _ImageQuality)(model, dataset, batch, seed)
    points: tuple[Point, ...] = ()
    for steps in STEPS:
        drawn = model.sampler(sampler=sampler, grid=grid, steps=steps, start="noise")
        points = (*points, Point(steps, model.calls(drawn, quality.guidance), quality(drawn)))
        constant = quality.beside_constant() if steps == STEPS[-1] else {}
        yield Curve(
            sampler=sampler, grid=grid, points=points, tolerance=quality.tolerance, of=quality.of, constant=constant
        )


def ensembles(
    model: Model,
    sampler: Sampler,
    dataset: Dataset,
    rows: Sequence[int],
    *,
    members: int,
    batch: int,
    seed: int,
    start: Twin | None = None,
    tta: bool = False,
    guidance: Guidance = UNGUIDED,
    around: Callable[[Denoise], Denoise] = lambda denoise: denoise,
) -> Iterator[np.ndarray]:
    """Class probabilities (members, classes, h, w) of each row, in the model's own size.

    The arguments are those of `inference.predict` and of `draw_masks`; in a batch the members of a case lie side by
    side.
    """
    draw = Draw(model=model, sampler=sampler, seed=seed, tta=tta, guidance=guidance, around=around)
    together = max(1, batch // members)
    for part in dataset.alike(rows, together):
        images = dataset.images(part, str(model.device))
        guesses = None if start is None else start(images)
        names = [dataset.cases[row].id for row in part]
        drawn = draw(names, images, guesses, members_of(len(part), members)).probability
        yield from drawn.reshape(len(part), members, *drawn.shape[1:])


class _MaskQuality:
    """Dice and GED of ensembles, means over validation cases."""

    def __init__(self, model: Model, dataset: Dataset, batch: int, seed: int) -> None:
        self.model, self.dataset, self.batch, self.seed = model, dataset, batch, seed
        self.rows = dataset.rows("validation", at_most=CASES)
        self.dice = np.zeros(len(self.rows))
        self.tolerance, self.guidance = TOLERANCE, UNGUIDED
        self.of = f"{counted(len(self.rows), 'case')} x {counted(MEMBERS, 'member')}"

    def __call__(self, sampler: Sampler) -> dict[str, float]:
        drawn = ensembles(
            self.model, sampler, self.dataset, self.rows, members=MEMBERS, batch=self.batch, seed=self.seed
        )
        values = [self._case(row, members) for row, members in zip(self.rows, drawn, strict=True)]
        self.dice = np.array([dice for dice, _ in values])
        dice, energy = np.mean(values, axis=0).tolist()
        return {"dice": dice, "ged": energy}

    def beside_constant(self) -> dict[str, Any]:
        """The masks that were drawn last beside the best constant mask."""
        constant = best_constant_mask(self.dataset, self.rows)
        found = compare_with_constant(self.dice, constant, patients_of(self.dataset, self.rows))
        return found.to_dict() | {"told": found.sentence("the model")}

    def _case(self, row: int, members: np.ndarray) -> tuple[float, float]:
        readers, classes = readers_of(self.dataset, row), members.shape[1]
        said = (readers != IGNORED).all(0)
        dice = reader_dice(mean_probability(members).argmax(0), readers, classes)
        return dice, ged(members.argmax(1) * said, readers * said, classes=classes).u


class _ImageQuality:
    """Kernel distance of samples to held-out images; twice its standard error is tolerated.

    The error is that of as many real training images.
    """

    def __init__(self, model: Model, dataset: Dataset, batch: int, seed: int) -> None:
        self.model, self.batch, self.guidance = model, batch, model.guidance()
        train, rows = dataset.rows("train"), dataset.rows("validation")
        self.space = PixelSpace.of(dataset.images(evenly(train, LARGEST_SPACE)).numpy())
        self.held_out = self.space.features(dataset.images(rows).numpy())
        cases = [dataset.cases[row] for row in rows]
        labels = [case.label if case.label in model.spec.classes else None for case in cases] or [None]
        self.wanted = [
            SampleRequest(k, labels[k % len(labels)], derive_seed(seed, "calls", k)) for k in range(IMAGES_DRAWN)
        ]
        self.drawn = np.zeros((0, self.held_out.shape[1]))
        self.tolerance = {"kid": 2 * self._standard_error(dataset, train, seed)}
        self.of = f"{IMAGES_DRAWN} images against {len(rows)} real ones"

    def __call__(self, sampler: Sampler) -> dict[str, float]:
        drawn = []
        for start in range(0, IMAGES_DRAWN, self.batch):
            part = self.wanted[start : start + self.batch]
            steps = make_steps(self.model, sampler, part, guidance=self.guidance)
            drawn.append(self.model.representation.decode(last(steps).x).clamp(-1, 1).cpu())
        self.drawn = self.space.features(torch.cat(drawn).numpy())
        return {"kid": kid(self.drawn, self.held_out)}

    def beside_constant(self) -> dict[str, Any]:
        """The images that were drawn last beside the mean of the training images, which lies at 0 in the space."""
        ours, theirs = (frechet(images, self.held_out) for images in (self.drawn, np.zeros_like(self.drawn)))
        told = (
            f"the images of the model lie no nearer to real ones than the mean of the training images does, the same "
            f"for every image: Fréchet distances {ours:.3g} and {theirs:.3g} in the space of pixels"
        )
        verdict = "better" if ours < theirs else "cannot be told"
        return {"frechet": theirs, "frechet_of_model": ours, "verdict": verdict, "told": told}

    def _standard_error(self, dataset: Dataset, train: Sequence[int], seed: int) -> float:
        generator = np.random.default_rng(seed)
        chosen = [generator.choice(train, size=min(IMAGES_DRAWN, len(train)), replace=False) for _ in range(REPEATS)]
        features = [self.space.features(dataset.images(rows.tolist()).numpy()) for rows in chosen]
        return float(np.std([kid(each, self.held_out) for each in features], ddof=1))
