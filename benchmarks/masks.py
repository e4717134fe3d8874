"""Few calls on masks: accuracy, diversity and calibration of ensembles, by network calls, for trained models.

Each arm draws the same number of members for the same held-out cases, scored in the model's own size. Dice is that of
the mean probability (mean over readers and cases); GED is the U-statistic, unbiased in the number of members; ECE is
taken in the foreground band, pooled over cases and readers; seconds are for one member, images read and decoded. A
deterministic model is a row of its own for each number of views (flips and transpositions).

    python benchmarks/masks.py DATASET --arm critical=RUN:ddim:critical --arm warm=RUN:ddim:critical:TWIN --out F.json
"""

import argparse
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from sfumato.data.dataset import Dataset
from sfumato.evenly import evenly
from sfumato.experiment.inference import Twin, predict
from sfumato.experiment.run import Model, load_model
from sfumato.metrics.calibration import band, ece, pooled, reliability
from sfumato.metrics.ensemble import ged, matched_iou, mean_probability
from sfumato.metrics.overlap import overlap

BATCH = 32
BAND = 3
"""Width in pixels of the border around the foreground in which calibration counts."""

VIEWS = (1, 2, 4, 8)


class Arm(NamedTuple):
    """A model and how it is sampled.

    Attributes:
        name: of the rows.
        model: the model.
        sampler: name of the sampler.
        grid: where its steps lie.
        twin: whose estimate is noised, in place of a start from noise.
    """

    name: str
    model: Model
    sampler: str
    grid: str
    twin: Twin | None

    @classmethod
    def parse(cls, text: str) -> "Arm":
        """NAME=RUN:SAMPLER:GRID, with :TWIN for a warm start; a deterministic model is NAME=RUN."""
        name, _, rest = text.partition("=")
        run, sampler, grid, twin = [*rest.split(":"), "", "", ""][:4]
        return cls(name, load_model(run), sampler, grid, Twin(model=load_model(twin)) if twin else None)


class Scores(NamedTuple):
    """Means over cases."""

    dice: float
    ged: float
    hm_iou: float
    ece: float


def rows_of(
    arm: Arm, dataset: Dataset, rows: Sequence[int], *, calls: Sequence[int], members: int
) -> Iterator[dict[str, Any]]:
    """The rows of an arm: one for each number of calls, of views for a deterministic model."""
    cases = [dataset.cases[row] for row in rows]
    deterministic = arm.model.recipe.process.kind == "none"
    for number in VIEWS if deterministic else calls:
        if deterministic:
            sampler, count = arm.model.sampler(), number
        else:
            start = None if arm.twin is None else "twin"
            sampler = arm.model.sampler(sampler=arm.sampler, grid=arm.grid, steps=number, start=start)
            count = members
        began = time.perf_counter()
        drawn = predict(arm.model, sampler, cases, count=count, seed=0, batch=BATCH, start=arm.twin, tta=deterministic)
        ensembles = [each.members for each in drawn]
        seconds = (time.perf_counter() - began) / len(rows) / count
        scores = score(ensembles, dataset, rows)._asdict()
        yield {"arm": arm.name, "calls": sampler.calls, "members": count, "seconds": seconds, **scores}


def score(ensembles: Iterable[np.ndarray], dataset: Dataset, rows: Sequence[int]) -> Scores:
    """The numbers of a row of the table.

    Args:
        ensembles: class probabilities (members, classes, h, w) of each case.
        dataset: the dataset.
        rows: the cases' rows.
    """
    values, bins = [], []
    for members, row in zip(ensembles, rows, strict=True):
        readers = np.concatenate([dataset.masks([row], [reader]).numpy() for reader in range(dataset.spec.readers)])
        mean, masks, classes = mean_probability(members), members.argmax(1), members.shape[1]
        mask = mean.argmax(0)
        dice = np.mean([overlap(mask, reader, classes=classes, case=str(row)).dice.mean() for reader in readers])
        energy, matched = ged(masks, readers, classes=classes).u, matched_iou(masks, readers, classes=classes)
        values.append((dice, energy, matched))
        near = [band((mask > 0) | (reader > 0), width=BAND) for reader in readers]
        bins += [reliability(mean, reader, where=where) for reader, where in zip(readers, near, strict=True)]
    return Scores(*np.mean(values, axis=0).tolist(), ece(pooled(bins)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--arm", type=Arm.parse, action="append", required=True)
    parser.add_argument("--calls", default="1,2,4,8,25,50")
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--split", default="test")
    parser.add_argument("--cases", type=int, default=40, help="of the split, equally spaced")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    dataset = Dataset.open(arguments.dataset)
    rows = evenly(dataset.rows(arguments.split), arguments.cases)
    calls = [int(number) for number in arguments.calls.split(",")]
    table = []
    for arm in arguments.arm:
        for row in rows_of(arm, dataset, rows, calls=calls, members=arguments.members):
            table.append(row)
            print({name: round(v, 4) if isinstance(v, float) else v for name, v in row.items()}, flush=True)
            arguments.out.write_text(json.dumps({"cases": len(rows), "rows": table}, indent=2) + "\n")


if __name__ == "__main__":
    main()
