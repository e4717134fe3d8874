"""How well copies of real images are found, how fast, and is a model that learned by heart told from one that did not?

python benchmarks/copies.py recall DATASET ...         share of altered training images that are flagged
python benchmarks/copies.py speed [--device cuda]      seconds for 5,000 images against 5,000 at 64 x 64
python benchmarks/copies.py model DATASET --out FOLDER  trains on 20 and on 1,000 of its images, draws, audits
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from sfumato.data.dataset import Dataset
from sfumato.data.formats.image import write_image
from sfumato.evaluation.copies import CopyDetector, audit, closest_pairs
from sfumato.evenly import evenly
from sfumato.experiment.inference import SampleRequest, make_steps
from sfumato.experiment.run import Model, load_model
from sfumato.metrics.copies import nearest
from sfumato.randomness import derive_seed
from sfumato.tasks.task import last, to_uint8
from sfumato.training.log import read_log

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""What is done to an image (c, h, w) in [0, 1]."""


def _moved(pixels: int) -> Change:
    return lambda x, rng: ndimage.shift(x, (0, *rng.choice([-pixels, pixels], 2)), order=0, mode="nearest")


def _turned(degrees: float) -> Change:
    return lambda x, rng: ndimage.rotate(
        x, rng.choice([-1, 1]) * degrees, axes=(1, 2), reshape=False, order=3, mode="nearest"
    )


SETTINGS = (
    "data.augment=none", "train.learning_rate=2e-3", "train.schedule=cosine", "train.ema_half_life=1000",
    "network.channels=32", "network.blocks=1", "validate.every_steps=500", "validate.cases=128", "validate.images=0",
    "checkpoint.keep_every_steps=500",
)  # fmt: skip
"""A small model that learns quickly, and is validated while it does."""

CHANGES: dict[str, Change] = {
    "exact": lambda x, _: x,
    "noise .02": lambda x, rng: x + rng.normal(0, 0.02, x.shape),
    "shift 1": _moved(1),
    "shift 2": _moved(2),
    "mirrored": lambda x, _: x[..., ::-1],
    "gain 1.1": lambda x, _: 1.1 * x,
    "window .1-.8": lambda x, _: (x - 0.1) / 0.7,
    "gamma .7": lambda x, _: x.clip(0, 1) ** 0.7,
    "gamma 1.4": lambda x, _: x.clip(0, 1) ** 1.4,
    "blur .7": lambda x, _: ndimage.gaussian_filter(x, (0, 0.7, 0.7)),
    "rotated 2": _turned(2),
    "rotated 4": _turned(4),
    "mirrored, shift 1, rotated 4, gain 1.1": lambda x, rng: 1.1 * _moved(1)(_turned(4)(x[..., ::-1], rng), rng),
}


def recall(folder: Path, *, count: int, device: str) -> dict[str, float]:
    """Share of changed training images that are flagged and whose nearest training image is the right one."""
    dataset = Dataset.open(folder)
    began = time.perf_counter()
    detector = CopyDetector.of(dataset, device=device)
    print(f"{folder}: {detector.why} ({time.perf_counter() - began:.1f} s)")
    rows = dataset.rows("train", at_most=count)
    images = (dataset.images(rows).numpy() + 1) / 2
    found = {}
    for name, change in CHANGES.items():
        rng = np.random.default_rng(0)
        changed = np.stack([change(image, rng).clip(0, 1) for image in images])
        pictures = (changed * 255).round().astype(np.uint8).transpose(0, 2, 3, 1)
        verdicts = detector.find_copies(pictures)
        right = np.mean([verdict.nearest == dataset.cases[row].id for verdict, row in zip(verdicts, rows, strict=True)])
        found[name] = float(np.mean([bool(verdict.copy) for verdict in verdicts]))
        lowest = np.quantile([verdict.score for verdict in verdicts], 0.03)
        print(f"  {name:40s} flagged {found[name]:.3f}  right case {right:.3f}  3 % quantile of scores {lowest:.4f}")
    return found


def shortlist(folder: Path, *, count: int, references: int) -> None:
    """What the shortlist loses against comparing every pair exactly, on held-out images."""
    dataset = Dataset.open(folder)
    train = dataset.images(dataset.rows("train", at_most=references))
    queries = dataset.images(evenly([*dataset.rows("validation"), *dataset.rows("test")], count))
    every = nearest(queries, train, shortlist=len(train))
    for few in (4, 8, 16, 32):
        found = nearest(queries, train, shortlist=few)
        other = np.mean(found.nearest != every.nearest)
        score, lead = np.abs(every.score - found.score).max(), np.abs(every.lead - found.lead).max()
        print(f"  shortlist {few}: other case {other:.4f}, score off by {score:.5f}, lead off by {lead:.5f}")


def speed(*, count: int, side: int, device: str) -> dict[str, float]:
    """Seconds for `count` images against as many, and those that processors worked."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand((2 * count, 1, side, side), generator=generator) * 2 - 1
    began, worked = time.perf_counter(), time.process_time()
    nearest(images[:count], images[count:], device=device)
    return {"seconds": time.perf_counter() - began, "processor_seconds": time.process_time() - worked}


def learn(source: Path, out: Path, *, known: int, settings: Sequence[str], steps: int, draw: int) -> None:
    """Train on some training images of a data set of grey images, draw, audit; validation and test are held out."""
    dataset = Dataset.open(source)
    parts = {
        "train": dataset.rows("train", at_most=known),
        "val": dataset.rows("validation"),
        "test": dataset.rows("test"),
    }
    arrays = {f"{part}_images": to_uint8(dataset.images(rows)).squeeze(-1) for part, rows in parts.items()}
    arrays |= {f"{part}_labels": dataset.labels(rows).numpy()[:, None] for part, rows in parts.items()}
    out.mkdir(parents=True)
    np.savez(out / "source.npz", **arrays)
    size = "x".join(map(str, dataset.spec.size))
    words = [word for setting in (*SETTINGS, *settings) for word in ("--set", setting)]
    _sfumato("prepare", out / "source.npz", "--out", out / "dataset", "--size", size)
    began = time.perf_counter()
    _sfumato("train", "generate", out / "dataset", "--out", out / "run", "--steps", steps, "--batch", 16, *words)
    print(f"{known} images: {steps} steps in {(time.perf_counter() - began) / 60:.1f} minutes")
    for record in read_log(out / "run" / "log.jsonl"):
        if record["kind"] in ("validate", "warning"):
            print(
                "  ", {name: round(value, 4) if isinstance(value, float) else value for name, value in record.items()}
            )
    detector = CopyDetector.of(Dataset.open(out / "dataset"))
    for checkpoint in sorted((out / "run" / "checkpoints").glob("step-*")):
        images = _drawn(load_model(checkpoint), draw)
        found = audit(detector, images)
        print(f"  {checkpoint.name}: {found.copies} copies of {found.images}, of {found.sources} training images")
        print(*(f"    {sentence}" for sentence in found.reading), sep="\n")
        write_image(out / f"{checkpoint.name}.png", closest_pairs(detector, images, found))


def _sfumato(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "sfumato", *map(str, words)], check=True)


def _drawn(model: Model, count: int) -> np.ndarray:
    """Images of the classes in turn, DPM-Solver++ 2M, 18 calls, no guidance."""
    sampler, labels = model.sampler(sampler="dpmpp_2m", steps=18), model.spec.classes or (None,)
    wanted = [SampleRequest(k, labels[k % len(labels)], derive_seed("copies", k)) for k in range(count)]
    batches = [wanted[start : start + 32] for start in range(0, count, 32)]
    return np.concatenate([to_uint8(last(make_steps(model, sampler, batch)).x) for batch in batches])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("recall")
    one.add_argument("datasets", type=Path, nargs="+")
    one.add_argument("--count", type=int, default=500)
    two = verbs.add_parser("speed")
    two.add_argument("--count", type=int, default=5000)
    two.add_argument("--side", type=int, default=64)
    for verb in (one, two):
        verb.add_argument("--device", default="cpu")
    three = verbs.add_parser("model")
    three.add_argument("dataset", type=Path)
    three.add_argument("--out", type=Path, required=True)
    three.add_argument("--known", type=int, nargs="+", default=[20, 1000])
    three.add_argument("--set", action="append", default=[])
    three.add_argument("--steps", type=int, default=1500)
    three.add_argument("--draw", type=int, default=128)
    arguments = parser.parse_args()
    if arguments.verb == "model":
        for known in arguments.known:
            out = arguments.out / str(known)
            learn(
                arguments.dataset, out, known=known, settings=arguments.set, steps=arguments.steps, draw=arguments.draw
            )
        return
    if arguments.verb == "speed":
        print(json.dumps(speed(count=arguments.count, side=arguments.side, device=arguments.device)))
        return
    for folder in arguments.datasets:
        recall(folder, count=arguments.count, device=arguments.device)
        shortlist(folder, count=100, references=1000)


if __name__ == "__main__":
    main()
