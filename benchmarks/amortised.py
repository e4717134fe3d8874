"""See once, draw many: what a call of the small network costs beside the encoder, and Dice by CPU minutes beside MONAI.

    python benchmarks/amortised.py speed                          # E, D and the refinement; K masks of S calls
    python benchmarks/amortised.py dice DATASET --minutes 4       # DATASET prepared with masks, e.g. --size 256

Speed: one thread, the process's CPU time, medians of interleaved repetitions. D and the refinement see pieces of 8
items, as in sampling; the twin is the encoder with its own head.

Dice: our network (the shape of the plan, its task's loss, several draws of each image) and MONAI's residual `UNet` with
`DiceCELoss` see the same images in the same order with the same augmentation, one thread each, in one process: the one
that has used less CPU time makes the next step, so a busy machine slows both. Both use AdamW with the same rates:
linear warm-up over 20 steps, then a cosine over the CPU time. Scores are the mean Dice of the test split at the size of
the data set: of the encoder's own head, and of masks drawn with 1 and 4 calls and refined.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from monai.losses import DiceCELoss
from monai.networks.nets import UNet as MonaiUNet
from torch import Tensor, nn

from sfumato.data.augmentation.augment import apply, draw_parameters
from sfumato.diffusion.family.low_rank import LowRankLogits
from sfumato.diffusion.process import Condition
from sfumato.experiment.network_shapes import SHAPES
from sfumato.experiment.workload import Workload, set_up_workload
from sfumato.networks.amortised import Amortised
from sfumato.networks.measure import count_parameters
from sfumato.randomness import Noise
from sfumato.tasks.segment import Segment, draw_masks
from sfumato.tasks.task import batch_noise, last
from sfumato.training.data_order import Batch

PIECE = 8
MEMBERS, CALLS = 16, 4
WARM_UP = 20


def monai_network(channels: int, classes: int, dimensions: int = 2) -> nn.Module:
    widths = (16, 32, 64, 128, 256) if dimensions == 2 else (16, 32, 64, 128)
    return MonaiUNet(dimensions, channels, classes, widths, (2,) * (len(widths) - 1), num_res_units=2)


def speed(options: argparse.Namespace) -> None:
    shape = {**SHAPES["amortised"]["large"], **dict(each.split("=") for each in options.set)}
    shape = {name: value if isinstance(value, list) else int(value) for name, value in shape.items() if name != "draws"}
    network = Amortised(channels_in=2, channels_out=2, channels_mask=2, channels_condition=3, **shape).eval()
    image = torch.randn(PIECE, 3, options.size, options.size)
    reference, drawn = monai_network(3, 2).eval(), LowRankLogits(classes=2)
    like, noise = torch.zeros(PIECE, 2, options.size, options.size), Noise(range(PIECE))
    encoder = {"channels_in": 2, "channels_out": 2, "channels_condition": 3, "twin": True, **shape}
    one = Amortised(channels_mask=2, **encoder).eval()
    several = Amortised(channels_mask=drawn.channels(2)[1], **encoder).eval()
    with torch.inference_mode():
        encoded = network.encode(image)
        small = [options.size // side for side in network.stride]
        x, level = torch.randn(PIECE, 2, *small), torch.zeros(PIECE)
        works: dict[str, Callable[[], object]] = {
            "E": lambda: network.encode(image[:1]),
            "D": lambda: network(x, level, Condition(encoded=encoded)),
            "refine": lambda: network.refine(x, encoded),
            "MONAI UNet": lambda: reference(image[:1]),
            "twin": lambda: one.encode(image[:1]),
            "ssn, E": lambda: several.encode(image[:1]),
            "ssn, draw": lambda: drawn.estimate(answers, drawn.prior(like, noise), 1.0),
        }
        answers = several.encode(image[:1]).logits.expand(PIECE, -1, -1, -1)
        seconds = timed(works, options.repeats)
    items = {name: PIECE if name in ("D", "refine", "ssn, draw") else 1 for name in works}
    each = {name: value / items[name] for name, value in seconds.items()}
    for name, value in each.items():
        print(f"{name:12}{1e3 * value:8.2f} ms an item   {value / each['E']:.4f} of E")
    total = each["E"] + MEMBERS * (CALLS * each["D"] + each["refine"])
    print(f"{MEMBERS} masks of {CALLS} calls: {total / each['twin']:.2f} passes of the twin")
    total = each["ssn, E"] + MEMBERS * each["ssn, draw"]
    print(f"{MEMBERS} masks of drawn logits (ssn): {total / each['twin']:.2f} passes of the twin")


def timed(works: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median CPU seconds of each, one after the other in every repetition; the first is left out."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats + 1):
        for name, work in works.items():
            begun = time.process_time()
            work()
            found[name].append(time.process_time() - begun)
    return {name: statistics.median(times[1:]) for name, times in found.items()}


@dataclass
class Trained:
    """A network with its own clock.

    Attributes:
        network: what is trained.
        loss: of a batch, one number.
        rate: the learning rate at its peak.
    """

    network: nn.Module
    loss: Callable[[Batch], Tensor]
    rate: float
    seconds: float = 0.0
    steps: int = 0
    optimizer: torch.optim.Optimizer = field(init=False)

    def __post_init__(self) -> None:
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=self.rate, weight_decay=0.01)

    def step(self, batch: Batch, budget: float) -> None:
        """One step, at the rate that belongs to the share of the budget that is used."""
        begun = time.process_time()
        share = min(1.0, (self.steps + 1) / WARM_UP) * (1 + math.cos(math.pi * min(1.0, self.seconds / budget))) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * max(share, 0.01)
        self.network.train()
        self.optimizer.zero_grad()
        self.loss(batch).backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.seconds, self.steps = self.seconds + time.process_time() - begun, self.steps + 1


def dice_of(work: Workload, predict: Callable[[Tensor], Tensor]) -> float:
    """Mean Dice of the test split's foreground, from what says class indices of images."""
    scores = []
    for row in work.dataset.rows("test"):
        mask, truth = predict(work.dataset.images([row]))[0], work.dataset.masks([row])[0]
        both, total = ((mask > 0) & (truth > 0)).sum(), (mask > 0).sum() + (truth > 0).sum()
        scores.append(float(2 * both / total) if total else 1.0)
    return statistics.mean(scores)


def dice(options: argparse.Namespace) -> None:
    settings = ["network.kind=amortised", f"train.batch={options.batch}", "train.steps=1000000", *options.set]
    work = set_up_workload(options.dataset, "segment", None, settings)
    task, spec = work.task, work.dataset.spec
    assert isinstance(task, Segment)
    ours, theirs = work.parts.network, monai_network(spec.channels, len(spec.mask_classes))
    criterion = DiceCELoss(to_onehot_y=True, softmax=True)

    def their_loss(batch: Batch) -> Tensor:
        noise = batch_noise(task.seed, batch, "cpu")
        images, masks = work.dataset.images(batch.rows), work.dataset.masks(batch.rows)
        images, moved = apply(images, masks, draw_parameters(task.augment, noise, images))
        assert moved is not None
        return criterion(theirs(images), moved[:, None].long())

    both = {
        "amortised": Trained(ours, lambda batch: task.loss(ours, batch)["loss"].mean(), options.rate),
        "MONAI UNet": Trained(theirs, their_loss, options.monai_rate),
    }
    for name, each in both.items():
        print(f"{name}: {count_parameters(each.network) / 1e6:.2f} M parameters", flush=True)
    print("| network | CPU minutes | steps | answer | Dice |\n| --- | --- | --- | --- | --- |", flush=True)
    for part in range(1, options.marks + 1):
        budget = 60 * options.minutes
        while (name := min(both, key=lambda name: both[name].seconds)) and both[
            name
        ].seconds < budget * part / options.marks:
            (batch,) = work.data_order.batch_at(both[name].steps, parts=1)
            both[name].step(batch, budget)
        for name, answer, value in answers(work, ours.eval(), theirs.eval()):
            line = f"| {name} | {both[name].seconds / 60:.2f} | {both[name].steps} | {answer} | {value:.4f} |"
            print(line, flush=True)


@torch.inference_mode()
def answers(work: Workload, ours: nn.Module, theirs: nn.Module) -> list[tuple[str, str, float]]:
    task = work.task
    assert isinstance(task, Segment) and isinstance(ours, Amortised)

    def drawn(calls: int) -> Callable[[Tensor], Tensor]:
        sampler = work.model().sampler(steps=calls)
        return lambda images: last(draw_masks(task.process, ours, sampler, images, task.classes, seeds=[0])).x0.argmax(
            1
        )

    return [
        ("MONAI UNet", "its own", dice_of(work, lambda images: theirs(images).argmax(1))),
        ("amortised", "encoder's head", dice_of(work, lambda images: ours.encode(images).logits.argmax(1))),
        *(("amortised", f"{calls} calls, refined", dice_of(work, drawn(calls))) for calls in (1, CALLS)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(required=True)
    fast = verbs.add_parser("speed")
    fast.add_argument("--size", type=int, default=256)
    fast.add_argument("--repeats", type=int, default=15)
    fast.set_defaults(run=speed)
    good = verbs.add_parser("dice")
    good.add_argument("dataset", type=Path)
    good.add_argument("--minutes", type=float, default=4.0, help="CPU minutes of each network")
    good.add_argument("--marks", type=int, default=2, help="how often both are scored")
    good.add_argument("--batch", type=int, default=8)
    good.add_argument("--rate", type=float, default=1e-3)
    good.add_argument("--monai-rate", type=float, default=1e-3)
    good.set_defaults(run=dice)
    for each in (fast, good):
        each.add_argument("--set", action="append", default=[])
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    options.run(options)


if __name__ == "__main__":
    main()
