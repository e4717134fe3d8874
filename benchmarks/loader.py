"""Augmented training batches: images with masks per second at 256x256, in batches of 16.

    pack      `Dataset` batches (uint8 memory maps), augmented as a batch: preset medium
    cache     MONAI `CacheDataset` (decoded once, kept in memory) and dictionary transforms, in a DataLoader
    decode    PNG files decoded in every epoch, the same transforms, in the same DataLoader

The transforms do what the preset does, with the same ranges: flip; rotation, scale and shift in one resampling (linear
for images, nearest for masks, reflection); brightness, contrast and gamma. The first has two threads, the others two
worker processes that stay alive. They take turns, epoch after epoch, so a change of the machine's load meets all of
them; the table shows medians. The first epoch warms up and is not counted.

    python benchmarks/loader.py --out loader.json
"""

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import monai
import numpy as np
import torch
from monai.data import CacheDataset
from monai.transforms import (
    Compose,
    RandAdjustContrastd,
    RandAffined,
    RandFlipd,
    RandScaleIntensityd,
    RandShiftIntensityd,
    ScaleIntensityRanged,
)
from PIL import Image

from sfumato.data.augmentation.augment import apply, draw_parameters
from sfumato.data.augmentation.ranges import PRESETS
from sfumato.data.dataset import Dataset, OriginalSize
from sfumato.data.intensity import Intensity
from sfumato.data.manifest import Case
from sfumato.data.spec import Spec
from sfumato.randomness import Noise, derive_seed

SIDE, BATCH, THREADS = 256, 16, 2
KEYS = ("image", "mask")
Batches = Iterator[tuple[torch.Tensor, torch.Tensor]]
Epoch = Callable[[int], Batches]
"""Number of an epoch -> its batches."""


def make_files(folder: Path, count: int) -> list[dict[str, str]]:
    """Smooth pictures and their masks as PNG; noise would not compress as photographs do."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    files = []
    for number in range(count):
        a, b, radius = random.uniform(-0.4, 0.4, 2), random.uniform(2, 9, 2), random.uniform(0.2, 0.6)
        picture = 128 + 60 * np.sin(b[0] * x + a[0]) * np.cos(b[1] * y) + random.normal(0, 4, x.shape)
        mask = ((x - a[0]) ** 2 + (y - a[1]) ** 2 < radius**2).astype(np.uint8)
        names = {key: str(folder / f"{key}{number}.png") for key in KEYS}
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(names["image"])
        Image.fromarray(mask).save(names["mask"])
        files.append(names)
    return files


def read(item: dict[str, str]) -> dict[str, torch.Tensor]:
    """Both files of a case, decoded with Pillow, channels first."""
    return {key: torch.from_numpy(np.array(Image.open(item[key]))[None]).float() for key in KEYS}


def make_pack(folder: Path, files: list[dict[str, str]]) -> Dataset:
    """The same pictures as memory maps."""
    count = len(files)
    for name, shape in (("images", (count, SIDE, SIDE, 1)), ("masks", (count, 1, SIDE, SIDE))):
        array = np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=np.uint8, shape=shape)
        for row, item in enumerate(files):
            array[row] = np.array(Image.open(item[name[:-1]])).reshape(shape[1:])
        array.flush()
    spec = Spec(
        size=(SIDE, SIDE), channels=1, dtype="uint8", intensity=Intensity("unit", 0.0, 255.0, ""),
        mask_classes=("background", "disc"), readers=1,
    )  # fmt: skip
    images, masks = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("images", "masks"))
    cases = [Case(id=str(row), image=item["image"]) for row, item in enumerate(files)]
    return Dataset(spec, cases, [OriginalSize((SIDE, SIDE))] * count, images, masks)


def ours(dataset: Dataset) -> Epoch:
    """As the training step does it, in its own process."""

    def batches(epoch: int) -> Batches:
        order = np.random.default_rng(epoch).permutation(len(dataset)).tolist()
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            noise = Noise([derive_seed(epoch, row) for row in rows])
            images = dataset.images(rows)
            images, masks = apply(images, dataset.masks(rows), draw_parameters(PRESETS["medium"], noise, images))
            assert masks is not None
            yield images, masks

    return batches


def transforms() -> list[Any]:
    """What preset medium does, in MONAI's words."""
    medium = PRESETS["medium"]
    angle, shift = math.radians(medium.angle), medium.shift * SIDE
    return [
        RandFlipd(KEYS, prob=medium.mirror, spatial_axis=1),
        RandAffined(
            KEYS, prob=1.0, rotate_range=angle, translate_range=(shift, shift),
            scale_range=(medium.scale, medium.scale), mode=("bilinear", "nearest"), padding_mode="reflection",
        ),
        RandShiftIntensityd("image", offsets=medium.brightness, prob=1.0),
        RandScaleIntensityd("image", factors=medium.contrast, prob=1.0),
        RandAdjustContrastd("image", gamma=(1 - medium.gamma, 1 + medium.gamma), prob=1.0),
    ]  # fmt: skip


def theirs(dataset: Iterable[Any]) -> Epoch:
    """A DataLoader with workers that stay alive."""
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=BATCH, shuffle=True, num_workers=THREADS, persistent_workers=True
    )

    def batches(epoch: int) -> Batches:  # noqa: ARG001
        for batch in loader:
            yield batch["image"], batch["mask"]

    return batches


def contestants(folder: Path, count: int) -> dict[str, Epoch]:
    """Name -> epoch."""
    files = make_files(folder, count)
    decode = [read, ScaleIntensityRanged("image", a_min=0, a_max=255, b_min=-1, b_max=1)]
    return {
        "pack": ours(make_pack(folder, files)),
        "cache": theirs(CacheDataset(files, Compose([*decode, *transforms()]), progress=False)),
        "decode": theirs(Dataset(files, Compose([*decode, *transforms()]))),
    }


def images_per_second(batches: Batches) -> float:
    """Over one epoch."""
    start = time.perf_counter()
    count = sum(len(images) for images, _ in batches)
    return count / (time.perf_counter() - start)


def measure(rounds: int, count: int) -> dict[str, float]:
    """Median images per second of each."""
    with tempfile.TemporaryDirectory() as folder:
        entrants = contestants(Path(folder), count)
        speeds: dict[str, list[float]] = {name: [] for name in entrants}
        for epoch in range(rounds + 1):
            for name, run in entrants.items():
                speeds[name].append(images_per_second(run(epoch)))
    return {name: statistics.median(values[1:]) for name, values in speeds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--images", type=int, default=256, help="images of an epoch")
    parser.add_argument("--out", type=Path, help="write the table as JSON")
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    table = measure(arguments.rounds, arguments.images)
    print(f"{'images per second':20}{'':>10}{'pack is faster by':>20}")
    for name, speed in table.items():
        print(f"{name:20}{speed:10.0f}{table['pack'] / speed:20.1f}")
    if arguments.out:
        versions = {"torch": torch.__version__, "monai": monai.__version__}
        settings = {"side": SIDE, "batch": BATCH, "threads": THREADS, "rounds": arguments.rounds}
        arguments.out.write_text(json.dumps({**settings, **versions, "images_per_second": table}, indent=2) + "\n")


if __name__ == "__main__":
    main()
