"""Several readers: whole readings beside deterministic twins, by CPU minutes.

    python benchmarks/readings.py DATASET --minutes 15 --seeds 3         # DATASET: prepared, with several readers

Arms, each with its own CPU minutes of one thread, whatever number of models that pays:

    twin         the deterministic twin of `network.kind=amortised`: one mask; and an ensemble of its views
    five twins   a fifth of the minutes each
    ssn          `process.kind=ssn`, one call of the same encoder, or of the U-Net
    flow         `process.kind=flow process.prior=learnt network.features=false`, 4 calls (Flow-SSN)
    flow, image  the same with the encoder's features
    split        Gaussian diffusion on `network.kind=amortised`, 4 calls
    concat       Gaussian diffusion on a U-Net that is shown the image in every call, 4 calls
    categorical  the same with noise that replaces classes

All are trained by turns in one process: the one that has used less CPU time makes the next step, so a busy machine
slows all alike. What an arm minimises is what `sfumato train` would for these settings, with the rates of
`benchmarks/amortised.py`. Each step draws a reader for each case. Scored are up to --cases test slices with at least
one reader's mark, --members masks each at the size of the dataset: GED, matched IoU, the Dice of the mean with each
reader, the CPU seconds of drawing. Intervals are of paired differences, patients drawn again.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from amortised import Trained
from sfumato.data.dataset import Dataset
from sfumato.diffusion.loss import probabilities
from sfumato.evenly import evenly
from sfumato.experiment.workload import Workload, set_up_workload
from sfumato.metrics.ensemble import ged, matched_iou
from sfumato.networks.measure import count_parameters
from sfumato.tasks.seen import seen
from sfumato.tasks.segment import Segment, draw_masks
from sfumato.tasks.task import last
from sfumato.tasks.views import turn_back, turn_images, views_of
from sfumato.training.data_order import Batch

FLOW = ["process.kind=flow", "process.prior=learnt", "network.kind=amortised"]
RECIPES: Mapping[str, list[str]] = {
    "twin": ["process.kind=none", "network.kind=amortised"],
    "five twins": ["process.kind=none", "network.kind=amortised"],
    "ssn": ["process.kind=ssn", "network.kind=amortised"],
    "ssn, U-Net": ["process.kind=ssn", "network.kind=unet"],
    "flow": [*FLOW, "network.features=false"],
    "flow, image": FLOW,
    "split": ["network.kind=amortised"],
    "concat": ["network.kind=unet"],
    "categorical": ["network.kind=unet", "process.kind=categorical"],
}
SEVERAL = {"five twins": 5}
DRAWN = 32
"""Masks that are drawn at once."""

Draw = Callable[[Tensor, int, int], Tensor]
"""Of an image (1, c, h, w): so many members with this seed, class probabilities (members, classes, h, w)."""


class Arm(NamedTuple):
    """One or several models, each with its clock."""

    models: list[tuple[Workload, Trained]]

    @property
    def seconds(self) -> float:
        """Of all of them."""
        return sum(trained.seconds for _, trained in self.models)


class Scores(NamedTuple):
    """Of a case; means over cases."""

    ged_v: float
    ged_u: float
    hm_iou: float
    diversity: float
    dice: float


def arm_of(dataset: Path, name: str, options: argparse.Namespace, seed: int) -> Arm:
    models = []
    for number in range(SEVERAL.get(name, 1)):
        settings = [*RECIPES[name], *options.set, "train.steps=1000000", f"train.seed={seed + 1000 * number}"]
        work = set_up_workload(dataset, "segment", None, settings)
        models.append((work, Trained(work.parts.network, loss_of(work), options.rate)))
    return Arm(models)


def loss_of(work: Workload) -> Callable[[Batch], Tensor]:
    task, network = work.task, work.parts.network
    return lambda batch: task.loss(network, batch)["loss"].mean()


def train(arms: Mapping[str, Arm], minutes: float) -> None:
    clocks = [(work, trained, 60 * minutes / len(arm.models)) for arm in arms.values() for work, trained in arm.models]
    while running := [each for each in clocks if each[1].seconds < each[2]]:
        work, trained, budget = min(running, key=lambda each: each[1].seconds / each[2])
        (batch,) = work.data_order.batch_at(trained.steps, parts=1)
        trained.step(batch, budget)


def draws_of(name: str, arm: Arm) -> dict[str, Draw]:
    """What an arm answers, by the name of each row of the table."""
    works = [work for work, _ in arm.models]
    if len(works) > 1:
        return {name: lambda image, _, seed: torch.cat([drawn(work, image, 1, seed) for work in works])}
    if name == "twin":
        return {
            "twin, mask": lambda image, _, seed: drawn(works[0], image, 1, seed),
            "twin, views": views(works[0]),
        }
    return {name: lambda image, count, seed: drawn(works[0], image, count, seed)}


def drawn(work: Workload, image: Tensor, count: int, seed: int, turned: Sequence[int] | None = None) -> Tensor:
    """Members of one image, of one call of the encoder where there is one."""
    model, task = work.model(), work.task
    assert isinstance(task, Segment)
    network = work.parts.network.eval()
    images = image.expand(count, *image.shape[1:])
    images = images if turned is None else turn_images(images, turned)
    seeds = [1000 * seed + number for number in range(count)]
    known = None if turned else seen(network, images, None, process=model.process)
    steps = draw_masks(model.process, network, model.sampler(), images, task.classes, seeds=seeds, known=known)
    shares = probabilities(last(steps).x0)
    return shares if turned is None else turn_back(shares, turned)


def views(work: Workload) -> Draw:
    def members(image: Tensor, _count: int, seed: int) -> Tensor:
        turned = list(range(views_of(tuple(image.shape[2:]))))
        return drawn(work, image, len(turned), seed, turned)

    return members


def scored(shares: Tensor, readers: np.ndarray) -> Scores:
    masks, classes = shares.argmax(1).numpy().astype(np.int64), shares.shape[1]
    energy = ged(masks, readers, classes=classes)
    mean = shares.mean(0).argmax(0).numpy()
    dice = []
    for reader in readers:
        total = (mean > 0).sum() + (reader > 0).sum()
        dice.append(2 * ((mean > 0) & (reader > 0)).sum() / total if total else 1.0)
    return Scores(
        energy.v, energy.u, matched_iou(masks, readers, classes=classes), energy.diversity, float(np.mean(dice))
    )


def marked(dataset: Dataset, at_most: int) -> list[int]:
    """Test cases with at least one reader's mark."""
    rows = [row for row in dataset.rows("test") if readings(dataset, row).any()]
    return list(evenly(rows, at_most))


def readings(dataset: Dataset, row: int) -> np.ndarray:
    many = dataset.spec.readers
    return np.asarray(dataset.masks([row] * many, list(range(many))).numpy(), np.int64)


@torch.inference_mode()
def results(
    arms: Mapping[str, Arm], dataset: Dataset, rows: Sequence[int], members: int
) -> Iterator[tuple[str, list[Scores], float]]:
    for name, arm in arms.items():
        for row_name, draw in draws_of(name, arm).items():
            seconds, found = 0.0, list[Scores]()
            for row in rows:
                image, begun = dataset.images([row]), time.process_time()
                shares = draw(image, members, row)
                seconds += time.process_time() - begun
                found.append(scored(shares, readings(dataset, row)))
            yield row_name, found, seconds


def interval(difference: np.ndarray, patients: Sequence[str], times: int = 1999) -> tuple[float, float]:
    """95 % of the mean of a paired difference, patients drawn again."""
    names = sorted(set(patients))
    of = [np.flatnonzero(np.array(patients) == name) for name in names]
    sums, counts = np.array([difference[each].sum() for each in of]), np.array([len(each) for each in of])
    chosen = np.random.default_rng(0).integers(0, len(of), (times, len(of)))
    low, high = np.percentile(sums[chosen].sum(1) / counts[chosen].sum(1), (2.5, 97.5))
    return float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--minutes", type=float, default=5.0, help="CPU minutes of each arm")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--members", type=int, default=16)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--arms", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--beside", nargs="+", default=["five twins", "ssn"], help="rows that others are compared with")
    parser.add_argument("--set", action="append", default=[], help="of all arms")
    options = parser.parse_args()
    torch.set_num_threads(1)
    dataset = Dataset.open(options.dataset)
    rows = marked(dataset, options.cases)
    patients = [dataset.cases[row].patient or dataset.cases[row].id for row in rows]
    print(f"{len(rows)} cases of {len(set(patients))} patients, {options.members} members", flush=True)
    print(f"| arm | seed | steps | {' | '.join(Scores._fields)} | CPU s to draw |", flush=True)
    table = dict[str, list[np.ndarray]]()
    for seed in range(options.first, options.first + options.seeds):
        arms = {name: arm_of(options.dataset, name, options, seed) for name in options.arms}
        for name, arm in arms.items():
            print(f"{name}: {count_parameters(arm.models[0][1].network) / 1e6:.2f} M parameters", flush=True)
        train(arms, options.minutes)
        steps = {name: "+".join(str(each.steps) for _, each in arm.models) for name, arm in arms.items()}
        for name, found, seconds in results(arms, dataset, rows, options.members):
            scores = np.array(found)
            table.setdefault(name, []).append(scores)
            told = " | ".join(f"{value:.3f}" for value in np.nanmean(scores, 0))
            print(
                f"| {name} | {seed} | {steps.get(name, steps.get('twin'))} | {told} | {seconds:.1f} |",
                flush=True,
            )
    for other in options.beside:
        for name in table if other in table else ():
            for column in ("ged_v", "ged_u", "dice"):
                place = Scores._fields.index(column)
                ours, theirs = (np.mean([each[:, place] for each in table[key]], 0) for key in (name, other))
                if name != other and np.isfinite(ours - theirs).all():
                    low, high = interval(ours - theirs, patients)
                    print(f"{column}: {name} - {other}: {np.mean(ours - theirs):+.3f} [{low:+.3f}, {high:+.3f}]")


if __name__ == "__main__":
    main()
