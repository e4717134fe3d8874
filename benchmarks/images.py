"""Few calls on images: how near samples lie to held-out real images, by network calls, for trained models.

KID (unbiased) in two spaces: principal components of pixels, and features of a classifier trained on the real training
images. Labels are drawn in the proportions of the real classes; every arm and every number of calls draws the same
seeds. Beside each number stands what as many real training images get, the floor.

    python benchmarks/images.py DATASET --arm ddpm=RUN:ancestral:uniform --arm edm-2m=RUN:dpmpp_2m:log_snr --out F.json
"""

import argparse
import json
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from sfumato.data.augmentation.ranges import PRESETS
from sfumato.data.dataset import Dataset
from sfumato.diffusion.sampler.catalogue import SAMPLERS
from sfumato.experiment.inference import SampleRequest, make_steps
from sfumato.experiment.run import Model, load_model
from sfumato.metrics.fidelity import PixelSpace, kid
from sfumato.randomness import derive_seed
from sfumato.tasks.classify import OwnSpace, fit_classifier
from sfumato.tasks.task import Sampler
from sfumato.typing import Data


class Arm(NamedTuple):
    """A model and how it is sampled."""

    name: str
    model: Model
    sampler: str
    grid: str

    @classmethod
    def parse(cls, text: str) -> "Arm":
        """NAME=RUN:SAMPLER:GRID."""
        name, _, rest = text.partition("=")
        run, sampler, grid = rest.rsplit(":", 2)
        return cls(name, load_model(run), sampler, grid)

    def steps(self, calls: int) -> int:
        """The most steps that need no more than so many calls."""
        return max(steps for steps in range(1, calls + 1) if SAMPLERS[self.sampler].calls(steps) <= calls)


class Spaces:
    """Both spaces, made from real training images, and the held-out real images in them."""

    def __init__(self, dataset: Dataset, *, seed: int) -> None:
        train = dataset.images(dataset.rows("train"))
        self.pixel = PixelSpace.of(train.numpy())
        self.own = OwnSpace(fit_classifier(dataset, augment=PRESETS["light"], steps=600, seed=seed), train)
        self.held_out = self.features(dataset.images([*dataset.rows("validation"), *dataset.rows("test")]))

    def features(self, images: Data) -> dict[str, np.ndarray]:
        """Features in both spaces."""
        return {"pixel": self.pixel.features(images.numpy()), "own": self.own.features(images)}

    def distances(self, images: Data) -> dict[str, float]:
        """KID to the held-out images."""
        return {space: kid(drawn, self.held_out[space]) for space, drawn in self.features(images).items()}


def draw_labels(dataset: Dataset, count: int) -> tuple[list[int], list[str]]:
    """Training rows drawn at random, and their classes."""
    train = dataset.rows("train")
    chosen = [train[derive_seed("real", k) % len(train)] for k in range(count)]
    return chosen, [dataset.spec.classes[k] for k in dataset.labels(chosen).tolist()]


def generate(model: Model, sampler: Sampler, labels: list[str], *, batch: int) -> Data:
    """Images of these classes."""
    wanted = [SampleRequest(k, label, derive_seed("benchmark", k)) for k, label in enumerate(labels)]
    drawn = []
    for start in range(0, len(wanted), batch):
        *_, last = make_steps(model, sampler, wanted[start : start + batch])
        drawn.append(last.x.clamp(-1, 1))
    return torch.cat(drawn).float()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--arm", type=Arm.parse, action="append", required=True)
    parser.add_argument("--calls", default="5,10,18,25,50")
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    dataset = Dataset.open(arguments.dataset)
    spaces = Spaces(dataset, seed=0)
    chosen, labels = draw_labels(dataset, arguments.count)
    rows = [{"arm": "real training images", "calls": 0, "seconds": 0.0, **spaces.distances(dataset.images(chosen))}]
    for arm in arguments.arm:
        for calls in map(int, arguments.calls.split(",")):
            sampler = arm.model.sampler(sampler=arm.sampler, steps=arm.steps(calls), grid=arm.grid)
            began = time.perf_counter()
            images = generate(arm.model, sampler, labels, batch=arguments.batch)
            seconds = (time.perf_counter() - began) / len(labels)
            rows.append({"arm": arm.name, "calls": calls, "seconds": seconds, **spaces.distances(images)})
            print({k: round(v, 5) if isinstance(v, float) else v for k, v in rows[-1].items()}, flush=True)
            arguments.out.write_text(json.dumps({"count": arguments.count, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
