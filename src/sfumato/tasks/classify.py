"""Classification of a dataset's labels: what synthetic images are to help with, and whose features judge them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from sfumato.data.augmentation.augment import apply, draw_parameters
from sfumato.data.augmentation.ranges import Ranges
from sfumato.data.dataset import Dataset
from sfumato.metrics.fidelity import Features
from sfumato.networks.classifier import Classifier
from sfumato.tasks.task import batch_noise
from sfumato.training.data_order import Batch, DataOrder
from sfumato.training.ema import EMA
from sfumato.training.gradient import Loss
from sfumato.training.loop import StoppingCriterion, TrainingSettings, training_loop
from sfumato.training.optimizer import make_optimizer
from sfumato.training.parts import TrainingState
from sfumato.typing import Data

FEATURE_BATCH = 64
"""Images of which features are taken at once."""


@dataclass(frozen=True, kw_only=True)
class Classify:
    """The loss of a classifier on a prepared dataset.

    Args:
        dataset: the dataset.
        augment: how images are varied.
        seed: of the run.
        weights: of each class in the loss; None for 1.
        device: where the network is.
    """

    dataset: Dataset
    augment: Ranges
    seed: int
    weights: tuple[float, ...] | None = None
    device: str = "cpu"

    def loss(self, network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """Cross-entropy of each item, times the weight of its class."""
        noise = batch_noise(self.seed, batch, self.device)
        images = self.dataset.images(batch.rows, self.device)
        images, _ = apply(images, None, draw_parameters(self.augment, noise, images))
        labels = self.dataset.labels(batch.rows).to(self.device)
        losses = functional.cross_entropy(network(images), labels, reduction="none")
        return {"loss": losses if self.weights is None else losses * losses.new_tensor(self.weights)[labels]}


def fit_classifier(
    dataset: Dataset,
    *,
    augment: Ranges,
    rows: Sequence[int] | None = None,
    steps: int = 500,
    batch: int = 32,
    seed: int = 0,
    device: str = "cpu",
) -> Classifier:
    """A classifier of the labels, trained on the training split or on `rows`; its averaged weights, in evaluation mode.

    Raises:
        ValueError: the dataset has no labels.
    """
    if not dataset.spec.classes:
        raise ValueError("a classifier needs a dataset with labels")
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(seed)
        network = Classifier(channels_in=dataset.spec.channels, classes=len(dataset.spec.classes)).to(device)
    job = Classify(dataset=dataset, augment=augment, seed=seed, device=device)
    trained = fit_downstream(
        network, job.loss, dataset.rows("train") if rows is None else rows, steps=steps, batch=batch, seed=seed
    )
    assert isinstance(trained, Classifier)
    return trained


def fit_downstream(
    network: nn.Module, loss: Loss, rows: Sequence[int], *, steps: int, batch: int, seed: int = 0
) -> nn.Module:
    """Train a downstream model from its initial weights; its averaged weights, in evaluation mode.

    Args:
        network: trained in place.
        loss: terms of a batch.
        rows: of the dataset; one that comes twice counts twice.
        steps: how many; the learning rate falls to zero over them.
        batch: images of a step.
        seed: of the order of the images.
    """
    optimizer = make_optimizer(network, learning_rate=1e-3, weight_decay=0.01)
    parts = TrainingState(network=network, ema=EMA(network, half_life=10 * batch), optimizer=optimizer)
    data_order = DataOrder(rows=tuple(rows), batch=batch, seed=seed)
    settings = TrainingSettings(learning_rate=1e-3, warmup_steps=20, seed=seed)
    for _ in training_loop(parts, loss, data_order, until=StoppingCriterion(steps=steps), settings=settings):
        pass
    return parts.ema.network.eval()


@torch.inference_mode()
def class_probabilities(
    network: nn.Module, dataset: Dataset, rows: Sequence[int], *, device: str = "cpu"
) -> Float[Tensor, "n k"]:
    """The probability of each class for each of these rows, on the CPU."""
    parts = [rows[start : start + FEATURE_BATCH] for start in range(0, len(rows), FEATURE_BATCH)]
    return torch.cat([network(dataset.images(part, device)).float().softmax(1).cpu() for part in parts])


class OwnSpace:
    """The features of a classifier, each with mean 0 and mean square 1 on real images.

    Args:
        classifier: the classifier.
        real: real images (n, c, *space) in [-1, 1].
    """

    def __init__(self, classifier: Classifier, real: Data) -> None:
        self.classifier = classifier
        raw = self._raw(real)
        self.mean, self.scale = raw.mean(0), raw.std(0).clip(min=1e-6)

    def features(self, images: Data) -> Features:
        """The features of images of any size."""
        features: Features = (self._raw(images) - self.mean) / self.scale
        return features

    @torch.inference_mode()
    def _raw(self, images: Data) -> Features:
        parts = [
            self.classifier.features(images[start : start + FEATURE_BATCH])
            for start in range(0, len(images), FEATURE_BATCH)
        ]
        return torch.cat(parts).double().cpu().numpy()
