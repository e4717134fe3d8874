"""Every kind of network of ours from a recipe: planned for each place, built, called; refused where it does not fit."""

import itertools

import pytest
import torch

from sfumato.builder.network import build_call, build_network, build_signature, draws_of, state_stride
from sfumato.data.spec import Intensity, Spec
from sfumato.diffusion.process import Condition
from sfumato.errors import UsageError
from sfumato.experiment.plan import SHAPES, TRAINING_PLACES
from sfumato.networks.amortised import Amortised
from sfumato.networks.dit import DiT
from sfumato.networks.maskhead import MaskHead
from sfumato.networks.swin import SwinUNet
from sfumato.recipe import Recipe, TaskKind, load_recipe

LOGITS = "process={kind: gaussian, prediction: logits, critical_log_snr: -5}"
KINDS = {"dit": DiT, "swin": SwinUNet, "maskhead": MaskHead, "amortised": Amortised}
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


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"amortised"}))
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


def amortised(*more: str, task: TaskKind = "segment") -> Recipe:
    return load_recipe(task, settings=settings("amortised", "small", *more))


@pytest.mark.parametrize(
    ("process", "channels", "logits"),
    [
        ("{kind: gaussian, prediction: logits, critical_log_snr: -5}", 3, True),
        ("{kind: gaussian, prediction: v, critical_log_snr: -5}", 3, False),
        ("{kind: categorical, critical_log_snr: -5}", 3, True),
        ("{kind: sdd, classes: 3}", 2, False),
    ],
)
def test_an_amortised_network_serves_every_process_of_masks(process: str, channels: int, logits: bool) -> None:
    recipe = amortised(f"process={process}", "network.draws=5", "network.gradient_checkpointing=true")
    network = build_network(recipe, SPEC)
    assert isinstance(network, Amortised) and network.logits == logits and network.encoder.recompute
    assert (state_stride(recipe, SPEC), draws_of(recipe)) == (network.stride, 5) and network.stride == (2, 2)
    state, level, condition = build_call(recipe, SPEC).arguments(torch.device("cpu"))
    assert state.shape == (1, channels, 8, 8) and condition.image is not None
    assert network(state, level, condition).shape == state.shape


def test_the_twin_of_an_amortised_network_has_its_state_at_full_size() -> None:
    recipe = amortised("process={kind: none}")
    network = build_network(recipe, SPEC)
    assert isinstance(network, Amortised) and network.twin
    assert (state_stride(recipe, SPEC), draws_of(recipe)) == (None, 1)
    state, level, condition = build_call(recipe, SPEC).arguments(torch.device("cpu"))
    assert network(state, level, condition).shape == state.shape == (1, 3, 16, 16)


def test_logits_that_are_drawn_are_answers_of_the_encoder() -> None:
    recipe = amortised("process={kind: ssn, classes: 3, rank: 5}")
    network = build_network(recipe, SPEC)
    assert isinstance(network, Amortised) and network.twin
    assert (state_stride(recipe, SPEC), draws_of(recipe)) == (None, 1)
    state, level, condition = build_call(recipe, SPEC).arguments(torch.device("cpu"))
    assert network(state, level, condition).shape == (1, 3 * (2 + 5), 16, 16)
    assert build_signature(recipe, SPEC).answers == 2 + 5


@pytest.mark.parametrize("features", [False, True])
def test_a_learnt_prior_is_of_an_amortised_network(features: bool) -> None:
    learnt = "process={kind: flow, prediction: logits, prior: learnt, critical_log_snr: -5}"
    network = build_network(amortised(learnt, f"network.features={features}"), SPEC)
    assert isinstance(network, Amortised) and network.prior
    assert (network.features, network.logits) == (features, features)
    with pytest.raises(UsageError, match=r"prior=learnt with network\.kind=maskhead"):
        build_network(load_recipe("segment", settings=settings("maskhead", "small", learnt)), SPEC)
    with pytest.raises(UsageError, match=r"network\.features=false"):
        build_network(amortised(LOGITS, "network.features=false"), SPEC)
    for process in ("{kind: none}", "{kind: ssn, classes: 3}"):  # the controls of such a model have no part that draws
        control = build_network(amortised(f"process={process}", "network.features=false"), SPEC)
        assert isinstance(control, Amortised) and control.twin


def test_an_amortised_network_is_refused_for_images_and_for_estimates_beside_them() -> None:
    with pytest.raises(UsageError, match="amortised for task generate"):
        build_network(amortised("process={kind: edm, sigma_data: 0.5}", task="generate"), SPEC)
    with pytest.raises(UsageError, match="self_condition with network"):
        build_network(amortised(LOGITS, "train.self_condition=0.5"), SPEC)
    with pytest.raises(UsageError, match=r"network\.stem"):
        amortised("network.stem=3")


def test_other_networks_have_their_state_at_full_size() -> None:
    recipe = load_recipe("segment", settings=settings("maskhead", "small", LOGITS))
    assert (state_stride(recipe, SPEC), draws_of(recipe)) == (None, 1)
