"""Scores of masks: how long they take beside MONAI, and how far the two differ.

Pairs of random masks of smooth pieces are scored case by case in two processes, each library by its own functions; the
masks are made and the processes started beforehand. "Together" is one call of ours, and MONAI's three functions one
after the other. Runs of the two libraries alternate and the shortest counts. A difference of 1e-3 in HD95 is the
percentile's place in single precision (MONAI), between two distances far from each other.

    python benchmarks/masks_speed.py [--pairs 500] [--size 256] [--processes 2] [--repeats 3]
"""

import argparse
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance, compute_surface_dice
from scipy import ndimage

from sfumato.metrics.masks import score_masks

Pair = tuple[np.ndarray, np.ndarray]
Score = Callable[[Pair], Sequence[float]]

MONAI: Mapping[str, Callable[..., torch.Tensor]] = {
    "hd95": partial(compute_hausdorff_distance, percentile=95),
    "assd": partial(compute_average_surface_distance, symmetric=True),
    "nsd": partial(compute_surface_dice, class_thresholds=[1.0], use_subvoxels=True),
}


class Run(NamedTuple):
    """How long all pairs took, and what was found (pairs, scores)."""

    seconds: float
    values: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    pairs = [masks(seed, arguments.size) for seed in range(arguments.pairs)]
    with ProcessPoolExecutor(arguments.processes, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        list(pool.map(theirs(("hd95",)), pairs[: 2 * arguments.processes]))
        print(f"{arguments.pairs} pairs of {arguments.size} x {arguments.size} pixels, {arguments.processes} processes")
        print(f"{'':10}{'sfumato s':>12}{'MONAI s':>12}{'ratio':>8}{'largest difference':>22}")
        for name, metrics in {**{name: (name,) for name in MONAI}, "together": tuple(MONAI)}.items():
            runs = [
                [timed(pool, score, pairs) for score in (ours(metrics), theirs(metrics))]
                for _ in range(arguments.repeats)
            ]
            mine, other = (min(run[side].seconds for run in runs) for side in (0, 1))
            apart = np.abs(runs[0][0].values - runs[0][1].values).max()
            print(f"{name:10}{mine:12.2f}{other:12.2f}{other / mine:8.1f}{apart:22.1e}", flush=True)


def masks(seed: int, size: int) -> Pair:
    """A mask, and one whose border wanders a few pixels from it."""
    rng = np.random.default_rng(seed)
    field, change = ndimage.gaussian_filter(rng.standard_normal((2, size, size)), (0, size / 20, size / 20))
    share = rng.uniform(0.6, 0.97)
    first, second = (each >= np.quantile(each, share) for each in (field, field + 0.3 * change))
    return first.astype(np.uint8), second.astype(np.uint8)


def ours(metrics: Sequence[str]) -> Score:
    return partial(_ours, metrics=metrics)


def theirs(metrics: Sequence[str]) -> Score:
    return partial(_theirs, metrics=metrics)


def timed(pool: ProcessPoolExecutor, score: Score, pairs: Sequence[Pair]) -> Run:
    began = time.perf_counter()
    values = np.array(list(pool.map(score, pairs, chunksize=10)))
    return Run(time.perf_counter() - began, values)


def _ours(pair: Pair, *, metrics: Sequence[str]) -> Sequence[float]:
    values = score_masks(*pair, classes=2, metrics=metrics).values
    return [float(values[name][0]) for name in metrics]


def _theirs(pair: Pair, *, metrics: Sequence[str]) -> Sequence[float]:
    first, second = (torch.from_numpy(mask)[None, None].float() for mask in pair)
    with warnings.catch_warnings(action="ignore"):
        return [float(MONAI[name](first, second, include_background=True)) for name in metrics]


if __name__ == "__main__":
    main()
