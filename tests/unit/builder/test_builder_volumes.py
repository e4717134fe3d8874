"""Networks of volumes from a recipe: planned for what they see, halved by spacing, refused where they cannot be."""

import itertools
from typing import Any

import pytest
import torch

from sfumato.builder import network as module
from sfumato.builder.network import build_call, build_network, state_stride
from sfumato.builder.objective import build_adversary
from sfumato.data.spec import Intensity, Spec
from sfumato.errors import UsageError
from sfumato.experiment.network_shapes import SHAPES, TRAINING_PLACES, training_place
from sfumato.networks.amortised import Amortised
from sfumato.networks.discriminator import Discriminator
from sfumato.networks.unet import UNet
from sfumato.recipe import Recipe, load_recipe

OURS = ("unet", "ddpmpp", "ncsnpp", "adm", "edm2", "dit", "swin", "maskhead", "amortised")
LOGITS = "process={kind: gaussian, prediction: logits, critical_log_snr: -5}"
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
SMALL = "{kind: unet, channels: 8, multipliers: [1, 2, 2], blocks: 1, attention: []}"


def of_volumes(monkeypatch: pytest.MonkeyPatch, *size: int, spacing: tuple[float, ...] | None = None) -> None:
    """What the network sees is of this size, in voxels, with this spacing."""
    monkeypatch.setattr(module, "seen_size", lambda *_: size)
    monkeypatch.setattr(Spec, "voxel", property(lambda _: spacing))


def planned(kind: str, place: str) -> Recipe:
    chosen = (f"network.{name}={value}" for name, value in SHAPES[kind][place].items())
    return load_recipe("segment", settings=[LOGITS, "data.augment=none", f"network.kind={kind}", *chosen])


def given(network: str, *more: str) -> Recipe:
    return load_recipe("segment", settings=[LOGITS, "data.augment=none", f"network={network}", *more])


@pytest.mark.parametrize(
    ("size", "dimensions", "device", "place"),
    [
        ((16, 16, 16), 3, "cpu", "small_volumes"),
        ((5, 31, 20), 3, "cuda", "small_volumes"),
        ((9, 32, 10), 3, "cpu", "volumes"),
        ((36, 50, 36), 3, "cpu", "volumes"),
        ((36, 50, 36), 3, "cuda", "volumes"),
        ((96, 128, 128), 3, "cpu", "volumes"),
        ((16, 64, 16), 3, "cuda", "volumes_gpu"),
        ((16, 128, 128), 3, "cuda", "volumes_gpu"),
        ((40, 40), 2, "cpu", "small"),
        ((41, 20), 2, "cpu", "large"),
        ((40, 40), 2, "cuda", "gpu"),
    ],
)
@pytest.mark.parametrize("spacing", [None, (5.0, 1.0, 1.0)])
def test_every_kind_has_room_for_the_levels_that_are_planned(
    size: tuple[int, ...],
    dimensions: int,
    device: str,
    place: str,
    spacing: tuple[float, ...] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert training_place(max(size), dimensions=dimensions, device=device) == place and place in TRAINING_PLACES
    of_volumes(monkeypatch, *size, spacing=spacing)
    for kind in OURS:
        network = build_network(planned(kind, place), SPEC, numbers=False)
        assert any(weights.ndim == 5 for weights in network.parameters()) == (dimensions == 3 and kind != "dit")


@pytest.mark.parametrize("kind", OURS)
def test_a_network_of_thick_slices_answers_volumes(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    of_volumes(monkeypatch, 8, 32, 20, spacing=(4.0, 1.0, 1.0))
    recipe = planned(kind, "volumes")
    network, call = build_network(recipe, SPEC).eval(), build_call(recipe, SPEC)
    assert call.state_size == ((8, 16, 10) if kind == "amortised" else (8, 32, 20))
    with torch.no_grad():
        assert network(*call.arguments(torch.device("cpu"))).shape == (1, 3, *call.state_size)


@pytest.mark.parametrize(
    "kind", ["unet", "ddpmpp", "ncsnpp", "adm", "edm2", "maskhead, queries: 4, width: 8, layers: 1"]
)
def test_the_spacing_decides_what_is_halved(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    settings = SMALL.replace("unet", kind).replace(", attention: []", "" if "maskhead" in kind else ", attention: []")
    for spacing in (None, (1.0, 1.0, 1.0), (3.0, 1.0, 1.0), (6.0, 1.0, 1.0)):
        of_volumes(monkeypatch, 32, 64, 64, spacing=spacing)
        network: Any = build_network(given(settings), SPEC, numbers=False)
        found.append((network.multiple, tuple(network.stem.weight.shape[2:])))
    alike, waits, flat = ((4, 4, 4), (3, 3, 3)), ((2, 4, 4), (1, 3, 3)), ((1, 4, 4), (3, 3, 3))
    assert found == [alike, alike, waits, flat]


def test_the_stride_of_a_state_follows_the_halvings(monkeypatch: pytest.MonkeyPatch) -> None:
    amortised = (
        "{kind: amortised, channels: 8, multipliers: [1, 2, 2], blocks: 1, stem: 4, stride: 4, draw_channels: 4}"
    )
    for spacing, stride in ((None, (4, 4, 4)), ((3.0, 1.0, 1.0), (2, 4, 4)), ((9.0, 1.0, 1.0), (1, 4, 4))):
        of_volumes(monkeypatch, 32, 64, 64, spacing=spacing)
        recipe = given(amortised)
        network = build_network(recipe, SPEC, numbers=False)
        assert isinstance(network, Amortised) and state_stride(recipe, SPEC) == network.stride == stride
        assert build_call(recipe, SPEC).state_size == tuple(
            side // each for side, each in zip((32, 64, 64), stride, strict=True)
        )


@pytest.mark.parametrize(("wished", "levels"), [(64, {0, 1}), (32, {2}), (16, set())])
def test_attention_is_where_the_longest_side_has_the_wished_length(
    wished: int, levels: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 x 32 x 32 voxels, then 64 x 16 x 16, then 32 x 8 x 8."""
    of_volumes(monkeypatch, 64, 32, 32, spacing=(3.0, 1.0, 1.0))
    network = build_network(given(SMALL, f"network.attention=[{wished}]"), SPEC, numbers=False)
    assert isinstance(network, UNet)
    found = {level for level, stages in enumerate(network.encoder.levels) if stages[0].attention is not None}
    assert found == levels


def test_volumes_without_room_for_the_levels_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    of_volumes(monkeypatch, 9, 15, 12)
    with pytest.raises(UsageError, match="3 levels, stem included, for volumes of 9 x 15 x 12"):
        build_network(given(SMALL), SPEC)


@pytest.mark.parametrize(
    "network",
    [
        "{kind: diffusers, channels: 8, multipliers: [1, 2], blocks: 1, attention: []}",
        "{kind: pretrained, config: {}}",
    ],
)
def test_networks_of_images_refuse_volumes(network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    of_volumes(monkeypatch, 8, 16, 16)
    with pytest.raises(UsageError, match="for volumes") as raised:
        build_network(given(network), SPEC)
    assert raised.value.remedy == "--set network.kind=unet"


@pytest.mark.slow
def test_monai_sees_volumes_and_halves_every_axis(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("monai")
    of_volumes(monkeypatch, 3, 5, 4, spacing=(9.0, 1.0, 1.0))
    recipe = given("{kind: monai, channels: 8, multipliers: [1, 2, 2], blocks: 1, attention: []}")
    network, call = build_network(recipe, SPEC).eval(), build_call(recipe, SPEC)
    with torch.no_grad():
        assert network(*call.arguments(torch.device("cpu"))).shape == (1, 3, 3, 5, 4)


def test_the_discriminator_sees_what_the_network_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    for size, dimensions in (((16, 16), 2), ((8, 16, 16), 3)):
        of_volumes(monkeypatch, *size)
        made = build_adversary(given(SMALL, "loss.adversarial=0.1"), SPEC, device="cpu")
        assert made is not None and isinstance(made.network, Discriminator) and made.network.dimensions == dimensions


def test_images_are_built_as_ever() -> None:
    """No halvings reach a network of images, whatever the spacing of its pixels."""
    for size, spacing in itertools.product(((16, 16), (40, 20)), (None, 0.5)):
        spec = Spec(**{**vars(SPEC), "size": size, "spacing": spacing})
        network = build_network(given(SMALL), spec, numbers=False)
        assert spec.voxel is None
        assert isinstance(network, UNet) and network.multiple == (4, 4) and network.stem.kernel_size == (3, 3)
