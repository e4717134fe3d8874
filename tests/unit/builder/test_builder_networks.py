"""Every kind of network of ours from a recipe: planned for each place, built, called; refused where it does not fit."""

import itertools

import pytest
import torch

from sfumato.builder.network import build_network
from sfumato.data.spec import Intensity, Spec
from sfumato.diffusion.process import Condition
from sfumato.errors import UsageError
from sfumato.experiment.plan import SHAPES, TRAINING_PLACES
from sfumato.networks.dit import DiT
from sfumato.networks.maskhead import MaskHead
from sfumato.networks.swin import SwinUNet
from sfumato.recipe import TaskKind, load_recipe

LOGITS = "process={kind: gaussian, prediction: logits, critical_log_snr: -5}"
KINDS = {"dit": DiT, "swin": SwinUNet, "maskhead": MaskHead}
SPEC = Spec(
    size=(16, 16),
    channels=1,
    dtype="uint8",
    intensity=Intensity("unit", 0, 255, "8 bit"),
    classes=("a", "b"),
    mask_classes=("background", "organ", "lesion"),
    mask_rule=None,
    readers=1,
)


def settings(kind: str, place: str = "small", *more: str) -> list[str]:
    chosen = (f"network.{name}={value}" for name, value in SHAPES[kind][place].items())
    common = ["train.steps=1", "data.size=[16, 16]", "data.augment=none"]
    return [*common, f"network.kind={kind}", *chosen, *more]


@pytest.mark.parametrize(("kind", "place"), list(itertools.product(KINDS, TRAINING_PLACES)))
def test_a_kind_is_built_for_each_place(kind: str, place: str) -> None:
    recipe = load_recipe("segment", settings=settings(kind, place, LOGITS))
    assert isinstance(build_network(recipe, SPEC), KINDS[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_the_recipe_decides_and_the_network_answers(kind: str) -> None:
    more = [LOGITS, "network.head_channels=16", "network.gradient_checkpointing=true", "train.self_condition=0.5"]
    recipe = load_recipe("segment", settings=settings(kind, "small", *more))
    network = build_network(recipe, SPEC)
    assert network.recompute
    condition = Condition(image=torch.zeros(2, 4, 16, 16))
    assert network(torch.zeros(2, 3, 16, 16), torch.zeros(2), condition).shape == (2, 3, 16, 16)


@pytest.mark.parametrize("process", ["{kind: none}", "{kind: categorical, critical_log_snr: -5}"])
def test_a_mask_head_serves_every_process_of_logits(process: str) -> None:
    recipe = load_recipe("segment", settings=settings("maskhead", "small", f"process={process}"))
    assert isinstance(build_network(recipe, SPEC), MaskHead)


@pytest.mark.parametrize(
    ("task", "process"),
    [
        ("segment", "{kind: gaussian, prediction: eps, critical_log_snr: -5}"),
        ("segment", "{kind: sdd, classes: 3}"),
        ("segment", "{kind: none, prediction: x0}"),
        ("generate", "{kind: gaussian, prediction: eps}"),
        ("generate", "{kind: edm, prediction: logits, sigma_data: 1.0}"),
    ],
)
def test_a_mask_head_for_anything_else_is_refused(task: TaskKind, process: str) -> None:
    recipe = load_recipe(task, settings=settings("maskhead", "small", f"process={process}"))
    with pytest.raises(UsageError, match="maskhead"):
        build_network(recipe, SPEC)
