"""What patches and windows cost: loading crops beside MONAI, and a denoiser of windows beside the calls of its network.

    python benchmarks/patches.py SOURCE                       # images with masks, larger than --patch

Loading: batches of random crops of `--patch` pixels with the masks, a third on foreground, rotated, scaled, relit.
Ours from a data set prepared with `--size native`; MONAI's `CacheDataset` (all images decoded in memory) with
`RandCropByPosNegLabeld`, `RandAffined`, `RandAdjustContrastd` and its loader without processes. Ours draws a patch
from a random case, as MONAI does. Windows: `Tiled` with the plan's U-Net for a CPU on a canvas of `--canvas` pixels,
beside the same network on the same windows and nothing else. One thread, CPU time, medians of interleaved repetitions.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import monai.transforms as mt
import numpy as np
import torch
from monai.data import CacheDataset, DataLoader

from sfumato import Preparation, prepare
from sfumato.data.augmentation.augment import apply, draw_parameters, margin
from sfumato.data.augmentation.ranges import Ranges
from sfumato.data.dataset import Dataset
from sfumato.diffusion.process import Condition
from sfumato.diffusion.tiled import Tiled, Windows
from sfumato.networks.unet import UNet
from sfumato.randomness import Noise
from sfumato.tasks.patches import Patches

RANGES = Ranges(mirror=0.5, upend=0.5, angle=180, scale=0.2, gamma=0.2)


def medians(works: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median CPU seconds of each, one after the other in every repetition; the first is left out."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats + 1):
        for name, work in works.items():
            begun = time.process_time()
            work()
            found[name].append(time.process_time() - begun)
    return {name: statistics.median(times[1:]) for name, times in found.items()}


def our_batch(dataset: Dataset, side: int, count: int) -> Callable[[], object]:
    size, patches, random = (side, side), Patches(dataset, (side, side)), np.random.default_rng(0)
    beyond = margin(RANGES, size)

    def batch() -> object:
        rows = random.integers(0, len(dataset), count).tolist()
        noise, readers = Noise(random.integers(0, 2**40, count).tolist()), [0] * count
        corners = [
            [at - more for at, more in zip(c, beyond, strict=True)] for c in patches.corners(rows, readers, noise)
        ]
        whole = [length + 2 * more for length, more in zip(size, beyond, strict=True)]
        images = dataset.image_crops(rows, corners, whole)
        masks = dataset.mask_crops(rows, corners, whole, readers)
        return apply(images, masks, draw_parameters(RANGES, noise, images, size), size)

    return batch


def monai_batch(dataset: Dataset, side: int, count: int) -> Callable[[], object]:
    keys, turn = ("image", "mask"), np.pi
    cases = [
        {"image": dataset.images([row])[0].contiguous(), "mask": dataset.masks([row]).float()}
        for row in range(len(dataset))
    ]
    transforms = mt.Compose(
        [
            mt.EnsureTyped(keys),
            mt.RandCropByPosNegLabeld(keys, "mask", (side, side), pos=1, neg=2, num_samples=1),
            mt.RandAffined(
                keys, (side, side), prob=1.0, rotate_range=turn, scale_range=0.2, mode=("bilinear", "nearest"),
                padding_mode="reflection",
            ),
            mt.RandFlipd(keys, 0.5, 0), mt.RandFlipd(keys, 0.5, 1), mt.RandAdjustContrastd("image", 1.0, (0.8, 1.25)),
        ]
    )  # fmt: skip
    every = CacheDataset(cases, transforms, progress=False)
    loader = DataLoader(every, batch_size=count, shuffle=True, num_workers=0, drop_last=True)
    batches = iter(())

    def batch() -> object:
        nonlocal batches
        found = next(batches, None)
        if found is None:
            batches = iter(loader)
            found = next(batches)
        return found

    return batch


def windows(canvas: int, side: int, repeats: int) -> None:
    network = UNet(channels_in=2, channels_out=2, channels_condition=3, channels=16, multipliers=(1, 2, 4, 4), blocks=1)
    network = network.eval()
    x, image, level = torch.randn(1, 2, canvas, canvas), torch.randn(1, 3, canvas, canvas), torch.zeros(1)

    def denoise(x_t: torch.Tensor, t: float, condition: Condition) -> torch.Tensor:  # noqa: ARG001
        return network(x_t, level.expand(len(x_t)), condition).softmax(1)

    places, tiled = Windows((canvas, canvas), (side, side)).places, Tiled(denoise, (side, side), at_once=4)
    parts = [places[first : first + 4] for first in range(0, len(places), 4)]
    ready = [(torch.cat([x[p] for p in part]), torch.cat([image[p] for p in part])) for part in parts]
    with torch.inference_mode():
        seconds = medians(
            {
                "tiled": lambda: tiled(x, 0.5, Condition(image=image)),
                "network": lambda: [denoise(a, 0.5, Condition(image=b)) for a, b in ready],
            },
            repeats,
        )
    share = seconds["tiled"] / seconds["network"] - 1
    print(f"{len(places)} windows of {side} on {canvas} x {canvas}: {share:+.1%} beside the network's calls alone")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--patch", type=int, default=256)
    parser.add_argument("--canvas", type=int, default=768)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        dataset = prepare(options.source, out=Path(folder) / "set", preparation=Preparation(size="native")).dataset
        works = {
            "sfumato": our_batch(dataset, options.patch, options.batch),
            "MONAI": monai_batch(dataset, options.patch, options.batch),
        }
        seconds = medians(works, options.repeats)
    for name, value in seconds.items():
        print(f"{name:8} {1e3 * value / options.batch:7.2f} ms a crop of {options.patch} pixels")
    print(f"MONAI / sfumato: {seconds['MONAI'] / seconds['sfumato']:.1f}")
    windows(options.canvas, options.patch, options.repeats)


if __name__ == "__main__":
    main()
