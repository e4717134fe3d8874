"""Real-like images of two classes: blobs of two kinds in noise, and a data set of them."""

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from sfumato.data.dataset import Dataset
from sfumato.data.formats.image import write_image
from sfumato.data.preparation.prepare import PreparationSettings, prepare_cases
from sfumato.data.source import find_cases

SIDE = 24


def blobs(count: int, *, seed: int, kind: int) -> np.ndarray:
    """Grey images (n, h, w) in 0..255: a bright upper blob, in class 1 a second one, texture and noise."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    shown = 70 + 25 * gaussian_filter(rng.normal(size=(count, SIDE, SIDE)), (0, 1, 1)) / 0.28
    for place in [(7, 12), (16, 8)][: 1 + kind]:
        row, column = (rng.normal(centre, 1.2, (count, 1, 1)) for centre in place)
        width = rng.uniform(2.5, 4, (count, 1, 1))
        shown += 110 * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * width**2))
    return shown.clip(0, 255).astype(np.uint8)


def write(folder: Path, images: np.ndarray, label: str = "") -> None:
    for number, image in enumerate(images):
        path = folder / label / f"{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, image)


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared data set: 420 training and 180 held-out images of two classes."""
    folder = tmp_path_factory.mktemp("images")
    for kind in (0, 1):
        write(folder / "source", blobs(300, seed=kind, kind=kind), "ab"[kind])
    for _ in prepare_cases(find_cases(folder / "source"), folder / "real", PreparationSettings(size=(SIDE, SIDE))):
        pass
    return folder / "real"


@pytest.fixture(scope="session")
def dataset(real: Path) -> Dataset:
    return Dataset.open(real)
