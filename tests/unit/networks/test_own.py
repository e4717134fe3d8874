"""A network of the user's own: named, built, checked; nothing without the mark is called, or even imported."""

import sys
from pathlib import Path

import pytest

from sfumato.builder.network import build_network
from sfumato.data.intensity import Intensity
from sfumato.data.spec import Spec
from sfumato.errors import UsageError
from sfumato.recipe import load_recipe

SPEC = Spec(
    size=(16, 16),
    channels=1,
    dtype="uint8",
    intensity=Intensity("unit", 0, 255, "8 bit"),
    classes=("a", "b"),
    mask_classes=("background", "lesion"),
    mask_rule=None,
    readers=1,
)
NETWORK = """
import torch
from sfumato import network_factory

class Own(torch.nn.Module):
    def __init__(self, inwards, outwards, width):
        super().__init__()
        self.enter, self.leave = torch.nn.Conv2d(inwards, width, 3, padding=1), torch.nn.Conv2d(width, outwards, 1)

    def forward(self, x, level, condition):
        if condition.image is not None:
            x = torch.cat([x, condition.image], 1)
        return self.leave(self.enter(x).relu())

@network_factory
def build(*, channels_in, channels_out, channels_condition, classes, augment_labels, size, width=4):
    return Own(channels_in + channels_condition, channels_out, width)

@network_factory
def narrow(**shape):
    return Own(shape["channels_in"] + shape["channels_condition"], 7, 4)

@network_factory
def wrong(**shape):
    return 3

def unmarked(**shape):
    raise AssertionError("must not be called")
"""
SCRIPT = "raise AssertionError('must not be imported')\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_networks.py").write_text(NETWORK)
    (tmp_path / "own_script.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "own_networks", raising=False)


def build(factory: str, task: str = "segment", options: str = "{}"):  # type: ignore[no-untyped-def]
    words = [f"network={{kind: own, factory: '{factory}', options: {options}}}", "process={kind: edm, sigma_data: 0.5}"]
    if task == "segment":
        words[1] = "process={kind: gaussian, prediction: logits, critical_log_snr: null}"
    return build_network(load_recipe(task, settings=words), SPEC)  # type: ignore[arg-type]


@pytest.mark.parametrize("task", ["segment", "generate"])
def test_the_named_function_builds_it_with_its_options(task: str) -> None:
    assert build("own_networks:build", task, "{width: 9}").enter.out_channels == 9
    assert build("own_networks:build", task).enter.out_channels == 4


@pytest.mark.parametrize(
    ("factory", "finding"),
    [
        ("own_networks:unmarked", "not marked"),
        ("own_script:build", "not marked"),
        ("os:system", "not marked"),
        ("own_networks:missing", "no attribute"),
        ("own_missing:build", "no module"),
        ("own_networks", "attribute|name"),
        ("own_networks:narrow", "returns"),
        ("own_networks:wrong", "returned a int"),
    ],
)
def test_anything_else_is_refused_in_words(factory: str, finding: str) -> None:
    with pytest.raises(UsageError, match=finding):
        build(factory)


def test_an_option_that_the_function_does_not_know_is_refused() -> None:
    with pytest.raises(UsageError, match="depth"):
        build("own_networks:build", options="{depth: 3}")
