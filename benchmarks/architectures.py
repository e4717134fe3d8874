"""Every network on one dataset: each trains alone for the same time with the shape that the plan gives it.

A segmenter is scored by the Dice of its drawn masks on the test split (default sampler), a generator by KID of its
images to held-out ones, in two spaces (see images.py). A run that is there already is continued to its end and scored.

    python benchmarks/architectures.py segment DATASET --networks unet,swin --minutes 5 --runs RUNS --out F.json
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from images import Spaces, draw_labels, generate
from masks import score
from sfumato.builder.network import build_call
from sfumato.data.dataset import Dataset
from sfumato.experiment.inference import predict
from sfumato.experiment.run import Model, load_model
from sfumato.networks.measure import count_flops, count_parameters
from sfumato.training.log import read_log

NETWORKS = {
    "segment": ("unet", "ddpmpp", "ncsnpp", "adm", "edm2", "swin", "dit", "maskhead", "diffusers", "monai"),
    "generate": ("unet", "ddpmpp", "ncsnpp", "adm", "edm2", "swin", "dit", "diffusers", "monai"),
}
FOREIGN = ("diffusers", "monai")
BATCH = 32


def train(task: str, dataset: Path, run: Path, kind: str, options: argparse.Namespace) -> None:
    """A run of this network, from the start or continued."""
    settings = [f"network.kind={kind}", "checkpoint.every_minutes=2", f"validate.every_minutes={options.minutes}"]
    if task == "generate" and kind in FOREIGN:  # EDM has no table of steps, which these networks are told
        settings += ["process={kind: gaussian, prediction: v}", "sample.grid=log_snr"]
    words = [word for setting in [*settings, *options.set] for word in ("--set", setting)]
    command = ["train", task, str(dataset), "--out", str(run), "--minutes", str(options.minutes), *words]
    with (run.parent / f"{run.name}.log").open("a") as log:
        subprocess.run([sys.executable, "-m", "sfumato", *command], check=True, stdout=log, stderr=log)


def row_of(kind: str, run: Path, dataset: Dataset, options: argparse.Namespace) -> dict[str, Any]:
    """A row of the table."""
    records = [record for record in read_log(run / "log.jsonl") if record["kind"] == "train"]
    losses, last = [record["loss"] for record in records], records[-1]
    tenth = max(1, len(losses) // 10)
    model = load_model(run)
    call = build_call(model.recipe, model.spec)
    return {
        "network": kind,
        "parameters": count_parameters(model.network.requires_grad_(True)),
        "gflops": count_flops(model.network, call) / 1e9,
        "steps": last["step"],
        "images_per_second": last["images"] / last["seconds"],
        "first_loss": float(np.mean(losses[:tenth])),
        "last_loss": float(np.mean(losses[-tenth:])),
        **(dice(model, dataset) if options.task == "segment" else distances(model, dataset, options.count)),
    }


def dice(model: Model, dataset: Dataset) -> dict[str, float]:
    """Dice of the test split."""
    rows = dataset.rows("test")
    drawn = predict(model, model.sampler(), [dataset.cases[row] for row in rows], count=2, seed=0, batch=BATCH)
    return {"dice": score([each.members for each in drawn], dataset, rows).dice}


def distances(model: Model, dataset: Dataset, count: int) -> dict[str, float]:
    """KID of drawn images to held-out ones, and that of as many real ones."""
    spaces = Spaces(dataset, seed=0)
    chosen, labels = draw_labels(dataset, count)
    images = generate(model, model.sampler(), labels, batch=BATCH)
    found = {f"kid_{space}": value for space, value in spaces.distances(images).items()}
    floor = spaces.distances(dataset.images(chosen))
    return {**found, **{f"floor_{space}": value for space, value in floor.items()}}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    for row in rows:
        cells = (f"{value:.4g}" if isinstance(value, float) else str(value) for value in map(row.get, names))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=NETWORKS)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--networks", help="names with commas between; by default all")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--count", type=int, default=128, help="images to draw")
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.runs.mkdir(parents=True, exist_ok=True)
    dataset, rows = Dataset.open(options.dataset), []
    for kind in options.networks.split(",") if options.networks else NETWORKS[options.task]:
        run = options.runs / f"{options.task}-{kind}"
        train(options.task, options.dataset, run, kind, options)
        rows.append(row_of(kind, run, dataset, options))
        print(table(rows[-1:]), flush=True)
        options.out.write_text(json.dumps(rows, indent=2) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
