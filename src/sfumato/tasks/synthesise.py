"""Synthesis: a (class-)conditional diffusion model of images.

Where the images have masks, pairs may be made too (`tasks.pairs`): images with their masks, images from masks, or masks
alone; where several readers outlined a case, one of them is drawn at each step.

Labels, and masks that images are made from, are dropped for a share of the training items, so that guidance can be
chosen when sampling. Validation is the
denoising loss on held-out images beside that on as many training images, at the same noise: the gap between the two
shows memorisation long before any picture does. Beside it stands the kernel distance of drawn images to held-out ones.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sfumato.data.augmentation import augment, nonleaking
from sfumato.data.augmentation.pipe import Pipe
from sfumato.data.augmentation.ranges import Ranges
from sfumato.data.dataset import Dataset
from sfumato.diffusion.denoiser import Denoiser
from sfumato.diffusion.guidance import Guidance
from sfumato.diffusion.micro_batches import MicroBatches, piece_size
from sfumato.diffusion.process import Condition, Denoise, Network, Process, Step
from sfumato.diffusion.representation import PIXELS, Representation
from sfumato.diffusion.sampler.catalogue import SAMPLERS
from sfumato.evenly import evenly
from sfumato.metrics.gap import paired_gap
from sfumato.networks.uncertainty import weighted_loss
from sfumato.randomness import Noise, derive_seed
from sfumato.recipe import GenerateMetric, Pairs
from sfumato.tasks.image_distance import ImageDistance
from sfumato.tasks.jumps import Jumps
from sfumato.tasks.pairs import Beside, Joined, Layout
from sfumato.tasks.readers import drawn_readers
from sfumato.tasks.task import (
    Sampler,
    Scores,
    Shown,
    batch_noise,
    first_estimate,
    last,
    self_conditioned,
    stratified,
    to_uint8,
)
from sfumato.training.data_order import Batch
from sfumato.typing import Data, Masks, PerItem

PREVIEW_IMAGES = 32


@dataclass(frozen=True, kw_only=True)
class Synthesise:
    """The synthesis job on one dataset.

    Args:
        dataset: the prepared dataset.
        process: the diffusion process.
        sampler: how previews are drawn.
        guidance: of previews.
        rows: rows of `dataset` to validate on.
        train_rows: training rows to compare them with.
        augment: how images are varied; the network is told what a `Pipe` does.
        drop_label: share of labels, with the masks that images are made from, dropped in training.
        uncertainty: whether noise levels are weighed by the network's `log_variance`; in training only, so that the
            losses of validation stay comparable.
        batch: global batch size.
        seed: of the run.
        self_condition: share of items with an estimate to be conditioned on, where the sampler has it shown.
        image_distance: scores drawn images; None: none are drawn to be scored.
        metric: what decides which weights are best, `loss` or `kid`.
        pairs: what is made of images with masks.
        jumps: the loss of the later stages of training; None where no jumps are taught.
        representation: what is diffused in place of images; these are varied before, and shown and judged after.
        device: where the network is.
    """

    dataset: Dataset
    process: Process
    sampler: Sampler
    guidance: Guidance
    rows: Sequence[int]
    train_rows: Sequence[int]
    augment: Ranges | Pipe
    drop_label: float
    batch: int
    seed: int
    uncertainty: bool = False
    self_condition: float = 0.0
    image_distance: ImageDistance | None = None
    metric: GenerateMetric = "loss"
    pairs: Pairs = "none"
    jumps: Jumps | None = None
    representation: Representation = PIXELS
    device: str = "cpu"

    @property
    def classes(self) -> int:
        """Number of label classes; 0 for an unconditional model."""
        return len(self.dataset.spec.classes)

    @property
    def layout(self) -> Layout:
        """What is made of a pair."""
        return Layout.of(self.pairs, self.dataset.spec)

    def loss(self, network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """The process's loss of each item; in the stages that teach jumps that of these."""
        noise = batch_noise(self.seed, batch, self.device)
        t, layout = self.process.times(stratified(noise, batch.slots, self.batch)), self.layout
        dropped = noise.uniform() < self.drop_label
        label = torch.where(dropped, self.classes, self._labels(batch.rows)) if self.classes else None
        images, masks, told = self._varied(
            self.dataset.images(batch.rows, self.device), self._masks(batch, noise), noise
        )
        x0, beside = self.representation.encode(layout.states(images, masks)), layout.shown(masks)
        if beside is not None:
            beside = beside.masked_fill(dropped.view(-1, *[1] * (beside.ndim - 1)), 0.0)
        condition = Condition(image=beside, label=label, augment=told)
        if self.jumps is not None and batch.stage > 0:
            return self.jumps.loss(network, x0, condition, t, noise, stage=batch.stage)
        error = self._denoising_loss(network, x0, condition, t, noise)
        return {"loss": self._weighed(network, error, x0, t)} if self.uncertainty else {"loss": error}

    def _labels(self, rows: Sequence[int]) -> Tensor:
        return self.dataset.labels(rows).to(self.device)

    def _masks(self, batch: Batch, noise: Noise) -> Masks | None:
        """The mask of one reader for each item; None where masks are not looked at."""
        if not self.layout.paired:
            return None
        return self.dataset.masks(batch.rows, drawn_readers(self.dataset, batch.rows, noise), self.device)

    def _first_masks(self, rows: Sequence[int]) -> Masks | None:
        """The mask of the first reader, for what must be the same each time."""
        return self.dataset.masks(rows, None, self.device) if self.layout.paired else None

    @torch.inference_mode()
    def validate(self, network: nn.Module) -> Scores:
        """Denoising loss on held-out and on training images, the gap between them, and the distance of drawn images."""
        known = [self.train_rows[k % len(self.train_rows)] for k in range(len(self.rows))]
        held_out, seen = self._losses(network, self.rows), self._losses(network, known)
        gap = paired_gap(held_out, seen, np.array(known))
        scores = {"loss_held_out": float(held_out.mean()), "loss_train": float(seen.mean())}
        scores |= {"gap": gap.value, "gap_error": gap.error}
        if self.image_distance is not None:
            rows = [self.rows[k % len(self.rows)] for k in range(self.image_distance.images)]
            labels = self.dataset.labels(rows).tolist() if self.classes else [None] * len(rows)
            images = self.layout.parted(self._draw(network, labels, "judged", self._first_masks(rows))).images
            assert images is not None, "distances are between images"
            scores["kid"] = self.image_distance.distance(images)
        return {"score": -scores["kid" if self.metric == "kid" else "loss_held_out"], **scores}

    def control(self) -> tuple[str, float] | None:
        """The distance of real images, of as many from the training split; a loss has that on training images."""
        if self.metric != "kid" or self.image_distance is None:
            return None
        return "real images", self.image_distance.distance(
            self.dataset.images(evenly(self.train_rows, self.image_distance.images))
        )

    def preview(self, network: nn.Module) -> Sequence[Shown]:
        """Samples, the classes in turn; images that are made from masks with these."""
        labels = [k % self.classes for k in range(PREVIEW_IMAGES)] if self.classes else [None] * PREVIEW_IMAGES
        given = self._first_masks([self.rows[k % len(self.rows)] for k in range(PREVIEW_IMAGES)])
        images, masks = self.layout.parted(self._draw(network, labels, "preview", given))
        if masks is None and self.layout.from_mask:
            masks = given
        if images is None:
            assert masks is not None
            return [Shown(picture) for picture in _pictured(masks.cpu().numpy(), self.layout.classes)]
        return [
            Shown(image, None if masks is None else masks[k].cpu().numpy()) for k, image in enumerate(to_uint8(images))
        ]

    def _draw(
        self, network: nn.Module, labels: Sequence[int | None], purpose: str, masks: Masks | None = None
    ) -> Joined:
        """x0 for each label and mask, the same noise each time it is asked for this purpose."""
        layout, drawn = self.layout, []
        for start in range(0, len(labels), self.batch):
            part = labels[start : start + self.batch]
            noise = Noise([derive_seed(self.seed, purpose, start + k) for k in range(len(part))], self.device)
            shape = self.representation.shape(layout.state, self.dataset.spec.common_size)
            like = torch.empty((len(part), *shape), device=self.device)
            x = self.process.prior(like, noise, t=self.sampler.times[0])
            beside = None if masks is None else layout.shown(masks[start : start + self.batch])
            steps = draw_images(
                self.process,
                network,
                self.sampler,
                x,
                part,
                noise,
                guidance=self.guidance,
                classes=self.classes,
                beside=beside,
                representation=self.representation,
            )
            drawn.append(self.representation.decode(last(steps).x))
        return torch.cat(drawn)

    def _varied(self, images: Data, masks: Masks | None, noise: Noise) -> tuple[Data, Masks | None, Tensor | None]:
        """Augmented images, masks moved with them, and what the network is told about it."""
        if isinstance(self.augment, Ranges):
            return *augment.apply(images, masks, augment.draw_parameters(self.augment, noise, images)), None
        height, width = images.shape[-2:]
        done = nonleaking.decide_parameters(nonleaking.draw_numbers(noise), self.augment, height=height, width=width)
        moved = None if masks is None else nonleaking.apply_to_masks(masks, done, classes=self.layout.classes)
        return nonleaking.apply_non_leaking(images, done), moved, done.labels.to(images.device)

    def _losses(self, network: nn.Module, rows: Sequence[int]) -> Float[np.ndarray, " n"]:
        """The loss of each row, the same times and noise in its place each time it is asked."""
        losses = []
        for start in range(0, len(rows), self.batch):
            part = rows[start : start + self.batch]
            noise = Noise([derive_seed(self.seed, "validate", start + k) for k in range(len(part))], self.device)
            masks, label = self._first_masks(part), self._labels(part) if self.classes else None
            x0 = self.representation.encode(self.layout.states(self.dataset.images(part, self.device), masks))
            condition = Condition(image=self.layout.shown(masks), label=label)
            t = self.process.times(stratified(noise, range(start, start + len(part)), len(rows)))
            losses.append(self._denoising_loss(network, x0, condition, t, noise).double().cpu().numpy())
        return np.concatenate(losses)

    def _denoising_loss(self, network: nn.Module, x0: Data, condition: Condition, t: PerItem, noise: Noise) -> PerItem:
        x_t = self.process.corrupt(x0, t, noise)
        if told := self.sampler.self_condition:
            estimate = first_estimate(self.process, network, x_t, t, condition, self_condition=told)
            condition = self_conditioned(estimate[:, :told], condition, noise, share=self.self_condition)
        x, level = self.process.network_input(x_t, t)
        return self.process.loss(network(x, level, condition).float(), x0, x_t, t)

    def _weighed(self, network: nn.Module, error: PerItem, images: Data, t: PerItem) -> PerItem:
        """The loss in units of what is usual at its noise level."""
        _, level = self.process.network_input(images, t)
        assert callable(network.log_variance), "build wraps the network"
        return weighted_loss(error, network.log_variance(level))


@torch.inference_mode()
def draw_images(
    process: Process,
    network: nn.Module,
    sampler: Sampler,
    x: Data,
    labels: Sequence[int | None],
    noise: Noise,
    *,
    guidance: Guidance,
    classes: int,
    beside: Beside | None = None,
    representation: Representation = PIXELS,
) -> Iterator[Step]:
    """The steps from a state to one image for each label.

    Args:
        process: the process that the network was trained with.
        network: in evaluation mode.
        sampler: the sampler and its times.
        x: the state (b, c, *space) at the sampler's first time, where the network is.
        labels: class of each image; None for 'no class'.
        noise: of each image.
        guidance: away from what.
        classes: number of classes of the model; 0 for an unconditional one.
        beside: what the network is shown beside the state: one-hot masks that images are made from.
        representation: what the state is of in place of images.

    Yields:
        Steps; the last one holds the images, about in [-1, 1], as `representation` encodes them.
    """
    entry, label = SAMPLERS[sampler.name], None
    process = entry.sampled_process(process)
    clip = None if entry.jumps else 1.0  # a jump's x0_hat only carries the state to where the jump ends
    if classes:
        label = torch.tensor([classes if k is None else k for k in labels], device=x.device)

    def denoiser(network: Network) -> Denoise:
        inner = Denoiser(process, MicroBatches(network, piece_size(x)), clip=clip, representation=representation)
        return sampler.remembering(inner)

    denoise = guidance.around(process, network, denoiser, unlabelled=classes or None, drops_image=beside is not None)
    yield from sampler.sampling_loop(process, denoise, x, Condition(image=beside, label=label), noise)


def _pictured(masks: np.ndarray, classes: int) -> np.ndarray:
    """Masks (b, h, w) as pictures (b, h, w, 1) uint8: the background black, the last class white."""
    return (masks * (255 / max(1, classes - 1))).round().astype(np.uint8)[..., None]
