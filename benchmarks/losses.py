"""What each loss term does: masks of models that were trained with it and without, all else the same.

Every arm trains the same network for the same steps from the same seed. Dice and the 95th percentile of the Hausdorff
distance are those of the mean of the members drawn for held-out cases, in pixels of the model's size (the image's
diagonal where one of both masks is empty), mean over foreground classes, readers and cases. The own quantity of an arm
is the term that it was given, on the held-out masks at noise of the training's law, in the averaged network; that of
the adversarial arm is the loss of a new discriminator, trained on the arm's estimates and then shown the held-out
ones: 2 where it cannot tell them from true masks. Arms that are done are not repeated.

    python benchmarks/losses.py DATASET --out FOLDER --arms base,boundary --steps 1500
"""

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.metrics import compute_hausdorff_distance

from sfumato.builder.objective import build_adversary
from sfumato.builder.process import build_process
from sfumato.builder.task import build_task
from sfumato.commands import train
from sfumato.data.augmentation.ranges import PRESETS
from sfumato.data.dataset import Dataset
from sfumato.diffusion.loss import boundary_loss, focal, generalised_dice, hausdorff, soft_dice
from sfumato.experiment.inference import predict
from sfumato.experiment.run import Model, load_model
from sfumato.metrics.ensemble import mean_probability
from sfumato.metrics.overlap import overlap
from sfumato.recipe import Recipe
from sfumato.recipe.train import LossWeights
from sfumato.tasks.objective import Objective, Term
from sfumato.tasks.segment import Segment
from sfumato.training.adversary import DISCRIMINATOR
from sfumato.training.data_order import Batch, DataOrder

BATCH = 16
DRAWS = 8
"""Noisy states of each held-out mask at which the terms are measured."""

MEASURED = Objective(
    terms=(
        Term("focal", 1.0, focal, per_pixel=True),
        Term("dice", 1.0, soft_dice, per_pixel=False),
        Term("generalised_dice", 1.0, generalised_dice, per_pixel=False),
        Term("boundary", 1.0, boundary_loss, per_pixel=True),
        Term("hausdorff", 1.0, hausdorff, per_pixel=True),
    )
)


class Arm(NamedTuple):
    """Weights of the loss, and what they are compared with.

    Attributes:
        weights: over cross-entropy and Dice, the defaults.
        quantity: the term that is meant to be better with it.
        without: the arm that is the same but for the term; the term is missing in this arm where `base` has it.
    """

    weights: dict[str, float]
    quantity: str
    without: str = "base"


ARMS = {
    "base": Arm({}, "dice", "no-dice"),
    "no-dice": Arm({"dice": 0.0}, "process"),
    "no-cross-entropy": Arm({"process": 0.0}, "process"),
    "generalised-dice": Arm({"generalised_dice": 1.0}, "generalised_dice"),
    "focal": Arm({"focal": 1.0}, "focal"),
    "boundary": Arm({"boundary": 10.0}, "boundary"),
    "hausdorff": Arm({"hausdorff": 50.0}, "hausdorff"),
    "adversarial": Arm({"adversarial": 0.2}, DISCRIMINATOR),
    "all": Arm({"boundary": 10.0, "hausdorff": 50.0, "adversarial": 0.2}, "boundary"),
}


def measure(
    name: str, dataset: Path, out: Path, *, steps: int, judge_steps: int, seed: int, cases: int, members: int
) -> dict[str, Any]:
    """Train an arm, or find it trained; its row."""
    weights = [f"loss.{term}={weight}" for term, weight in ARMS[name].weights.items()]
    last = [f"validate.every_steps={steps}", f"checkpoint.every_steps={max(1, steps // 4)}"]
    train.segment(dataset, out=out / name, steps=steps, batch=BATCH, seed=seed, set=[*weights, *last])
    model, opened = load_model(out / name), Dataset.open(dataset)
    rows = opened.rows("test", at_most=cases)
    seconds = [json.loads(line) for line in (out / name / "log.jsonl").read_text().splitlines()][-1]["seconds"]
    return {
        "arm": name, "steps": steps, "seed": seed, "cases": len(rows), "seconds_per_step": seconds / steps,
        **drawn(model, opened, rows, members=members), **terms_of(model, opened, rows, steps=judge_steps, seed=seed),
    }  # fmt: skip


def drawn(model: Model, dataset: Dataset, rows: Sequence[int], *, members: int) -> dict[str, float]:
    """Dice and HD95 of the ensembles' masks."""
    ensembles = predict(
        model, model.sampler(), [dataset.cases[row] for row in rows], count=members, seed=0, batch=BATCH
    )
    classes, dices, distances = len(dataset.spec.mask_classes), [], []
    for each, row in zip(ensembles, rows, strict=True):
        mask = mean_probability(each.members).argmax(0)
        for reader in range(dataset.spec.readers):
            truth = dataset.masks([row], [reader]).numpy()[0]
            dices.append(overlap(mask, truth, classes=classes, case=str(row)).dice.mean())
            distances.append(hd95(mask, truth, classes=classes))
    return {"members": members, "dice_score": float(np.mean(dices)), "hd95": float(np.mean(distances))}


def hd95(mask: np.ndarray, truth: np.ndarray, *, classes: int) -> float:
    """In pixels, mean over the foreground classes; 0 for two empty masks, the diagonal for one."""
    distances = []
    for k in range(1, classes):
        regions = [torch.from_numpy(each == k)[None, None] for each in (mask, truth)]
        if all(region.any() for region in regions):
            found = compute_hausdorff_distance(*regions, include_background=True, percentile=95).item()
        else:
            found = math.hypot(*mask.shape) if any(region.any() for region in regions) else 0.0
        distances.append(found)
    return float(np.mean(distances))


def terms_of(model: Model, dataset: Dataset, rows: Sequence[int], *, steps: int, seed: int) -> dict[str, float]:
    """Mean of every term on held-out masks, and how well a new discriminator tells their estimates apart."""
    recipe = reweighted(model.recipe, adversarial=0.0)
    task = build_task(recipe, dataset, build_process(recipe), device="cpu")
    assert isinstance(task, Segment)
    task = replace(task, augment=PRESETS["none"], objective=MEASURED, seed=seed + 1)
    means = mean_terms(task, model, rows)
    del means["loss"]
    judge = build_adversary(reweighted(recipe, adversarial=1.0), dataset.spec, device="cpu")
    assert judge is not None
    task = replace(task, objective=Objective(process=0.0, discriminator=judge.network))
    data_order = DataOrder(tuple(dataset.rows("train")), batch=task.batch, seed=seed)
    for step in range(steps):
        with torch.enable_grad():
            told = task.loss(model.network, data_order.batch_at(step)[0])[DISCRIMINATOR].mean()
        judge.optimizer.zero_grad()
        told.backward()
        judge.optimizer.step()
    return {**means, DISCRIMINATOR: mean_terms(task, model, rows)[DISCRIMINATOR]}


@torch.no_grad()
def mean_terms(task: Segment, model: Model, rows: Sequence[int]) -> dict[str, float]:
    """Mean of each term over rows and draws."""
    found = [task.loss(model.network, batch) for batch in batches(rows, task.batch)]
    return {name: float(torch.cat([terms[name] for terms in found]).mean()) for name in found[0]}


def batches(rows: Sequence[int], size: int) -> Iterator[Batch]:
    """Every row `DRAWS` times, at other noise each time; the last batch begins again at the first row."""
    for step in range(math.ceil(len(rows) * DRAWS / size)):
        slots = range(size)
        yield Batch(step, tuple(slots), tuple(rows[(step * size + slot) % len(rows)] for slot in slots))


def reweighted(recipe: Recipe, **weights: float) -> Recipe:
    """The recipe with other weights of the loss, the others left at their defaults."""
    return recipe.model_copy(update={"loss": LossWeights(**weights)})


def table(rows: dict[str, dict[str, Any]]) -> str:
    """A markdown table of the arms that are done."""
    lines = [
        "| arm | Dice | HD95, px | own quantity | with | without | ms a step |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, arm in ARMS.items():
        if name not in rows:
            continue
        row, other = rows[name], rows.get(arm.without)
        pair = (row, other) if name == "base" or not name.startswith("no-") else (other, row)
        own = ["-" if each is None else f"{each[arm.quantity]:.4f}" for each in pair]
        lines.append(
            f"| {name} | {row['dice_score']:.4f} | {row['hd95']:.2f} | {arm.quantity} | {' | '.join(own)} "
            f"| {1000 * row['seconds_per_step']:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--arms", default=",".join(ARMS), help="these only, so that processes can share the work")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--judge-steps", type=int, default=200, help="of the new discriminator")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=100, help="of the test split, equally spaced")
    parser.add_argument("--members", type=int, default=4)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.arms.split(","):
        file = arguments.out / f"{name}.json"
        if not file.exists():
            row = measure(
                name, arguments.dataset, arguments.out, steps=arguments.steps, judge_steps=arguments.judge_steps,
                seed=arguments.seed, cases=arguments.cases, members=arguments.members,
            )  # fmt: skip
            file.write_text(json.dumps(row, indent=2) + "\n")
    done = [arguments.out / f"{name}.json" for name in ARMS]
    rows = {file.stem: json.loads(file.read_text()) for file in done if file.exists()}
    (arguments.out / "losses.json").write_text(json.dumps({"rows": list(rows.values())}, indent=2) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
