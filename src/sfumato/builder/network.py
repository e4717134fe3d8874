"""From a recipe to the network."""

from collections.abc import Sequence
from typing import Any, assert_never

import torch
from torch import nn

from sfumato.builder.data import build_augment
from sfumato.builder.process import build_process
from sfumato.data.augmentation.pipe import Pipe
from sfumato.data.spec import Spec
from sfumato.errors import UsageError
from sfumato.networks.foreign import DiffusersUNet, MonaiUNet
from sfumato.networks.uncertainty import Weighted
from sfumato.networks.unet import UNet
from sfumato.recipe import (
    ForeignNetwork,
    Recipe,
    UNetNetwork,
    Widths,
)


def build_network(recipe: Recipe, spec: Spec) -> nn.Module:
    """The network of a task on data of a kind, with its initial weights drawn from the recipe's seed."""
    segment = recipe.task == "segment"
    state, output = build_process(recipe).channels(len(spec.mask_classes) if segment else spec.channels)
    own = self_condition(recipe, spec)
    shape: dict[str, Any] = {
        "channels_in": state,
        "channels_out": output,
        "channels_condition": (spec.channels if segment else 0) + own,
        "classes": 0 if segment else len(spec.classes),
    }
    augment = None if recipe.data.augment == "auto" else build_augment(recipe)  # auto never becomes a pipe
    told: dict[str, Any] = {"augment_labels": augment.labels if isinstance(augment, Pipe) else 0}
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(recipe.train.seed)
        match recipe.network:
            case UNetNetwork() as n:
                network: nn.Module = UNet(
                    **shape, **told, **_widths(n, spec), dropout=n.dropout,
                    gradient_checkpointing=n.gradient_checkpointing,
                )  # fmt: skip
            case ForeignNetwork() as n:
                network = (DiffusersUNet if n.kind == "diffusers" else MonaiUNet)(**shape, **_widths(n, spec))
            case _ as never:
                assert_never(never)
    return _weighted(recipe, network) if recipe.loss.uncertainty else network


def _weighted(recipe: Recipe, network: nn.Module) -> nn.Module:
    """The network beside the uncertainty of its estimates."""
    if recipe.task == "segment" or isinstance(recipe.network, ForeignNetwork):
        raise UsageError(
            "loss.uncertainty weighs the levels ln(s) / 4 of generators",
            expected="sfumato train generate with our network",
            remedy="--set loss.uncertainty=false",
        )
    return Weighted(network)


def _widths(n: Widths, spec: Spec) -> dict[str, Any]:
    """The keywords that every U-Net of levels takes."""
    assert n.channels != "auto" and n.multipliers != "auto" and n.blocks != "auto", "the plan resolves every auto"
    levels = _attention_levels(n.attention, spec.size, len(n.multipliers))
    return {"channels": n.channels, "multipliers": n.multipliers, "blocks": n.blocks, "attention": levels}


def _attention_levels(sides: Sequence[int], size: Sequence[int], levels: int) -> tuple[int, ...]:
    """The levels whose longer side is one of `sides` pixels (rounded up)."""
    return tuple(level for level in range(levels) if -(-max(size) // 2**level) in sides)


def self_condition(recipe: Recipe, spec: Spec) -> int:
    """Channels of the estimate that the network is shown."""
    if recipe.train.self_condition == 0:
        return 0
    return len(spec.mask_classes) if recipe.task == "segment" else spec.channels
