"""From a recipe to the job on a prepared dataset."""

from typing import assert_never

from torch import nn

from sfumato.builder.data import build_augment, build_representation
from sfumato.builder.network import draws_of, state_stride
from sfumato.builder.objective import build_objective
from sfumato.builder.sampling import build_guidance, build_run_sampler, jump_start
from sfumato.data.augmentation.pipe import Pipe
from sfumato.data.augmentation.ranges import Ranges
from sfumato.data.dataset import Dataset
from sfumato.diffusion.family.deterministic import Deterministic
from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.family.low_rank import LowRankLogits
from sfumato.diffusion.process import Process
from sfumato.errors import UsageError
from sfumato.evenly import evenly
from sfumato.recipe import (
    Pairs,
    Recipe,
)
from sfumato.tasks.image_distance import ImageDistance
from sfumato.tasks.jumps import Jumps
from sfumato.tasks.patches import Patches
from sfumato.tasks.segment import Segment
from sfumato.tasks.synthesise import Synthesise
from sfumato.tasks.task import Task

JUDGED_AGAINST = 256
"""Held-out images at most that drawn ones are compared with while a model trains."""


def build_dataset(recipe: Recipe, dataset: Dataset) -> Dataset:
    """A data set as the recipe looks at it: without its classes, where an image is told none."""
    return dataset.without_classes() if recipe.data.labels == "none" else dataset


def build_patches(recipe: Recipe, dataset: Dataset) -> Patches | None:
    """What is cut out of images to train on; None for whole images."""
    patch = recipe.data.patch
    return Patches(dataset, patch) if isinstance(patch, tuple) else None


def build_task(
    recipe: Recipe, dataset: Dataset, process: Process, *, device: str, discriminator: nn.Module | None = None
) -> Task:
    """The job on a prepared dataset; `discriminator` is what `build_adversary` made, where the recipe has one."""
    sample = recipe.sample.model_copy(update={"start": "noise"})  # the twin, if there will be one, is trained later
    sampler = build_run_sampler(recipe, sample, dataset.spec, process)
    _check_own_estimates(recipe, process)
    train = dataset.rows("train")
    held_out = evenly(dataset.rows("validation") or train, recipe.validate_.cases)
    augment = build_augment(recipe)
    if isinstance(augment, Pipe):
        augment.check(channels=dataset.spec.channels, size=dataset.spec.common_size)
    metric = recipe.validate_.metric
    match recipe.task:
        case "segment":
            assert isinstance(augment, Ranges), "build_augment refuses pipes for masks"
            return Segment(
                dataset=dataset,
                process=process,
                sampler=sampler,
                rows=held_out,
                augment=augment,
                objective=build_objective(recipe, process, discriminator=discriminator),
                batch=recipe.train.global_batch,
                seed=recipe.train.seed,
                recycle=recipe.train.recycle,
                self_condition=recipe.train.self_condition,
                metric="iou" if metric == "iou" else "dice",
                patches=build_patches(recipe, dataset),
                stride=state_stride(recipe, dataset.spec),
                draws=draws_of(recipe),
                device=device,
            )
        case "generate":
            pairs = recipe.data.pairs
            guidance = build_guidance(
                recipe.sample, process, classes=len(dataset.spec.classes), from_mask=pairs == "image_from_mask"
            )
            _check_masks(pairs, dataset)
            return Synthesise(
                dataset=dataset,
                process=process,
                sampler=sampler,
                guidance=guidance,
                rows=held_out,
                train_rows=evenly(train, len(held_out)),
                augment=augment,
                drop_label=recipe.train.drop_label,
                batch=recipe.train.global_batch,
                seed=recipe.train.seed,
                uncertainty=recipe.loss.uncertainty,
                self_condition=recipe.train.self_condition,
                image_distance=_image_distance(recipe, dataset),
                metric="kid" if metric == "kid" else "loss",
                pairs=pairs,
                jumps=_build_jumps(recipe, process),
                representation=build_representation(recipe.data),
                device=device,
            )
        case _ as never:
            assert_never(never)


def _build_jumps(recipe: Recipe, process: Process) -> Jumps | None:
    if recipe.train.few_calls is None:
        return None
    assert isinstance(process, Gaussian), "the recipe refuses jumps but of a flow"
    return Jumps(process, start=jump_start(process.schedule))


def _check_masks(pairs: Pairs, dataset: Dataset) -> None:
    """Whether the masks are whole.

    Raises:
        UsageError: some of their pixels say nothing; a mask that is made has a class everywhere.
    """
    if pairs != "none" and dataset.spec.ignore:
        raise UsageError(
            f"data.pairs={pairs}: some pixels of the masks say nothing about their class",
            expected="a class for every pixel",
            remedy="give these pixels a class of their own, or another mask",
        )


def _image_distance(recipe: Recipe, dataset: Dataset) -> ImageDistance | None:
    """What drawn images are compared with while the model trains; a distance needs two on each side.

    Raises:
        UsageError: the distance is to decide, and there are too few images.
    """
    if recipe.data.pairs == "mask":
        return None
    train = dataset.rows("train", at_most=JUDGED_AGAINST)
    held_out = dataset.rows("validation", at_most=JUDGED_AGAINST) or train
    if min(len(train), len(held_out), recipe.validate_.images) >= 2:
        return ImageDistance(dataset, held_out, train, recipe.validate_.images)
    if recipe.validate_.metric == "kid":
        raise UsageError(
            f"validate.metric=kid with {len(train)} training and {len(held_out)} validation images",
            expected="two of each",
            remedy="--set validate.metric=loss",
        )
    return None


def _check_own_estimates(recipe: Recipe, process: Process) -> None:
    """Refuse to train on the network's own estimates where that says nothing.

    Raises:
        UsageError: of a model of images, of the twin, or of a prediction whose target is the noise in the state.
    """
    train = recipe.train
    if recipe.task == "generate" and (train.recycle > 0 or recipe.sample.start == "twin"):
        raise UsageError(
            "train.recycle and sample.start=twin are for masks", remedy="leave them out, or train self_condition"
        )
    if isinstance(process, Deterministic | LowRankLogits) and (train.recycle > 0 or train.self_condition > 0):
        raise UsageError(
            f"process {recipe.process.kind} has no state that could be made from the network's estimate",
            remedy="--set train.recycle=0 --set train.self_condition=0",
        )
    if isinstance(process, Deterministic | LowRankLogits) and recipe.sample.start == "twin":
        raise UsageError(
            f"sample.start=twin with process {recipe.process.kind}, which has no noise levels to start between",
            remedy="--set sample.start=noise",
        )
    if train.recycle > 0 and isinstance(process, Gaussian) and process.prediction not in ("logits", "x0"):
        raise UsageError(
            f"train.recycle with prediction {process.prediction}: its target is taken from the noise, which a "
            "state made from an estimate hides",
            expected="process.prediction=logits, or x0",
        )
