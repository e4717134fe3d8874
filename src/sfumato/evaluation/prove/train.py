"""One model: an arm and a seed, trained and asked about every test image.

All arms have the same network, steps, batch, learning rate and augmentation; nothing stops early and nothing is chosen
on other data. With one seed two arms begin with the same weights. A unit computes with one thread on a CPU, so its
numbers do not depend on how many run beside it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, assert_never

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from sfumato.builder.network import build_network
from sfumato.builder.process import build_process
from sfumato.builder.task import build_task
from sfumato.data.augmentation.ranges import choose
from sfumato.data.dataset import Dataset
from sfumato.data.mask import IGNORED
from sfumato.evaluation.prove.arms import DataPool, TrainingUnit
from sfumato.evaluation.prove.job import DownstreamTask
from sfumato.experiment.plan import plan_training
from sfumato.metrics.overlap import overlap
from sfumato.networks.classifier import make_classifier
from sfumato.recipe import parse_recipe
from sfumato.tasks.classify import Classify, class_probabilities, fit_downstream
from sfumato.tasks.readers import readers_of
from sfumato.tasks.segment import Segment, draw_masks
from sfumato.tasks.task import last

TRAINING_BATCH = 32

Answers = Float[np.ndarray, "n k"]
"""Of each test case: the probability of each class, or the Dice of each foreground class."""


class Subject(NamedTuple):
    """What all units share.

    Attributes:
        folder: the mixture.
        task: what is trained.
        stock: what there is to train on.
        steps: training steps of each model.
        network: name of the classifier; segmenters have one form.
        device: where to train.
    """

    folder: Path
    task: DownstreamTask
    stock: DataPool
    steps: int
    network: str
    device: str


def run_unit(subject: Subject, unit: TrainingUnit) -> Answers:
    """Train one model and ask it about the test images, in the order of the mixture."""
    dataset = Dataset.open(subject.folder)
    if subject.device == "cpu":
        torch.set_num_threads(1)
    rows, tested = subject.stock.rows(unit), dataset.rows("test")
    match subject.task:
        case "classify":
            return _classify(subject, unit, dataset, rows, tested)
        case "segment":
            return _segment(subject, unit, dataset, rows, tested)
        case _ as never:
            assert_never(never)


def _classify(
    subject: Subject, unit: TrainingUnit, dataset: Dataset, rows: Sequence[int], tested: Sequence[int]
) -> Answers:
    classes, device = dataset.spec.classes, subject.device
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(unit.seed)
        network = make_classifier(subject.network, channels_in=dataset.spec.channels, classes=len(classes)).to(device)
    weights = subject.stock.class_weights(classes) if unit.arm.kind == "weights" else None
    ranges = choose(dataset.spec.modality, task="segment").ranges  # what suits images that are judged, not made
    job = Classify(dataset=dataset, augment=ranges, seed=unit.seed, weights=weights, device=device)
    trained = fit_downstream(network, job.loss, rows, steps=subject.steps, batch=TRAINING_BATCH, seed=unit.seed)
    answers: Answers = class_probabilities(trained, dataset, tested, device=device).double().numpy()
    return answers


def _segment(
    subject: Subject, unit: TrainingUnit, dataset: Dataset, rows: Sequence[int], tested: Sequence[int]
) -> Answers:
    """Our U-Net as `train segment` plans it, without diffusion: cross-entropy and soft Dice, one call for a mask."""
    words = {
        "task": "segment",
        "process": {"kind": "none"},
        "train": {"steps": subject.steps, "batch": TRAINING_BATCH, "seed": unit.seed},
    }
    recipe, _ = plan_training(parse_recipe(words, origin="the arms"), dataset, device=subject.device)
    task = build_task(recipe, dataset, build_process(recipe), device=subject.device)
    assert isinstance(task, Segment)
    network = build_network(recipe, dataset.spec).to(subject.device)
    trained = fit_downstream(network, task.loss, rows, steps=subject.steps, batch=TRAINING_BATCH, seed=unit.seed)
    return _dice(task, trained, dataset, tested)


def _dice(task: Segment, network: nn.Module, dataset: Dataset, tested: Sequence[int]) -> Answers:
    """Dice of each foreground class, the mean over the readers, on the pixels that a reader says something about."""
    answers = np.zeros((len(tested), task.classes - 1))
    for start in range(0, len(tested), TRAINING_BATCH):
        part = list(tested[start : start + TRAINING_BATCH])
        images = dataset.images(part, task.device)
        steps = draw_masks(task.process, network, task.sampler, images, task.classes, seeds=[0] * len(part))
        predicted = last(steps).x0.argmax(1).cpu().numpy()
        for place, (row, mask) in enumerate(zip(part, predicted, strict=True)):
            readers = readers_of(dataset, row)
            for said in readers:
                known = said != IGNORED
                scored = overlap(mask[known], said[known], classes=task.classes, case=dataset.cases[row].id)
                answers[start + place] += scored.dice / len(readers)
    return answers
