"""The U-Nets of the literature from a recipe: the kind alone gives the published shape on a GPU."""

import itertools

import pytest
import torch

from sfumato.builder.network import build_network
from sfumato.data.spec import Intensity, Spec
from sfumato.diffusion.process import Condition
from sfumato.experiment.network_shapes import SHAPES, TRAINING_PLACES
from sfumato.networks.magnitude import MagnitudeUNet
from sfumato.networks.measure import count_parameters
from sfumato.networks.score import ADM, DDPMPP, NCSNPP, ScoreUNet
from sfumato.recipe import load_recipe

KINDS = {"ddpmpp": DDPMPP, "ncsnpp": NCSNPP, "adm": ADM, "edm2": None}


def spec(side: int, channels: int = 3) -> Spec:
    return Spec(
        size=(side, side), channels=channels, dtype="uint8", intensity=Intensity("unit", 0, 255, "8"),
        classes=("a", "b"), mask_classes=("background", "lesion"), mask_rule=None, readers=1,
    )  # fmt: skip


def settings(kind: str, place: str, side: int, *more: str) -> list[str]:
    chosen = (f"network.{name}={value}" for name, value in SHAPES[kind][place].items())
    common = ["train.steps=1", f"data.size=[{side}, {side}]", "data.augment=none"]
    return [*common, f"network.kind={kind}", *chosen, *more]


@pytest.mark.parametrize(("kind", "millions"), [("ddpmpp", 55.7), ("ncsnpp", 56.4), ("adm", 295.1), ("edm2", 124.2)])
def test_a_kind_has_its_published_shape_on_a_gpu(kind, millions):
    side = 32 if "pp" in kind else 64
    recipe = load_recipe("generate", settings=settings(kind, "gpu", side, "process.sigma_data=0.5"))
    with torch.device("meta"):
        network = build_network(recipe, spec(side))
    assert count_parameters(network) / 1e6 == pytest.approx(millions, abs=0.1)


@pytest.mark.parametrize(("kind", "place"), list(itertools.product(KINDS, TRAINING_PLACES)))
def test_a_kind_is_its_design(kind, place):
    with torch.device("meta"):
        network = build_network(
            load_recipe("generate", settings=settings(kind, place, 32, "process.sigma_data=0.5")), spec(32)
        )
    assert isinstance(network, MagnitudeUNet if kind == "edm2" else ScoreUNet)
    if isinstance(network, ScoreUNet):
        stage = network.skeleton.encoder[0]
        found = (stage.adaptive, stage.scale, network.skeleton.pyramid is not None, network.embed.early)
        design = KINDS[kind]
        assert found == (design.adaptive, design.scale, design.pyramid, design.early)


@pytest.mark.parametrize("kind", KINDS)
def test_the_recipe_decides_and_the_network_answers(kind):
    more = [
        "network.dropout=0.25",
        "network.gradient_checkpointing=true",
        "train.self_condition=0.5",
        "process.critical_log_snr=-5",
    ]
    network = build_network(load_recipe("segment", settings=settings(kind, "large", 16, *more)), spec(16, channels=1))
    assert network.skeleton.recompute
    assert {module.p for module in network.modules() if isinstance(module, torch.nn.Dropout)} == {0.25}
    condition = Condition(image=torch.zeros(2, 3, 16, 16))
    assert network(torch.zeros(2, 2, 16, 16), torch.zeros(2), condition).shape == (2, 2, 16, 16)
