"""A toy dataset and small trained runs, made once for all command tests, whatever the number of pytest's workers."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from tests.preloaded import Preloaded

from sfumato.commands import prepare as preparing
from sfumato.commands import toy as toys
from sfumato.commands import train

TINY = [
    "network={kind: unet, channels: 8, multipliers: [1, 2], blocks: 1, attention: []}",
    "validate.cases=4",
    "train.warmup=2",
    "sample.steps=2",
]


Make = Callable[[str, Callable[[Path], object]], Path]
"""A folder by its name; the function fills it if nobody has."""


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Folders that all workers of pytest-xdist share: the first that needs one makes it, the others wait."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    shared.mkdir(exist_ok=True)

    def made(name: str, make: Callable[[Path], object]) -> Path:
        done = shared / f"{name}.done"
        with FileLock(shared / f"{name}.lock"):
            if not done.exists():
                make(shared / name)
                done.touch()
        return shared / name

    return made


@pytest.fixture(scope="session")
def preloaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Preloaded]:
    """Starts commands in processes of their own, to be killed."""
    with Preloaded(tmp_path_factory.mktemp("preloaded")) as server:
        yield server


@pytest.fixture(scope="session")
def toy(made_once: Make) -> Path:
    return made_once("toy", lambda folder: toys.toy(folder, cases=24, size=32, classes=2, readers=2))


@pytest.fixture(scope="session")
def dataset(made_once: Make, toy: Path) -> Path:
    return made_once("dataset", lambda folder: preparing.prepare(toy, out=folder, size="16"))


@pytest.fixture(scope="session")
def segment_run(made_once: Make, dataset: Path) -> Path:
    """A run with its twin, long enough to beat an empty mask."""
    settings = [*TINY, "train.learning_rate=3e-3"]
    return made_once(
        "segment", lambda folder: train.segment(dataset, out=folder, steps=60, batch=8, set=settings, twin=True)
    )


@pytest.fixture(scope="session")
def generate_run(made_once: Make, dataset: Path) -> Path:
    settings = [*TINY, "sample.steps=4"]
    return made_once("generate", lambda folder: train.generate(dataset, out=folder, steps=20, batch=8, set=settings))
