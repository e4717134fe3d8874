"""Synthesis: a (class-)conditional diffusion model of images.

Labels are dropped for a share of the training items, so that guidance can be chosen when sampling. Validation is the
denoising loss on held-out images beside that on as many training images, at the same noise: the gap between the two
shows memorisation long before any picture does. Beside it stands the kernel distance of drawn images to held-out ones.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from sfumato.data.augmentation import augment, nonleaking
from sfumato.data.augmentation.pipe import Pipe
from sfumato.data.augmentation.ranges import Ranges
from sfumato.data.pack import Pack
from sfumato.diffusion.denoiser import Denoiser
from sfumato.diffusion.guidance import Guidance
from sfumato.diffusion.pieces import Pieces, piece_size
from sfumato.diffusion.process import Condition, Denoise, Network, Noise, Process, Step, derive_seed
from sfumato.diffusion.sampler.catalogue import SAMPLERS
from sfumato.networks.uncertainty import weigh
from sfumato.tasks.judge import Judge
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
from sfumato.training.stream import Batch
from sfumato.typing import Data, PerItem

GenerateMetric = Literal["loss", "kid"]

PREVIEW_IMAGES = 32


@dataclass(frozen=True, kw_only=True)
class Synthesise:
    """The synthesis job on one dataset.

    Args:
        pack: the prepared dataset.
        process: the diffusion process.
        sampler: how previews are drawn.
        guidance: of previews.
        rows: rows of `pack` to validate on.
        train_rows: training rows to compare them with.
        augment: how images are varied; the network is told what a `Pipe` does.
        drop_label: share of labels dropped in training.
        uncertainty: whether noise levels are weighed by the network's `log_variance`; in training only, so that the
            losses of validation stay comparable.
        batch: global batch size.
        seed: of the run.
        self_condition: share of items with an estimate to be conditioned on, where the sampler has it shown.
        judge: scores drawn images; None: none are drawn to be scored.
        metric: what decides which weights are best, `loss` or `kid`.
        device: where the network is.
    """

    pack: Pack
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
    judge: Judge | None = None
    metric: GenerateMetric = "loss"
    device: str = "cpu"

    @property
    def classes(self) -> int:
        """Number of label classes; 0 for an unconditional model."""
        return len(self.pack.spec.classes)

    def loss(self, network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """The process's loss of each item."""
        noise = batch_noise(self.seed, batch, self.device)
        t = self.process.times(stratified(noise, batch.slots, self.batch))
        label = None
        if self.classes:
            label = self.pack.labels(batch.rows).to(self.device)
            label = torch.where(noise.uniform() < self.drop_label, self.classes, label)
        images, told = self._varied(self.pack.images(batch.rows, self.device), noise)
        error = self._denoising_loss(network, images, Condition(label=label, augment=told), t, noise)
        return {"loss": self._weighed(network, error, images, t)} if self.uncertainty else {"loss": error}

    @torch.inference_mode()
    def validate(self, network: nn.Module) -> Scores:
        """Denoising loss on held-out and on training images, the gap between them, and the distance of drawn images."""
        held_out, seen = self._mean_loss(network, self.rows), self._mean_loss(network, self.train_rows)
        scores = {"loss_held_out": held_out, "loss_train": seen, "gap": held_out - seen}
        if self.judge is not None:
            rows = [self.rows[k % len(self.rows)] for k in range(self.judge.images)]
            labels = self.pack.labels(rows).tolist() if self.classes else [None] * len(rows)
            scores["kid"] = self.judge.distance(self._draw(network, labels, "judged"))
        return {"score": -scores["kid" if self.metric == "kid" else "loss_held_out"], **scores}

    def preview(self, network: nn.Module) -> Sequence[Shown]:
        """Samples, the classes in turn."""
        labels = [k % self.classes for k in range(PREVIEW_IMAGES)] if self.classes else [None] * PREVIEW_IMAGES
        return [Shown(image) for image in to_uint8(self._draw(network, labels, "preview"))]

    def _draw(self, network: nn.Module, labels: Sequence[int | None], purpose: str) -> Data:
        """An image for each label, the same noise each time it is asked for this purpose."""
        drawn = []
        for start in range(0, len(labels), self.batch):
            part = labels[start : start + self.batch]
            noise = Noise([derive_seed(self.seed, purpose, start + k) for k in range(len(part))], self.device)
            like = torch.empty((len(part), self.pack.spec.channels, *self.pack.spec.size), device=self.device)
            x = self.process.prior(like, noise, t=self.sampler.times[0])
            steps = draw_images(
                self.process, network, self.sampler, x, part, noise, guidance=self.guidance, classes=self.classes
            )
            drawn.append(last(steps).x)
        return torch.cat(drawn)

    def _varied(self, images: Data, noise: Noise) -> tuple[Data, Tensor | None]:
        """Augmented images, and what the network is told about it."""
        if isinstance(self.augment, Ranges):
            return augment.apply(images, None, augment.draw(self.augment, noise, images))[0], None
        height, width = images.shape[-2:]
        parameters = nonleaking.decide(nonleaking.draw(noise), self.augment, height=height, width=width)
        return nonleaking.apply(images, parameters), parameters.labels.to(images.device)

    def _mean_loss(self, network: nn.Module, rows: Sequence[int]) -> float:
        """Mean over rows, the same times and noise each time it is asked."""
        total = 0.0
        for start in range(0, len(rows), self.batch):
            part = rows[start : start + self.batch]
            noise = Noise([derive_seed(self.seed, "validate", start + k) for k in range(len(part))], self.device)
            images = self.pack.images(part, self.device)
            label = self.pack.labels(part).to(self.device) if self.classes else None
            t = self.process.times(stratified(noise, range(start, start + len(part)), len(rows)))
            total += float(self._denoising_loss(network, images, Condition(label=label), t, noise).sum())
        return total / len(rows)

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
        return weigh(error, network.log_variance(level))


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

    Yields:
        Steps; the last one holds the images, about in [-1, 1].
    """
    process, condition = SAMPLERS[sampler.name].walked(process), Condition()
    if classes:
        condition = Condition(label=torch.tensor([classes if k is None else k for k in labels], device=x.device))

    def denoiser(network: Network) -> Denoise:
        return sampler.remembering(Denoiser(process, Pieces(network, piece_size(x)), clip=1.0))

    denoise = guidance.around(process, network, denoiser, unlabelled=classes or None)
    yield from sampler.walk(process, denoise, x, condition, noise)
