"""Segmentation: a diffusion model of masks, conditioned on the image.

The state is the one-hot mask in [-1, 1], all classes with the background; the image is concatenated. The network
predicts logits of the clean mask, trained with cross-entropy and soft Dice, so every network call gives calibrated
probabilities. Where several readers outlined a case, one of them is drawn at each step, so the model learns their
distribution and not their mean.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sfumato.data.augment import apply, draw
from sfumato.data.pack import Pack
from sfumato.diffusion.denoiser import Denoiser
from sfumato.diffusion.loss import soft_dice
from sfumato.diffusion.process import Condition, Noise, Process, Step, derive_seed
from sfumato.metrics.overlap import overlap, summarise
from sfumato.tasks.task import Sampler, Scores, Shown, batch_noise, stratified, to_uint8
from sfumato.training.stream import Batch
from sfumato.typing import Data, Masks

PREVIEW_CASES = 12


def one_hot(masks: Masks, classes: int) -> Data:
    """Class indices as a one-hot mask in [-1, 1]."""
    return functional.one_hot(masks, classes).movedim(-1, 1).float() * 2 - 1


@dataclass(frozen=True, kw_only=True)
class Segment:
    """The segmentation job on one dataset.

    Args:
        pack: the prepared dataset.
        process: the diffusion process, or `Deterministic`.
        sampler: how masks are drawn on the validation split.
        rows: rows of `pack` to validate on.
        augment: preset of `data.augment`.
        process_weight: weight of the process's own loss.
        dice_weight: weight of the soft Dice on the estimate.
        batch: global batch size.
        seed: of the run.
        device: where the network is.
    """

    pack: Pack
    process: Process
    sampler: Sampler
    rows: Sequence[int]
    augment: Literal["none", "light", "medium", "heavy"]
    process_weight: float
    dice_weight: float
    batch: int
    seed: int
    device: str = "cpu"

    @property
    def classes(self) -> int:
        """Number of mask classes, with the background."""
        return len(self.pack.spec.mask_classes)

    def loss(self, network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """Cross-entropy (or the process's own loss) and soft Dice of each item."""
        noise = batch_noise(self.seed, batch, self.device)
        t = self.process.times(stratified(noise, batch.slots, self.batch))
        readers = (noise.uniform() * self.pack.spec.readers).long().tolist()
        images = self.pack.images(batch.rows, self.device)
        masks = self.pack.masks(batch.rows, readers).to(self.device)
        images, moved = apply(images, masks, draw(self.augment, noise))
        assert moved is not None
        x0 = one_hot(moved, self.classes)
        x_t = self.process.corrupt(x0, t, noise)
        x, level = self.process.network_input(x_t, t)
        output = network(x, level, Condition(image=images)).float()
        terms = {"process": self.process.loss(output, x0, x_t, t)}
        total = self.process_weight * terms["process"]
        if self.dice_weight > 0:
            terms["dice"] = soft_dice(self.process.estimate(output, x_t, t), x0)
            total = total + self.dice_weight * terms["dice"]
        return {"loss": total, **terms}

    def validate(self, network: nn.Module) -> Scores:
        """Dice and IoU of sampled masks on the validation rows, mean over foreground classes."""
        predicted = self._predict(network, self.rows)
        summary = summarise(
            [
                overlap(mask, truth, classes=self.classes, case=self.pack.cases[row].id)
                for row, mask, truth in zip(self.rows, predicted, self._truth(self.rows), strict=True)
            ]
        )
        dice = float(np.mean([foreground.dice for foreground in summary]))
        iou = float(np.mean([foreground.iou for foreground in summary]))
        return {"score": dice, "dice": dice, "iou": iou}

    def preview(self, network: nn.Module) -> Sequence[Shown]:
        """Validation images with predicted and true masks."""
        rows = self.rows[:PREVIEW_CASES]
        images = to_uint8(self.pack.images(rows))
        return [Shown(*case) for case in zip(images, self._predict(network, rows), self._truth(rows), strict=True)]

    def _truth(self, rows: Sequence[int]) -> np.ndarray:
        return self.pack.masks(rows, None).numpy()

    def _predict(self, network: nn.Module, rows: Sequence[int]) -> np.ndarray:
        seeds = [derive_seed(self.seed, "validate", self.pack.cases[row].id) for row in rows]
        drawn = []
        for start in range(0, len(rows), self.batch):
            part = slice(start, start + self.batch)
            images = self.pack.images(rows[part], self.device)
            *_, last = draw_masks(self.process, network, self.sampler, images, self.classes, seeds=seeds[part])
            drawn.append(last.x0)
        return torch.cat(drawn).argmax(1).cpu().numpy()


@torch.inference_mode()
def draw_masks(
    process: Process, network: nn.Module, sampler: Sampler, images: Data, classes: int, *, seeds: Sequence[int]
) -> Iterator[Step]:
    """The steps from noise to one mask for each image; `probabilities(step.x0)` of the last one is the answer.

    Args:
        process: the process that the network was trained with.
        network: in evaluation mode.
        sampler: the sampler and its times.
        images: (b, c, *space) in [-1, 1].
        classes: number of mask classes, with the background.
        seeds: one for each image.
    """
    like = images.new_empty((len(images), classes, *images.shape[2:]))
    yield from sampler(process, Denoiser(process, network), like, Condition(image=images), Noise(seeds, images.device))


def probabilities(x0_hat: Data) -> Data:
    """Class probabilities in [0, 1] from an estimated one-hot mask in [-1, 1]."""
    return ((x0_hat + 1) / 2).clamp(0, 1)
