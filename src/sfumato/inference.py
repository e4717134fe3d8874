"""A trained model at work, in Python: masks for cases, images for wishes. The commands write what these yield."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from sfumato.data.manifest import Case
from sfumato.data.placement import Placement, restore
from sfumato.data.spec import Input, Spec, read_input, stored_channels, to_data
from sfumato.diffusion.process import Step, derive_seed
from sfumato.metrics.ensemble import mean_probability, predictive_entropy
from sfumato.run import Model
from sfumato.tasks.segment import draw_masks, probabilities
from sfumato.tasks.synthesise import draw_images
from sfumato.tasks.task import Sampler, to_uint8


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """All members drawn for one case.

    Attributes:
        case: the case.
        picture: the image in its own size as the model sees its intensities, uint8 (h, w, 1 or 3); of more channels
            the first.
        placement: the way back to the original size.
        members: class probabilities of each member in the model's size (k, classes, h, w), float32.
        steps: estimates of the first member at each step (classes, h, w).
    """

    case: Case
    picture: np.ndarray
    placement: Placement
    members: np.ndarray
    steps: Sequence[np.ndarray]


class Prediction(NamedTuple):
    """What is known about one case after segmentation, all in the input's own size.

    Attributes:
        probability: mean class probabilities (classes, h, w).
        members: class indices of each member (k, h, w).
        mask: class indices (h, w).
        entropy: predictive entropy of each pixel in [0, 1].
    """

    probability: np.ndarray
    members: np.ndarray
    mask: np.ndarray
    entropy: np.ndarray


def predict(
    model: Model, sampler: Sampler, cases: Sequence[Case], *, count: int, seed: int, batch: int
) -> Iterator[Ensemble]:
    """Draw `count` masks for each case, `batch` at a time.

    Member m of a case depends on (seed, the case's id, m) alone.
    """
    device = str(next(model.network.parameters()).device)
    for start in range(0, len(cases), max(1, batch // count)):
        chunk = cases[start : start + max(1, batch // count)]
        inputs = [read_input(case, model.spec) for case in chunk]
        images = to_data(np.stack([each.array for each in inputs]), model.spec, device)
        images = images.repeat_interleave(count, 0)
        seeds = [derive_seed(seed, "segment", case.id, member) for case in chunk for member in range(count)]
        finals, walks = [], []
        for part in range(0, len(seeds), batch):
            piece = slice(part, part + batch)
            steps = [
                step.x0
                for step in draw_masks(
                    model.process,
                    model.network,
                    sampler,
                    images[piece],
                    len(model.spec.mask_classes),
                    seeds=seeds[piece],
                )
            ]
            finals.append(probabilities(steps[-1]).cpu())
            walks.append(torch.stack(steps, 1).cpu())
        members, walk = torch.cat(finals).numpy(), torch.cat(walks).numpy()
        for k, case in enumerate(chunk):
            yield Ensemble(
                case=case,
                picture=_picture(inputs[k], model.spec),
                placement=inputs[k].placement,
                members=members[k * count : (k + 1) * count],
                steps=list(walk[k * count]),
            )


def _picture(image: Input, spec: Spec) -> np.ndarray:
    stored = stored_channels(image.pixels, spec, image.stats)
    picture: np.ndarray = to_uint8(to_data(np.stack([stored]), spec))[0]
    return picture if picture.shape[2] in (1, 3) else picture[..., :1]


def in_original_size(ensemble: Ensemble) -> Prediction:
    """Probabilities brought back to the input's size, then decided."""
    members = np.stack([_restored(member, ensemble.placement) for member in ensemble.members])
    probability = mean_probability(members)
    return Prediction(probability, members.argmax(1), probability.argmax(0), predictive_entropy(probability))


def _restored(probability: np.ndarray, placement: Placement) -> np.ndarray:
    """Class probabilities (classes, h, w) in the original size, adding up to 1; background where nothing was seen."""
    values = restore(np.moveaxis(probability, 0, -1), placement, nearest=False).clip(0, 1)
    values[..., 0] += values.sum(-1) == 0
    return np.moveaxis(values / values.sum(-1, keepdims=True), -1, 0)


class Wanted(NamedTuple):
    """One image to make.

    Attributes:
        number: its number within the output.
        label: its class; None for 'no class'.
        seed: with the class it decides the image.
    """

    number: int
    label: str | None
    seed: int


class Made(NamedTuple):
    """One image that was made, uint8 (h, w, c)."""

    wanted: Wanted
    image: np.ndarray


def make(model: Model, sampler: Sampler, wanted: Sequence[Wanted], *, guidance: float, batch: int) -> Iterator[Made]:
    """The images, `batch` at a time; each depends on its seed and class alone."""
    for start in range(0, len(wanted), batch):
        chunk = wanted[start : start + batch]
        *_, last = make_steps(model, sampler, chunk, guidance=guidance)
        for image, pixels in zip(chunk, to_uint8(last.x), strict=True):
            yield Made(image, pixels)


def make_steps(model: Model, sampler: Sampler, wanted: Sequence[Wanted], *, guidance: float) -> Iterator[Step]:
    """The steps from noise to one batch of images."""
    classes = list(model.spec.classes)
    return draw_images(
        model.process,
        model.network,
        sampler,
        (model.spec.channels, *model.spec.size),
        [None if image.label is None else classes.index(image.label) for image in wanted],
        seeds=[derive_seed("generate", image.seed) for image in wanted],
        guidance=guidance,
        classes=len(classes),
        device=str(next(model.network.parameters()).device),
    )
