"""Masks that images are made from: drawn by a model of masks, or real ones under a geometric change.

A real mask is never taken as it is. It is flipped, turned, moved, scaled and bent as far as suits what made the images,
times a strength, and read at the nearest pixel, so it has the classes that it had: a change that loses one of them, or
changes no pixel, is drawn again, of another mask. A mask of background alone has nothing to change and stays.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch

from sfumato.data.augmentation.augment import apply, draw_parameters
from sfumato.data.augmentation.ranges import Ranges, choose
from sfumato.data.dataset import Dataset
from sfumato.errors import UsageError
from sfumato.experiment.inference import SampleRequest, make
from sfumato.experiment.run import Model
from sfumato.randomness import Noise, derive_seed
from sfumato.tasks.task import Sampler

_TRIES = 100
"""Changes that are drawn for a mask before it is given up."""

BENT = 0.03
"""Elastic displacement at strength 1, as a share of the shorter side."""


class _Given(NamedTuple):
    """A mask to make an image from.

    Attributes:
        mask: class indices (h, w) uint8.
        source: where it comes from, for the manifest.
    """

    mask: np.ndarray
    source: str


@runtime_checkable
class MaskSource(Protocol):
    """Where masks come from; each follows from the seed and the class of its image alone."""

    @property
    def calls(self) -> int:
        """Network calls of one mask."""
        ...

    @property
    def facts(self) -> Mapping[str, str]:
        """What decides masks besides seed and class, where the source of each does not say it."""
        ...

    def __call__(self, wanted: Sequence[SampleRequest]) -> list[_Given]:
        """A mask for each image."""
        ...


@dataclass(frozen=True, kw_only=True)
class SampledMasks:
    """Masks from a model of masks.

    Attributes:
        model: trained with `data.pairs=mask`.
        sampler: how each mask is drawn.
    """

    model: Model
    sampler: Sampler

    @property
    def calls(self) -> int:
        """Network calls of one mask."""
        return self.model.calls(self.sampler)

    @property
    def facts(self) -> Mapping[str, str]:
        """Nothing: each source is the model."""
        return {}

    def __call__(self, wanted: Sequence[SampleRequest]) -> list[_Given]:
        """A mask for each image, of its class where the model knows classes."""
        known = self.model.spec.classes
        asked = [
            SampleRequest(k, image.label if image.label in known else None, derive_seed("mask", image.seed))
            for k, image in enumerate(wanted)
        ]
        masks = [made.mask for made in make(self.model, self.sampler, asked, batch=len(asked))]
        return [_Given(mask, f"model {self.model.sha256}") for mask in masks if mask is not None]


@dataclass(frozen=True, kw_only=True)
class ChangedMasks:
    """Real masks under a geometric change.

    Attributes:
        dataset: the dataset; masks are those of its training split, so that none of validation or test is seen.
        strength: how far masks are changed; 1 is as far as images are varied when a segmenter is trained.
        sha256: of the description of the dataset.
    """

    dataset: Dataset
    strength: float
    sha256: str = ""

    @property
    def calls(self) -> int:
        """None: no network is asked."""
        return 0

    @property
    def facts(self) -> Mapping[str, str]:
        """The dataset, and how far its masks are changed."""
        return {"masks": self.sha256, "change": str(self.strength)}

    @cached_property
    def ranges(self) -> Ranges:
        """How far each change goes."""
        return changes(self.dataset, self.strength)

    @property
    def sentence(self) -> str:
        """The changes in words."""
        return ", ".join(f"{name} {value:.3g}" for name, value in self.ranges._asdict().items() if value)

    @cached_property
    def _rows(self) -> dict[str | None, list[int]]:
        """Training rows by class, and all of them."""
        rows: dict[str | None, list[int]] = {None: self.dataset.rows("train")}
        for row in rows[None]:
            if (label := self.dataset.cases[row].label) is not None:
                rows.setdefault(label, []).append(row)
        return rows

    def __call__(self, wanted: Sequence[SampleRequest]) -> list[_Given]:
        """A changed mask for each image, of a case of its class where cases have classes.

        Raises:
            UsageError: no training case has the class, or no change is one.
        """
        return [self._one(image) for image in wanted]

    def _one(self, image: SampleRequest) -> _Given:
        rows = self._rows.get(image.label if self.dataset.spec.classes else None)
        if not rows:
            raise UsageError(f"no training case has the class {image.label}, whose masks could be changed")
        for number in range(_TRIES):
            noise = Noise([derive_seed("change", image.seed, number)])
            place, whose = noise.uniform(2)[0].tolist()
            row = rows[int(place * len(rows))]
            mask = self.dataset.masks([row], [int(whose * int(self.dataset.readings([row])))])
            moved = change(mask, self.ranges, noise)
            if _is_change(mask, moved):
                return _Given(moved[0].numpy(), f"changed {self.dataset.cases[row].id}")
        raise UsageError(
            f"{_TRIES} changes of masks in turn changed nothing, or lost a class",
            expected=f"--change so that masks move and stay in sight, not {self.strength:g}",
        )


def changes(dataset: Dataset, strength: float) -> Ranges:
    """How far masks are changed: the geometry that suits what made the images, and a bend, times a strength.

    Raises:
        UsageError: a strength at which masks would be taken as they are, or torn.
    """
    if not 0 < strength <= 2:
        raise UsageError(f"--change {strength:g}", expected="above 0, where nothing changes, up to 2")
    base, _ = choose(dataset.spec.modality, task="segment")
    return Ranges(
        mirror=base.mirror,
        upend=base.upend,
        angle=min(180.0, base.angle * strength),
        scale=base.scale * strength,
        aspect=base.aspect * strength,
        shift=min(0.5, base.shift * strength),
        elastic=BENT * min(dataset.spec.common_size) * strength,
    )


def change(masks: torch.Tensor, ranges: Ranges, noise: Noise) -> torch.Tensor:
    """Masks (b, h, w) under the changes that the generators of `noise` draw."""
    unseen = torch.zeros(len(masks), 1, *masks.shape[1:])
    moved = apply(unseen, masks, draw_parameters(ranges, noise, unseen))[1]
    assert moved is not None
    return moved


def _is_change(before: torch.Tensor, after: torch.Tensor) -> bool:
    """Whether a mask has changed and has the classes that it had; one of background alone has nothing to change."""
    same_classes = {*before.flatten().tolist()} == {*after.flatten().tolist()}
    return same_classes and (not torch.equal(before, after) or not bool(before.any()))
