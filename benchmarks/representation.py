"""A training step of a generator on pixels beside steps on the bands of a Haar packet, the network as wide.

They take turns, a step each, so that a busy machine slows all; medians of CPU seconds are compared.

    sfumato toy toy --cases 40 --size 128
    sfumato prepare toy --out dataset --size 128
    OMP_NUM_THREADS=1 python benchmarks/representation.py dataset --out representation.json
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from sfumato.builder.network import build_call
from sfumato.experiment.workload import set_up_workload
from sfumato.networks.measure import count_flops

BATCH, WARM = 8, 2
NETWORK = "network={kind: unet, channels: 32, multipliers: [1, 2, 2, 4], blocks: 2, attention: [16]}"
SUBJECTS: dict[str, dict[str, Any]] = {
    "pixels": {},
    "haar, 1 level": {"data.representation": "haar"},
    "haar, 2 levels": {"data.representation": "haar", "data.levels": 2},
}


def subject(dataset: Path, changes: dict[str, Any]) -> tuple[float, Callable[[], object]]:
    """GFLOP of one call for one image, and what makes a step."""
    settings = [NETWORK, f"train.batch={BATCH}", "train.steps=1000000", "train.precision=fp32"]
    work = set_up_workload(dataset, "generate", None, settings, changes)
    torch.set_num_threads(1)
    gflops = count_flops(work.parts.network, build_call(work.recipe, work.dataset.spec)) / 1e9
    return gflops, work.works()["whole"]


def main() -> None:
    """Measure, show and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--out", type=Path, default=Path("representation.json"))
    words = parser.parse_args()
    subjects = {name: subject(words.dataset, changes) for name, changes in SUBJECTS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in subjects}
    for turn in range(WARM + words.turns):
        for name, (_, step) in subjects.items():
            began = time.process_time()
            step()
            if turn >= WARM:
                seconds[name].append(time.process_time() - began)
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    for name, median in medians.items():
        print(f"{name}: {median:.2f} CPU s a step, {subjects[name][0]:.2f} GFLOP, {medians['pixels'] / median:.2f} x")
    found = {name: {"cpu_seconds": seconds[name], "gflops": subjects[name][0]} for name in subjects}
    words.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
