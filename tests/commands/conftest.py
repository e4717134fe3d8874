"""A toy dataset and a small trained run, made once for all command tests."""

from pathlib import Path

import pytest

from sfumato.commands import prepare as preparing
from sfumato.commands import toy as toys
from sfumato.commands import train

TINY = [
    "network={kind: unet, channels: 8, multipliers: [1, 2], blocks: 1, attention: []}",
    "validate.cases=4",
    "train.warmup=2",
]


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy") / "toy"
    toys.toy(folder, cases=24, size=32, classes=2, readers=2)
    return folder


@pytest.fixture(scope="session")
def dataset(toy: Path) -> Path:
    folder = toy.parent / "dataset"
    preparing.prepare(toy, out=folder, size="16")
    return folder


@pytest.fixture(scope="session")
def segment_run(dataset: Path) -> Path:
    """A run with its twin, long enough to beat an empty mask."""
    folder = dataset.parent / "segment"
    train.segment(dataset, out=folder, steps=60, batch=8, set=[*TINY, "train.learning_rate=3e-3"], twin=True)
    return folder


@pytest.fixture(scope="session")
def generate_run(dataset: Path) -> Path:
    folder = dataset.parent / "generate"
    train.generate(dataset, out=folder, steps=20, batch=8, set=[*TINY, "sample.steps=4"])
    return folder
