"""Segmentation: a diffusion model of masks, conditioned on the image.

The state is the one-hot mask in [-1, 1], all classes with the background; the image is concatenated. The network
predicts logits of the clean mask, trained with cross-entropy and soft Dice, so every network call gives calibrated
probabilities; `objective` has further terms. Where several readers outlined a case, one of them is drawn at each step,
so the model learns their distribution and not their mean.

Two recipes train on the network's own estimates, made without gradient. With x_T-recycling (Fu et al. 2023, MELBA
2023:016) the state of a share of the items is made from the estimate at pure noise, the loss is still that to the true
mask: the network meets its own mistakes, as it does in sampling. With self-conditioning (see `diffusion.denoiser`) it
is shown its estimate beside the image. The extra pass is made of the whole batch, whoever needs it: shapes stay the
same for `torch.compile`.

Pixels that a mask says nothing about (`IGNORED`) are undecided in the state: each class is equally likely. They cost
nothing and give no gradient; scores leave them out.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sfumato.axes import PerAxis
from sfumato.data.augmentation.augment import Parameters, apply, draw_parameters, margin
from sfumato.data.augmentation.ranges import Ranges
from sfumato.data.dataset import Dataset
from sfumato.data.mask import IGNORED
from sfumato.data.three_planes import fullest, three_planes
from sfumato.diffusion.denoiser import Denoiser
from sfumato.diffusion.guidance import UNGUIDED, Guidance
from sfumato.diffusion.micro_batches import MicroBatches, piece_size
from sfumato.diffusion.process import Condition, Denoise, Network, Process, Step
from sfumato.diffusion.tiled import Tiled, Windows
from sfumato.networks.blocks import block_mean
from sfumato.randomness import Noise, derive_seed
from sfumato.recipe import SegmentMetric
from sfumato.tasks.constant_mask import ConstantMask
from sfumato.tasks.draws import DrawnMasks, PerDraw, coarse, mean_over_draws, with_full_size
from sfumato.tasks.held_out import HeldOut
from sfumato.tasks.objective import Answer, Ignored, Objective
from sfumato.tasks.patches import Patches
from sfumato.tasks.readers import drawn_readers
from sfumato.tasks.seen import SeenImages, Stateless, seen
from sfumato.tasks.task import (
    Sampler,
    Scores,
    Shown,
    batch_noise,
    first_estimate,
    last,
    random_share,
    self_conditioned,
    stratified,
    to_uint8,
)
from sfumato.training.data_order import Batch
from sfumato.typing import Data, Masks, Output, PerItem, State

PREVIEW_CASES = 12

_Item = TypeVar("_Item")


def signed_one_hot(masks: Masks, classes: int) -> Data:
    """Class indices as a one-hot mask in [-1, 1]."""
    return functional.one_hot(masks.long(), classes).movedim(-1, 1).float() * 2 - 1


def undecided(masks: Masks, ignored: Ignored, classes: int) -> Data:
    """As `signed_one_hot`, with the same probability of every class where the mask says nothing."""
    return torch.where(ignored[:, None], 2 / classes - 1, signed_one_hot(masks.masked_fill(ignored, 0), classes))


@dataclass(frozen=True, kw_only=True)
class Segment:
    """The segmentation job on one dataset.

    Args:
        dataset: the prepared dataset.
        process: the diffusion process, or `Deterministic`.
        sampler: how masks are drawn on the validation split.
        rows: rows of `dataset` to validate on.
        augment: how images and masks are varied.
        objective: what is minimised.
        batch: global batch size.
        seed: of the run.
        recycle: share of items whose state is made from the network's own estimate.
        self_condition: share of items with an estimate to be conditioned on, where the sampler has it shown.
        metric: what decides which weights are best, `dice` or `iou`.
        patches: what is cut out of the images to train on; None for whole images.
        stride: of the state in pixels of each axis, of a network that sees an image once (`tasks.draws`); None for any
            other.
        draws: draws of each image in a training step, of such a network.
        device: where the network is.
    """

    dataset: Dataset
    process: Process
    sampler: Sampler
    rows: Sequence[int]
    augment: Ranges
    objective: Objective
    batch: int
    seed: int
    recycle: float = 0.0
    self_condition: float = 0.0
    metric: SegmentMetric = "dice"
    patches: Patches | None = None
    stride: PerAxis | None = None
    draws: int = 1
    device: str = "cpu"

    @property
    def classes(self) -> int:
        """Number of mask classes, with the background."""
        return len(self.dataset.spec.mask_classes)

    def loss(self, network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """The objective's terms of each item."""
        noise = batch_noise(self.seed, batch, self.device)
        draws = noise.repeated(self.draws)
        places = [slot * self.draws + draw for slot in batch.slots for draw in range(self.draws)]
        t = self.process.times(stratified(draws, places, self.draws * self.batch))
        images, masks = self.varied(*self.read(batch.rows, noise), noise)
        masks = masks.repeat_interleave(self.draws * len(images) // len(masks), 0)
        return self._terms(network, images, masks, t, noise, self.objective)

    def read(self, rows: Sequence[int], noise: Noise) -> tuple[Data, DrawnMasks]:
        """Images, and of each a mask for every draw, of a reader that is drawn; one where there is but one reader.

        Of large images patches, with what augmentation needs around them.
        """
        each = self.draws if self.dataset.spec.readers > 1 else 1
        readers = drawn_readers(self.dataset, _each(rows, each), noise.repeated(each))
        if self.patches is None:
            images = self.dataset.images(rows, self.device)
            return images, self.dataset.masks(_each(rows, each), readers, self.device)
        corners = self.patches.corners(rows, readers[::each], noise)
        return self._cut(rows, corners, readers, margin(self.augment, self.patches.size, self.dataset.spec.voxel))

    def _cut(
        self, rows: Sequence[int], corners: Sequence[Sequence[int]], readers: Sequence[int], beyond: Sequence[int]
    ) -> tuple[Data, DrawnMasks]:
        """Patches that begin at these corners, and so much beyond on all sides; the masks of these readers."""
        assert self.patches is not None
        starts = [[start - more for start, more in zip(corner, beyond, strict=True)] for corner in corners]
        size = [side + 2 * more for side, more in zip(self.patches.size, beyond, strict=True)]
        each = len(readers) // len(rows)
        images = self.dataset.image_crops(rows, starts, size, self.device)
        return images, self.dataset.mask_crops(_each(rows, each), _each(starts, each), size, readers, self.device)

    def varied(self, images: Tensor, masks: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        """What was read, augmented."""
        size = tuple(images.shape[2:]) if self.patches is None else self.patches.size
        parameters = draw_parameters(self.augment, noise, images, size)
        return _moved(images, masks, parameters, size, self.dataset.spec.voxel)

    def _terms(
        self, network: nn.Module, images: Data, masks: DrawnMasks, t: PerDraw, noise: Noise, objective: Objective
    ) -> Mapping[str, Tensor]:
        """An objective's terms of images with their masks, one or several of each, at given times."""
        ignored = masks == IGNORED if self._is_partly_ignored else None
        x0 = signed_one_hot(masks, self.classes) if ignored is None else undecided(masks, ignored, self.classes)
        condition = Condition(image=images)
        if self.stride is not None:
            return self._draw_terms(network, condition, x0, ignored, t, noise, objective, stride=self.stride)
        x_t = self.process.corrupt(self._recycled(network, x0, condition, noise), t, noise)
        x, level = self.process.network_input(x_t, t)
        output = network(x, level, self._told(network, x_t, t, condition, noise)).float()
        return objective(self.process, Answer(output, x0, x_t, t, images, ignored))

    @property
    def _is_partly_ignored(self) -> bool:
        """Whether masks may say nothing about some pixels: as they are, or beyond an image that is below a patch."""
        return self.dataset.spec.ignore or self.patches is not None

    def _draw_terms(
        self,
        network: nn.Module,
        condition: Condition,
        x0: Data,
        ignored: Ignored | None,
        t: PerItem,
        noise: Noise,
        objective: Objective,
        *,
        stride: PerAxis,
    ) -> Mapping[str, Tensor]:
        """The terms of r draws of each image, equation (1) of `tasks.draws`; masks and times are those of the draws."""
        assert condition.image is not None
        draws = len(x0) // len(noise)
        noise, images = noise.repeated(draws), condition.image.repeat_interleave(draws, 0)
        small = coarse(x0, ignored, stride)
        x_t = self.process.corrupt(self._recycled(network, small.x0, condition, noise), t, noise)
        x, level = self.process.network_input(x_t, t)

        def estimate_of(output: Output) -> Data:
            return self.process.data(self.process.estimate(output.float(), x_t, t))

        answers = network(x, level, replace(condition, estimate_of=estimate_of))
        output, seen_there = answers.output.float(), block_mean(images, stride)
        terms = objective(self.process, Answer(output, small.x0, x_t, t, seen_there, small.ignored))
        return mean_over_draws(with_full_size(terms, answers, x0, ignored, objective), len(condition.image))

    def _recycled(self, network: nn.Module, x0: Data, condition: Condition, noise: Noise) -> Data:
        """The masks to corrupt: for a share of the items the network's estimate at pure noise."""
        if self.recycle == 0:
            return x0
        x_1 = self.process.prior(x0, noise)
        told = self.sampler.self_condition
        estimate = first_estimate(self.process, network, x_1, 1.0, condition, self_condition=told)
        return torch.where(random_share(noise, x0, share=self.recycle), estimate.to(x0.dtype), x0)

    def _told(self, network: nn.Module, x_t: State, t: PerItem, condition: Condition, noise: Noise) -> Condition:
        """What the network is shown beside the state."""
        told = self.sampler.self_condition
        if told == 0:
            return condition
        estimate = first_estimate(self.process, network, x_t, t, condition, self_condition=told)
        return self_conditioned(estimate, condition, noise, share=self.self_condition)

    @cached_property
    def judged(self) -> HeldOut:
        """What a validation looks at."""
        return HeldOut(self.dataset, self.rows, self.patches, self.seed)

    def validate(self, network: nn.Module) -> Scores:
        """Dice and IoU of sampled masks on the validation rows, mean over foreground classes; the loss there."""
        scores = self.judged.scores(self._predict(network, self.rows))
        return {"score": scores[self.metric], **scores, **self._held_out(network)}

    def control(self) -> tuple[str, float]:
        """The metric of masks that are empty."""
        return "an empty mask", self.judged.empty()[self.metric]

    def constant(self) -> ConstantMask:
        """The mask that is best for all validation rows alike, by the metric that decides."""
        return self.judged.constant(self.metric)

    @torch.inference_mode()
    def _held_out(self, network: nn.Module) -> Scores:
        """The loss of the validation rows as they are, the same times and noise each time; without a second network."""
        objective = replace(self.objective, adversarial=0.0, discriminator=None)
        if objective.process == 0 and not objective.terms:
            return {}
        losses = []
        for start in range(0, len(self.rows), self.batch):
            part = self.rows[start : start + self.batch]
            places = range(start, start + len(part))
            noise = Noise([derive_seed(self.seed, "held out", place) for place in places], self.device)
            t = self.process.times(stratified(noise, places, len(self.rows)))
            images, masks = self._held_out_images(part, noise)
            losses.append(self._terms(network, images, masks, t, noise, objective)["loss"].double().cpu())
        return {"loss_held_out": float(torch.cat(losses).mean())}

    def _held_out_images(self, rows: Sequence[int], noise: Noise) -> tuple[Data, Masks]:
        """As they are: whole, or the same patches each time."""
        if self.patches is None:
            return self.dataset.images(rows, self.device), self.dataset.masks(rows, None, self.device)
        readers = [0] * len(rows)
        return self._cut(rows, self.patches.corners(rows, readers, noise), readers, [0] * len(self.patches.size))

    def preview(self, network: nn.Module) -> Sequence[Shown]:
        """Validation images with predicted and true masks."""
        rows = self.rows[:PREVIEW_CASES]
        images = [to_uint8(self.judged.images([row]))[0][..., : self.dataset.spec.own_channels] for row in rows]
        truth = [self.judged.truth(row) for row in rows]
        shown = [np.where(mask == IGNORED, 0, mask) for mask in truth]  # ignored is outlined as no class
        cases = [Shown(*case) for case in zip(images, self._predict(network, rows), shown, strict=True)]
        return cases if self.dataset.spec.dimensions == 2 else [self._in_three_planes(case) for case in cases]

    def _in_three_planes(self, shown: Shown) -> Shown:
        """A volume as a picture."""
        assert shown.mask is not None and shown.reference is not None
        spec, at = self.dataset.spec, fullest([shown.reference, shown.mask])
        picture = partial(three_planes, at=at, spacing=spec.voxel, axis=spec.slice_axis)
        masks = [picture(mask, nearest=True) for mask in (shown.mask, shown.reference)]
        return Shown(picture(shown.image, nearest=False), *masks)

    def _predict(self, network: nn.Module, rows: Sequence[int]) -> list[np.ndarray]:
        drawn = []
        for part in self.judged.together(rows, self.batch):
            seeds = [derive_seed(self.seed, "validate", self.dataset.cases[row].id) for row in part]
            images = self.judged.images(part, self.device)
            steps = draw_masks(
                self.process, network, self.sampler, images, self.classes, seeds=seeds, window=self.window
            )
            drawn += list(last(steps).x0.argmax(1).cpu().numpy())
        return drawn

    @property
    def window(self) -> tuple[int, ...] | None:
        """In which whole images are seen, as large as the patches; None: all at once."""
        return None if self.patches is None else self.patches.size


def _each(items: Sequence[_Item], times: int) -> list[_Item]:
    """Every item so many times, side by side."""
    return [item for item in items for _ in range(times)]


def _moved(
    images: Tensor, masks: Tensor, parameters: Parameters, size: Sequence[int], spacing: Sequence[float] | None
) -> tuple[Tensor, Tensor]:
    """Augmented images of a size, and of each all its masks."""
    draws = len(masks) // len(images)
    moved = [apply(images, masks[draw::draws], parameters, size, spacing) for draw in range(draws)]
    together = torch.stack([mask for _, mask in moved if mask is not None], 1).flatten(0, 1)
    return moved[0][0], together


@torch.inference_mode()
def draw_masks(
    process: Process,
    network: nn.Module,
    sampler: Sampler,
    images: Data,
    classes: int,
    *,
    seeds: Sequence[int],
    start: Output | None = None,
    window: Sequence[int] | None = None,
    known: SeenImages | None = None,
    guidance: Guidance = UNGUIDED,
    around: Callable[[Denoise], Denoise] = lambda denoise: denoise,
) -> Iterator[Step]:
    """The steps from noise to one mask for each image; `probabilities(step.x0)` of the last one is the answer.

    Args:
        process: the process that the network was trained with.
        network: in evaluation mode.
        sampler: the sampler and its times.
        images: (b, c, *space) in [-1, 1].
        classes: number of mask classes, with the background.
        seeds: one for each image.
        start: estimated one-hot masks in [-1, 1] to start from; None for noise.
        window: sides of the windows in which the network sees an image (`diffusion.tiled`); None: all of it at once.
        known: the images as the network knows them, where it has seen them before (`tasks.seen`).
        guidance: away from what; masks have no classes to drop, so from a weaker network only.
        around: what is put around the whole denoiser, such as an audit of it.
    """
    window = tuple(images.shape[2:] if window is None else window)
    known = seen(network, images, window, process=process) if known is None else known
    like = images.new_empty((len(images), classes, *(known.states.canvas if known else images.shape[2:])))

    def denoiser(each: Network) -> Denoise:
        looking = known if each is network else seen(each, images, window, process=process)
        sides = looking.states.size if looking else window
        at_once = piece_size(like.new_empty(1, 1, *Windows(tuple(like.shape[2:]), sides).size))
        alone = looking.network if looking and isinstance(looking.network, Stateless) else None
        inside = Denoiser(process, alone or MicroBatches(each, at_once))  # alone: pixel by pixel, in any batch
        together = max(1, at_once // len(images))
        return sampler.remembering(Tiled(inside, sides, together, known=looking.of_windows if looking else None))

    denoise, noise = guidance.around(process, network, denoiser), Noise(seeds, images.device)
    start = start if start is None or known is None else block_mean(start, known.stride)
    steps = sampler(process, around(denoise), like, Condition(image=images), noise, start=start)
    yield from steps if known is None else known.finished(steps)
