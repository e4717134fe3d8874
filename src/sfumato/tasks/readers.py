"""The masks of all readers of a case, one of them drawn, and how a mask agrees with them."""

from collections.abc import Sequence

import numpy as np

from sfumato.data.dataset import Dataset
from sfumato.data.mask import IGNORED
from sfumato.metrics.overlap import overlap
from sfumato.randomness import Noise


def readers_of(dataset: Dataset, row: int) -> np.ndarray:
    """The masks of those who outlined a case (readers, h, w), in the model's own size."""
    readers = range(int(dataset.readings([row])))
    return dataset.masks([row] * len(readers), readers).numpy()


def drawn_readers(dataset: Dataset, rows: Sequence[int], noise: Noise) -> list[int]:
    """One of those who outlined it for each case, drawn from its own noise."""
    drawn: list[int] = (noise.on("cpu").uniform() * dataset.readings(rows)).long().tolist()  # where the counts are
    return drawn


def reader_dice(mask: np.ndarray, readers: np.ndarray, classes: int) -> float:
    """Dice of a mask, mean over readers and foreground classes, where every reader says something."""
    said = (readers != IGNORED).all(0)
    dice = [overlap(mask[said], reader[said], classes=classes, case="this case").dice.mean() for reader in readers]
    return float(np.mean(dice))
