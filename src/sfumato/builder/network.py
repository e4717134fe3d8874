"""From a recipe to the network."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, assert_never

import torch
from torch import nn

from sfumato.builder.data import build_augment, encoded_shape
from sfumato.builder.process import build_process
from sfumato.data.augmentation.pipe import Pipe
from sfumato.data.spec import Spec
from sfumato.errors import UsageError
from sfumato.networks.amortised import Amortised, halvings_before
from sfumato.networks.blocks import Dimensions
from sfumato.networks.dit import DiT
from sfumato.networks.foreign import DiffusersUNet, MonaiUNet, diffusers_unet
from sfumato.networks.halving import Halvings, level_halvings
from sfumato.networks.jumps import JUMP_LABELS, tell_jumps
from sfumato.networks.magnitude import MagnitudeUNet
from sfumato.networks.maskhead import MaskHead
from sfumato.networks.measure import Call
from sfumato.networks.own import build_own
from sfumato.networks.score import ADM, DDPMPP, NCSNPP, ScoreUNet
from sfumato.networks.surgery import Signature
from sfumato.networks.swin import SwinUNet
from sfumato.networks.uncertainty import Weighted
from sfumato.networks.unet import UNet
from sfumato.recipe import CategoricalProcess, Recipe
from sfumato.recipe.network import (
    AmortisedNetwork,
    DiTNetwork,
    ForeignNetwork,
    MagnitudeNetwork,
    MaskHeadNetwork,
    OwnNetwork,
    PlannedNetwork,
    PretrainedNetwork,
    Resolutions,
    ScoreNetwork,
    SwinNetwork,
    ToldSteps,
    UNetNetwork,
    Widths,
)
from sfumato.recipe.process import FlowProcess, NoProcess, SSNProcess
from sfumato.tasks.pairs import Layout

_OF_IMAGES = frozenset({"diffusers", "pretrained"})
"""Kinds of networks that see images and no volumes."""


def build_network(recipe: Recipe, spec: Spec, *, numbers: bool = True) -> nn.Module:
    """The network of a task on data of a kind, with its initial weights drawn from the recipe's seed.

    Args:
        recipe: every `auto` resolved.
        spec: the data.
        numbers: False builds only the shapes of its tensors (on torch's device meta), which takes no memory.

    Raises:
        UsageError: the network does not do this task or these data, or its measures do not fit together.
    """
    shape, size, spacing = _shape(recipe, spec), seen_size(recipe, spec), spec.voxel
    augment = None if recipe.data.augment == "auto" else build_augment(recipe)  # auto never becomes a pipe
    labels = augment.labels if isinstance(augment, Pipe) else 0
    told = {**shape, "augment_labels": labels + JUMP_LABELS * (recipe.train.few_calls is not None)}
    dimensions = dimensions_of(recipe, spec)
    refuse_volumes(recipe.network.kind, dimensions)
    ours = {**told, "dimensions": dimensions}
    _refuse_prior(recipe)
    with torch.random.fork_rng(), nullcontext() if numbers else torch.device("meta"):
        torch.default_generator.manual_seed(recipe.train.seed)
        match recipe.network:
            case PlannedNetwork():
                raise AssertionError("the plan resolves every auto")
            case UNetNetwork() as n:
                network: nn.Module = UNet(**ours, **_stages(n, size, spacing))
            case ScoreNetwork() as n:
                design = {"ddpmpp": DDPMPP, "ncsnpp": NCSNPP, "adm": ADM}[n.kind]
                network = ScoreUNet(design, **ours, **_stages(n, size, spacing))
            case MagnitudeNetwork() as n:
                network = MagnitudeUNet(**ours, **_stages(n, size, spacing))
            case DiTNetwork() as n:
                network = DiT(**ours, **_keywords(n))
            case SwinNetwork() as n:
                network = SwinUNet(**ours, **_keywords(n))
            case MaskHeadNetwork() as n:
                _refuse_no_logits(recipe)
                network = MaskHead(**ours, **_keywords(n), halvings=_halvings(n, size, spacing))
            case AmortisedNetwork() as n:
                network = Amortised(**ours, **_amortised(recipe, n, spec), halvings=_halvings(n, size, spacing))
            case ForeignNetwork() as n:
                make = diffusers_unet if n.kind == "diffusers" else MonaiUNet
                network = make(**shape, dimensions=dimensions, **_widths(n, size, None))
            case PretrainedNetwork() as n:
                network = DiffusersUNet(**shape, config=n.config, gradient_checkpointing=n.gradient_checkpointing)
            case OwnNetwork() as n:
                network = build_own(n.factory, options=n.options, shape=told, size=size)
            case _ as never:
                assert_never(never)
    return _with_training(recipe, network, augment=labels)


def seen_size(recipe: Recipe, spec: Spec) -> tuple[int, ...]:
    """Height and width, of volumes planes before them, of what the network sees in training: a patch or all of it."""
    patch = recipe.data.patch
    if isinstance(patch, tuple):
        return patch
    return encoded_shape(recipe.data, spec)[1:] if recipe.data.representation == "haar" else spec.common_size


def dimensions_of(recipe: Recipe, spec: Spec) -> Dimensions:
    """2 where the network sees images, 3 where it sees volumes."""
    return 2 if len(seen_size(recipe, spec)) == 2 else 3


def refuse_volumes(kind: str, dimensions: int) -> None:
    """Networks from elsewhere that know images alone.

    Raises:
        UsageError: it is one of them, and sees volumes.
    """
    if dimensions == 3 and kind in _OF_IMAGES:
        raise UsageError(
            f"network.kind={kind} for volumes: it is made for images",
            expected="a network that sees three dimensions",
            remedy="--set network.kind=unet",
        )


def build_call(recipe: Recipe, spec: Spec) -> Call:
    """What one call of the network takes."""
    shape = _shape(recipe, spec)
    labelled, stride, size = bool(shape["classes"]), state_stride(recipe, spec) or 1, seen_size(recipe, spec)
    return Call(shape["channels_in"], shape["channels_condition"], size, labelled=labelled, stride=stride)


def build_signature(recipe: Recipe, spec: Spec) -> Signature:
    """What goes into the network and comes out."""
    shape, estimate = _shape(recipe, spec), self_condition(recipe, spec)
    return Signature(
        task=recipe.task,
        state=shape["channels_in"],
        image=shape["channels_condition"] - estimate,
        estimate=estimate,
        answers=shape["channels_out"] // shape["channels_in"],
        classes=spec.classes if shape["classes"] else (),
    )


def _shape(recipe: Recipe, spec: Spec) -> dict[str, Any]:
    """The keywords that every network takes."""
    segment, layout = recipe.task == "segment", Layout.of(recipe.data.pairs, spec)
    state, output = build_process(recipe).channels(data_channels(recipe, spec))
    return {
        "channels_in": state,
        "channels_out": output,
        "channels_condition": (spec.channels if segment else layout.beside) + self_condition(recipe, spec),
        "classes": 0 if segment else len(spec.classes),
    }


def _with_training(recipe: Recipe, network: nn.Module, *, augment: int) -> nn.Module:
    """The network with what its training asks of it besides; so many numbers tell it of augmentation."""
    if recipe.train.few_calls is not None:
        tell_jumps(network, augment=augment)
    return _weighted(recipe, network) if recipe.loss.uncertainty else network


def _weighted(recipe: Recipe, network: nn.Module) -> nn.Module:
    """The network beside the uncertainty of its estimates."""
    if recipe.task == "segment" or isinstance(recipe.network, ToldSteps):
        raise UsageError(
            "loss.uncertainty weighs the levels ln(s) / 4 of generators",
            expected="sfumato train generate with our network",
            remedy="--set loss.uncertainty=false",
        )
    return Weighted(network)


def _refuse_no_logits(recipe: Recipe) -> None:
    """A mask head answers with logarithms of shares: nothing else is to be read into them."""
    if recipe.task != "segment" or not _scores(recipe):
        raise UsageError(
            f"network.kind=maskhead for task {recipe.task} with process {recipe.process.kind}: it answers with "
            "the log-probabilities of classes",
            expected="task segment, and a process that predicts logits",
            remedy="--set process.prediction=logits, or --set network.kind=unet",
        )


def _scores(recipe: Recipe) -> bool:
    """Whether the process reads the network's answer as scores of classes."""
    return getattr(recipe.process, "prediction", None) == "logits" or isinstance(recipe.process, CategoricalProcess)


def _amortised(recipe: Recipe, n: AmortisedNetwork, spec: Spec) -> dict[str, Any]:
    """The keywords of a network that sees an image once.

    Raises:
        UsageError: of images, or where it would be shown an estimate.
    """
    if recipe.task != "segment":
        raise UsageError(
            "network.kind=amortised for task generate: it draws masks of an image that it has seen",
            expected="task segment",
            remedy="--set network.kind=unet",
        )
    if recipe.train.self_condition > 0:
        raise UsageError(
            f"train.self_condition with network.kind=amortised: its estimates have a pixel for {n.stride} x {n.stride} "
            "of the image, and it looks at images before there is an estimate",
            remedy="--set train.self_condition=0, or --set network.kind=unet",
        )
    keywords = {name: value for name, value in n if name not in ("kind", "draws")}
    assert "auto" not in keywords.values(), "the plan resolves every auto"
    learnt, twin, classes = _has_learnt_prior(recipe), is_stateless(recipe), len(spec.mask_classes)
    if not (n.features or learnt or twin):
        raise UsageError(
            "network.features=false: the network that draws would know nothing of the image",
            expected="process.kind=flow with process.prior=learnt, of which it knows the image",
            remedy="--set network.features=true",
        )
    answers = build_process(recipe).channels(classes)[1] if twin else classes
    return {**keywords, "channels_mask": answers, "logits": _scores(recipe), "twin": twin, "prior": learnt}


def _refuse_prior(recipe: Recipe) -> None:
    """A learnt prior is an answer of the part of a network that sees an image once.

    Raises:
        UsageError: the network has no such part.
    """
    if _has_learnt_prior(recipe) and not isinstance(recipe.network, AmortisedNetwork):
        raise UsageError(
            f"process.prior=learnt with network.kind={recipe.network.kind}, which says nothing of an image by itself",
            expected="a network that sees an image once",
            remedy="--set network.kind=amortised",
        )


def is_stateless(recipe: Recipe) -> bool:
    """Whether the network sees no noisy state, so that it looks at an image once and needs to do no more."""
    return isinstance(recipe.process, NoProcess | SSNProcess)


def _has_learnt_prior(recipe: Recipe) -> bool:
    return isinstance(recipe.process, FlowProcess) and recipe.process.prior == "learnt"


def state_stride(recipe: Recipe, spec: Spec) -> tuple[int, ...] | None:
    """Sides in pixels of what is one pixel of the state, of a network that sees an image once; None for any other."""
    network = recipe.network
    if not isinstance(network, AmortisedNetwork) or is_stateless(recipe):
        return None
    assert network.stride != "auto", "the plan resolves every auto"
    size = seen_size(recipe, spec)
    between = Halvings.of(_halvings(network, size, spec.voxel), levels=_levels(network), dimensions=len(size))
    return between.sides(halvings_before(network.stride))


def draws_of(recipe: Recipe) -> int:
    """Masks drawn of each image in a training step."""
    network = recipe.network
    if not isinstance(network, AmortisedNetwork) or is_stateless(recipe):
        return 1
    assert network.draws != "auto", "the plan resolves every auto"
    return network.draws


def _keywords(n: DiTNetwork | SwinNetwork | MaskHeadNetwork) -> dict[str, Any]:
    """The section, whose fields are the keywords of the network."""
    keywords = {name: value for name, value in n if name != "kind"}
    assert "auto" not in keywords.values(), "the plan resolves every auto"
    return keywords


def _stages(
    n: UNetNetwork | ScoreNetwork | MagnitudeNetwork, size: Sequence[int], spacing: Sequence[float] | None
) -> dict[str, Any]:
    """The keywords of our U-Nets."""
    halvings = _halvings(n, size, spacing)
    others = {"dropout": n.dropout, "gradient_checkpointing": n.gradient_checkpointing, "halvings": halvings}
    return {**_widths(n, size, halvings), **others}


def _widths(n: Widths, size: Sequence[int], halvings: Sequence[Sequence[int]] | None) -> dict[str, Any]:
    """The keywords that every U-Net of levels takes."""
    assert n.channels != "auto" and n.multipliers != "auto" and n.blocks != "auto", "the plan resolves every auto"
    assert n.attention != "auto", "the plan resolves every auto"
    between = Halvings.of(halvings, levels=len(n.multipliers), dimensions=len(size))
    levels = _attention_levels(n.attention, size, between)
    return {"channels": n.channels, "multipliers": n.multipliers, "blocks": n.blocks, "attention": levels}


def _attention_levels(wished: Sequence[int], size: Sequence[int], between: Halvings) -> tuple[int, ...]:
    """The levels whose longest side is one of the wished (rounded up)."""
    levels = range(len(between.factors) + 1)
    longest = (
        max(-(-length // side) for length, side in zip(size, between.sides(level), strict=True)) for level in levels
    )
    return tuple(level for level, side in zip(levels, longest, strict=True) if side in wished)


def _halvings(
    n: Resolutions, size: Sequence[int], spacing: Sequence[float] | None
) -> tuple[tuple[int, ...], ...] | None:
    """By how much each axis is divided between the levels of a network; those of its stem come first."""
    return level_halvings(size, spacing, _levels(n))


def _levels(n: Resolutions) -> int:
    """Levels from full resolution down, with those that a stem passes over."""
    assert n.multipliers != "auto", "the plan resolves every auto"
    stem = n.stem if isinstance(n, AmortisedNetwork) else 1
    assert stem != "auto", "the plan resolves every auto"
    return len(n.multipliers) + halvings_before(stem)


def self_condition(recipe: Recipe, spec: Spec) -> int:
    """Channels of the estimate that the network is shown."""
    return 0 if recipe.train.self_condition == 0 else data_channels(recipe, spec)


def data_channels(recipe: Recipe, spec: Spec) -> int:
    """Channels of what is diffused."""
    if recipe.task == "segment":
        return len(spec.mask_classes)
    if recipe.data.representation == "haar":
        return encoded_shape(recipe.data, spec)[0]
    return Layout.of(recipe.data.pairs, spec).state
