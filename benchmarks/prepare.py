"""What `prepare` costs beside merely decoding the same files, and how much memory it takes.

Speed: grey 256x256 PNG files are decoded by Pillow (`np.asarray(Image.open(file))`) on as many processes, and prepared
at their own size; the two take turns, so a change of the machine's load meets both. The start of the processes counts
for both. Memory: 16-bit images of 1024x1024, several times as large together as the memory that is allowed to be taken;
the largest resident memory of this process and of one worker is told.

    python benchmarks/prepare.py --count 10000 --out prepare.json
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import shutil
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from sfumato.data.manifest import Case  # imported only where it is needed: processes that run Pillow start without

SIDE, DEEP_SIDE = 256, 1024
KEPT = 200
"""Different pictures; the others are these with a number of their own in a corner, since writing is not what counts."""


def picture(generator: np.random.Generator) -> np.ndarray:
    """Smooth shapes with the noise of a detector, as radiographs have it."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    phase, waves = generator.uniform(0, 6, 2), generator.uniform(2, 12, 2)
    shapes = 110 + 50 * np.sin(waves[0] * x + phase[0]) + 40 * np.cos(waves[1] * y + phase[1])
    return (shapes + generator.normal(0, 4, (SIDE, SIDE))).clip(0, 255).astype(np.uint8)


def generate(folder: Path, count: int) -> tuple[list[Case], list[Case]]:
    """Images alone, and the same images with masks."""
    from sfumato.data.manifest import Case

    generator = np.random.default_rng(0)
    kept = [picture(generator) for _ in range(min(KEPT, count))]
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    bare, masked = [], []
    for number in range(count):
        pixels = kept[number % KEPT].copy()
        pixels[:4, :4] = np.frombuffer(number.to_bytes(16, "little"), np.uint8).reshape(4, 4)
        centre, radius = generator.uniform(60, 190, 2), generator.uniform(10, 60)
        mask = (np.hypot(y - centre[0], x - centre[1]) < radius).astype(np.uint8) * 255
        image, outline = folder / f"images/{number:05}.png", folder / f"masks/{number:05}.png"
        Image.fromarray(pixels).save(image)
        Image.fromarray(mask).save(outline)
        bare.append(Case(id=f"{number:05}", image=str(image)))
        masked.append(Case(id=f"{number:05}", image=str(image), masks=(str(outline),)))
    return bare, masked


def decode_with_pillow(files: list[str]) -> int:
    return sum(np.asarray(Image.open(file)).size for file in files)


def pillow(cases: list[Case], workers: int) -> None:
    files = [file for case in cases for file in (case.image, *case.masks)]
    parts = [files[start : start + 64] for start in range(0, len(files), 64)]
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        for _ in pool.map(decode_with_pillow, parts):
            pass


def ours(cases: list[Case], workers: int, folder: Path) -> None:
    from sfumato.data.preparation.prepare import PreparationSettings, prepare_cases
    from sfumato.data.source import DiscoveredDataset

    found = DiscoveredDataset(tuple(cases), "segment" if cases[0].masks else "generate", (), ())
    for _ in prepare_cases(found, folder / "set", PreparationSettings(size=(SIDE, SIDE), workers=workers)):
        pass
    shutil.rmtree(folder / "set")


class Spent(NamedTuple):
    """Seconds by the clock, and of processors."""

    clock: float
    processors: float


def spent(work: Callable[[], None]) -> Spent:
    clock, processors = time.perf_counter(), processor_seconds()
    work()
    return Spent(time.perf_counter() - clock, processor_seconds() - processors)


def processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def compare(cases: list[Case], workers: int, folder: Path, rounds: int) -> dict[str, float]:
    """Median seconds of both, and the medians of the ratios of neighbouring runs.

    Processor seconds tell more where other work runs beside.
    """
    pairs = [
        (spent(lambda: pillow(cases, workers)), spent(lambda: ours(cases, workers, folder))) for _ in range(rounds)
    ]
    return {
        "pillow_seconds": statistics.median(bare.clock for bare, _ in pairs),
        "prepare_seconds": statistics.median(whole.clock for _, whole in pairs),
        "ratio": statistics.median(whole.clock / bare.clock for bare, whole in pairs),
        "processor_ratio": statistics.median(whole.processors / bare.processors for bare, whole in pairs),
    }


def memory(folder: Path, count: int, workers: int) -> dict[str, float]:
    """Prepare deep images at full size; gigabytes of the source in memory, and of the processes at their largest."""
    from sfumato.data.manifest import Case
    from sfumato.data.preparation.prepare import PreparationSettings, prepare_cases
    from sfumato.data.source import DiscoveredDataset

    (folder / "deep").mkdir()
    slope = np.add.outer(np.arange(DEEP_SIDE), np.arange(DEEP_SIDE)).astype(np.uint16)
    cases = []
    for number in range(count):
        file = folder / f"deep/{number:05}.png"
        Image.fromarray(slope * np.uint16(1 + number % 30) + np.uint16(number)).save(file, compress_level=1)
        cases.append(Case(id=f"{number:05}", image=str(file)))
    settings = PreparationSettings(size=(DEEP_SIDE, DEEP_SIDE), workers=workers)
    found = DiscoveredDataset(tuple(cases), "generate", (), ())
    taken = spent(lambda: deque(prepare_cases(found, folder / "set", settings), maxlen=0)).clock
    shutil.rmtree(folder / "set")
    largest = [resource.getrusage(who).ru_maxrss / 2**20 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    source = count * DEEP_SIDE**2 * 2 / 2**30
    return {"seconds": taken, "source_gib": source, "self_gib": largest[0], "worker_gib": largest[1]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--deep", type=int, default=0, help="deep images for the measurement of memory; 0: count / 5")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bare, masked = generate(folder / "raw", arguments.count)
        report = {
            "images": compare(bare, arguments.workers, folder, arguments.rounds),
            "images and masks": compare(masked, arguments.workers, folder, arguments.rounds),
            "memory": memory(folder, arguments.deep or arguments.count // 5, arguments.workers),
        }
    for title, numbers in report.items():
        print(f"{title:18}" + "".join(f"{key:>18} {value:8.3f}" for key, value in numbers.items()))
    if arguments.out:
        arguments.out.write_text(json.dumps({"count": arguments.count, **report}, indent=2) + "\n")


if __name__ == "__main__":
    main()
