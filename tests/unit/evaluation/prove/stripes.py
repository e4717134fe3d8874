"""Toy images of two classes: faint stripes across or down, at any phase, in noise.

In the few real training images the brightness gives the class away, as a second scanner would; in the test it does not.
So what real images alone teach is wrong, and fresh images without that bias help."""

from pathlib import Path

import numpy as np

from sfumato.data.formats.image import write_image
from sfumato.data.preparation.prepare import PreparationSettings, prepare_cases
from sfumato.data.source import find_cases

SIDE = 16
CLASSES = ("across", "down")


def stripes(rng: np.random.Generator, label: str, *, bias: float = 0.0) -> np.ndarray:
    """One image (16, 16, 1) uint8; `bias` is added to one class and taken from the other."""
    light = rng.normal(128, 15) + (bias if label == "across" else -bias)
    wave = 30 * np.sin(np.arange(SIDE) * rng.uniform(0.8, 1.6) + rng.uniform(0, 2 * np.pi))
    image = light + rng.normal(0, 30, (SIDE, SIDE)) + (wave[:, None] if label == "across" else wave[None, :])
    return image.clip(0, 255).astype(np.uint8)[..., None]


def biased(rng: np.random.Generator, label: str) -> np.ndarray:
    """As `stripes`, with a brightness that gives the class away."""
    return stripes(rng, label, bias=35.0)


def noise(rng: np.random.Generator, label: str) -> np.ndarray:
    """An image that says nothing about its label."""
    return rng.integers(0, 256, (SIDE, SIDE, 1), dtype=np.uint8)


def write_folder(folder: Path, counts: dict[str, int], *, make=stripes, seed: int = 0) -> Path:
    """Class folders of images."""
    rng = np.random.default_rng(seed)
    for label, count in counts.items():
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            write_image(folder / label / f"{label}{seed}_{number:03}.png", make(rng, label))
    return folder


def write_real(folder: Path, *, train: dict[str, int], test: int = 60) -> Path:
    """A dataset with few training images and a test split."""
    write_folder(folder / "source" / "train", train, make=biased, seed=1)
    write_folder(folder / "source" / "test", dict.fromkeys(CLASSES, test), seed=2)
    write_folder(folder / "source" / "val", dict.fromkeys(CLASSES, 4), seed=3)
    for _ in prepare_cases(find_cases(folder / "source"), folder / "real", PreparationSettings(size=(SIDE, SIDE))):
        pass
    return folder / "real"
