"""Masks at the images' own size by CPU minutes: whole images made small, patches in windows, MONAI on the same patches.

    python benchmarks/native.py SOURCE --minutes 5 --seeds 3      # SOURCE: images or volumes with masks, of any sizes

Arms, each with its own CPU minutes of one thread:

    small      `--preset fast`: whole images at 64 pixels, volumes plane by plane
    native     `--size native`, `network.kind=amortised` in windows of --patch, masks drawn with 4 calls; whole volumes
    twin       the encoder's own answer of the same network
    U-Net      the same patches, `network.kind=unet`: image and noisy mask go through the whole network in each call
    MONAI      the residual `UNet` with `DiceCELoss` on the same patches in the same order with the same augmentation,
               and `sliding_window_inference` (Gaussian weights, half overlapping)

All are trained by turns in one process: the one that has used less CPU time makes the next step, so a busy machine
slows all. The rates are those of `benchmarks/amortised.py`. Scored are the test cases of one split by patient, against
the first reader, at each image's own size: Dice, the 95th percentile of the Hausdorff distance (HD95) and the surface
Dice within 2 pixels (NSD), means over cases of means over classes; of volumes in millimetres.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from monai.losses import DiceCELoss
from torch import Tensor, nn

from amortised import Trained, monai_network
from sfumato import Preparation, Reading, prepare
from sfumato.data.dataset import Dataset
from sfumato.experiment.inference import in_original_size, predict
from sfumato.experiment.workload import Workload, set_up_workload
from sfumato.metrics.surface import distances, hd95, nsd
from sfumato.networks.amortised import Amortised
from sfumato.tasks.segment import Segment
from sfumato.tasks.task import batch_noise
from sfumato.training.data_order import Batch

CALLS, NEAR = 4, 2.0

Predict = Callable[[int], np.ndarray]
"""Class indices (h, w) of a test case in its own size, by its row."""


class Scores(NamedTuple):
    """Of a case, or means over cases; nan of distances where a class is in one mask alone."""

    dice: float
    hd95: float
    nsd: float


def scored(mask: np.ndarray, truth: np.ndarray, classes: int, spacing: tuple[float, ...] | None) -> Scores:
    spacing = spacing or (1.0,) * truth.ndim
    found = list[Scores]()
    for index in range(1, classes):
        ours, theirs = mask == index, truth == index
        if not (ours.any() or theirs.any()):
            continue
        dice = 2 * (ours & theirs).sum() / (ours.sum() + theirs.sum())
        if ours.any() and theirs.any():
            far = hd95(distances(ours, theirs, spacing=spacing))
            found.append(Scores(float(dice), far, nsd(ours, theirs, tolerance=NEAR, spacing=spacing)))
        else:
            found.append(Scores(0.0, float("nan"), 0.0))
    return means(found) if found else Scores(1.0, 0.0, 1.0)


def means(every: list[Scores]) -> Scores:
    return Scores(*(float(np.nanmean(column)) for column in zip(*every, strict=True)))


def task_of(work: Workload) -> Segment:
    assert isinstance(work.task, Segment)
    return work.task


def monai_loss(work: Workload, network: nn.Module) -> Callable[[Batch], Tensor]:
    """On what our task reads and varies; what lies beyond an image is left to the background."""
    task, criterion = task_of(work), DiceCELoss(to_onehot_y=True, softmax=True)

    def loss(batch: Batch) -> Tensor:
        noise = batch_noise(task.seed, batch, "cpu")
        images, masks = task.varied(*task.read(batch.rows, noise), noise)
        target = torch.where(masks == 255, 0, masks)[:: len(masks) // len(images), None]
        return criterion(network(images), target.long())

    return loss


def our_loss(work: Workload) -> Callable[[Batch], Tensor]:
    task, network = task_of(work), work.parts.network
    return lambda batch: task.loss(network, batch)["loss"].mean()


def drawn(work: Workload, truth: Dataset) -> Predict:
    """One member in `CALLS` calls, brought back to the image's own size."""
    model = work.model()._replace(network=work.parts.network.eval())
    sampler = model.sampler(steps=CALLS, sampler="ddim")

    def mask_of(row: int) -> np.ndarray:
        case = truth.cases[row]
        name = case.volume if truth.spec.dimensions == 3 else case.id
        planes = [each for each in work.dataset.planes if name in (each.id, each.volume)]
        masks = [in_original_size(each).mask for each in predict(model, sampler, planes, count=1, seed=0, batch=1)]
        return masks[0] if masks[0].ndim == truth.mask(row).ndim else np.stack(masks)

    return mask_of


def windowed(work: Workload, answer: Callable[[Tensor], Tensor], patch: tuple[int, ...]) -> Predict:
    """Logits of windows, put together as MONAI does."""

    def mask_of(row: int) -> np.ndarray:
        image = work.dataset.images([row])
        logits = sliding_window_inference(image, patch, 4, answer, overlap=0.5, mode="gaussian", padding_mode="reflect")
        return logits.argmax(1)[0].numpy()

    return mask_of


class Arm(NamedTuple):
    """What is trained, in which order, and what it answers by the name of each row of the table."""

    trained: Trained
    work: Workload
    answers: Mapping[str, Callable[[], Predict]]


def arms_of(folder: Path, options: argparse.Namespace, seed: int) -> dict[str, Arm]:
    truth = Dataset.open(folder / "native")
    patch = tuple(map(int, options.patch.split("x")))
    patch = patch if len(patch) > 1 else patch * truth.spec.dimensions
    common = ["train.steps=1000000", f"train.seed={seed}"]
    small = set_up_workload(folder / "small", "segment", None, common)
    common += [f"data.patch={list(patch)}", f"train.batch={options.batch}"]
    native = set_up_workload(folder / "native", "segment", None, [*common, "network.kind=amortised", *options.set])
    whole = set_up_workload(folder / "native", "segment", None, [*common, "network.kind=unet"])
    network = native.parts.network
    assert isinstance(network, Amortised)
    torch.manual_seed(seed)
    spec = native.dataset.spec
    theirs = monai_network(spec.channels, len(spec.mask_classes), dimensions=spec.dimensions)
    return {
        "small": Arm(
            Trained(small.parts.network, our_loss(small), 1e-3), small, {"small": lambda: drawn(small, truth)}
        ),
        "native": Arm(
            Trained(network, our_loss(native), 1e-3),
            native,
            {
                "native": lambda: drawn(native, truth),
                "twin": lambda: windowed(native, lambda x: network.eval().encode(x).logits, patch),
            },
        ),
        "U-Net": Arm(
            Trained(whole.parts.network, our_loss(whole), 1e-3), whole, {"U-Net": lambda: drawn(whole, truth)}
        ),
        "MONAI": Arm(
            Trained(theirs, monai_loss(native, theirs), 1e-3),
            native,
            {"MONAI": lambda: windowed(native, theirs.eval(), patch)},
        ),
    }


def trained(arms: Mapping[str, Arm], minutes: float) -> None:
    budget = 60 * minutes
    while (arm := min(arms.values(), key=lambda arm: arm.trained.seconds)).trained.seconds < budget:
        (batch,) = arm.work.data_order.batch_at(arm.trained.steps, parts=1)
        arm.trained.step(batch, budget)


@torch.inference_mode()
def results(arms: Mapping[str, Arm], truth: Dataset) -> Iterator[tuple[str, int, Scores]]:
    rows, classes = truth.rows("test"), len(truth.spec.mask_classes)
    for arm in arms.values():
        for name, answer in arm.answers.items():
            mask_of = answer()
            found = [scored(mask_of(row), truth.mask(row), classes, truth.spec.voxel) for row in rows]
            yield name, arm.trained.steps, means(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--minutes", type=float, default=5.0, help="CPU minutes of each arm")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--batch", type=int, default=8, help="patches of a step")
    parser.add_argument("--patch", default="256", help="sides of patches and windows, such as 256 or 40x56x40")
    parser.add_argument("--drop-unpaired", action="store_true")
    parser.add_argument("--images", help="as of prepare")
    parser.add_argument("--masks", help="as of prepare")
    parser.add_argument("--arms", nargs="+", default=["small", "native", "U-Net", "MONAI"])
    parser.add_argument("--set", action="append", default=[], help="of the native arm, e.g. network.stem=2")
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = dict[str, list[Scores]]()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        reading = Reading(drop_unpaired=options.drop_unpaired, images=options.images, masks=options.masks)
        for name, how in (("small", Preparation(preset="fast")), ("native", Preparation(size="native"))):
            prepare(options.source, out=folder / name, reading=reading, preparation=how)
        print("| arm | seed | steps | Dice | HD95 | NSD |\n| --- | --- | --- | --- | --- | --- |", flush=True)
        for seed in range(options.first, options.first + options.seeds):
            arms = {name: arm for name, arm in arms_of(folder, options, seed).items() if name in options.arms}
            trained(arms, options.minutes)
            for name, steps, scores in results(arms, Dataset.open(folder / "native")):
                table.setdefault(name, []).append(scores)
                print(f"| {name} | {seed} | {steps} | {' | '.join(f'{value:.3f}' for value in scores)} |", flush=True)
    for name, every in table.items():
        spread = statistics.stdev(each.dice for each in every) if len(every) > 1 else 0.0
        told = ", ".join(f"{key} {value:.3f}" for key, value in means(every)._asdict().items())
        print(f"{name}: {told}; standard deviation of Dice over seeds {spread:.3f}")


if __name__ == "__main__":
    main()
