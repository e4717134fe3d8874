"""The whole training step, from the file to the log, beside those of diffusers and lucidrains.

All train unconditionally on the same PNG files of 64 x 64 pixels, with left-right flips, an average of the weights
after every step (lucidrains: every tenth, as it ships) and clipped gradients. diffusers is its example of unconditional
training: DataLoader, UNet2DModel, DDPMScheduler, AdamW, EMAModel. lucidrains is the Trainer of
denoising-diffusion-pytorch as published on PyPI. The networks have about equal FLOPs; rates are also given per FLOP.

They take turns, a few steps each, so that a busy machine slows all; medians of images/s are compared. Where torchvision
cannot be imported, five of its transforms, all that the Trainer uses, are replaced by the same done with Pillow.

    python benchmarks/training.py --out benchmarks/training.json
    python benchmarks/training.py --peers diffusers        # without the other packages
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from functools import reduce
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from sfumato.builder.network import build_network
from sfumato.builder.process import build_process
from sfumato.builder.task import build_task
from sfumato.commands.prepare import prepare
from sfumato.commands.toy import toy
from sfumato.data.dataset import Dataset
from sfumato.diffusion.process import Condition
from sfumato.experiment.plan import plan_training
from sfumato.recipe import load_recipe
from sfumato.tasks.task import Task
from sfumato.training.data_order import Batch, DataOrder
from sfumato.training.ema import EMA
from sfumato.training.log import Log
from sfumato.training.loop import Progress, StoppingCriterion, TrainingSettings, training_loop
from sfumato.training.optimizer import make_optimizer
from sfumato.training.parts import TrainingState
from sfumato.training.precision import Precision, autocast

SIZE, BATCH, IMAGES = 64, 16, 400
WIDTHS = (32, 64, 64, 128)
LUCIDRAINS = 28
"""Its width at full resolution that comes nearest to the FLOPs of the others."""


class Subject(NamedTuple):
    """Something that trains: `advance(n)` makes n steps."""

    name: str
    gflops: float
    advance: Callable[[int], None]


def count(network: nn.Module, *arguments: Any) -> float:
    """GFLOP of one forward pass of one image."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(*arguments)
    network.train()
    return counter.get_total_flops() / 1e9


class Ours(NamedTuple):
    """Our training, in steps."""

    parts: TrainingState
    task: Task
    data_order: DataOrder
    steps: Iterator[Progress]
    log: Log

    @classmethod
    def of(cls, folder: Path, dataset: Path, *, precision: Precision) -> "Ours":
        """The default recipe of `train generate` but for the widths, the flips and the data's size."""
        settings = [
            f"network={{kind: unet, channels: {WIDTHS[0]}, multipliers: [1, 2, 2, 4], blocks: 2, attention: [8]}}",
            "data.augment={base: none, mirror: 0.5}", f"train.batch={BATCH}", "train.steps=1000000",
        ]  # fmt: skip
        opened = Dataset.open(dataset)
        recipe, _ = plan_training(load_recipe("generate", settings=settings), opened, device="cpu")
        network = build_network(recipe, opened.spec)
        optimizer = make_optimizer(network, learning_rate=1e-4)
        parts = TrainingState(
            network=network, ema=EMA(network, half_life=recipe.train.ema_half_life), optimizer=optimizer
        )
        task = build_task(recipe, opened, build_process(recipe), device="cpu")
        data_order = DataOrder(rows=tuple(range(len(opened))), batch=BATCH, seed=0)
        settings = TrainingSettings(learning_rate=1e-4, warmup_steps=500, precision=precision)
        steps = training_loop(parts, task.loss, data_order, until=StoppingCriterion(steps=1_000_000), settings=settings)
        return cls(parts, task, data_order, steps, Log(folder / "log.jsonl"))

    def advance(self, steps: int) -> None:
        """Some steps, each with its line in the log."""
        for _ in range(steps):
            progress = next(self.steps)
            self.log.write({"kind": "train", "step": progress.step, "seconds": progress.seconds, **progress.terms})

    def overhead(self, repetitions: int = 30) -> dict[str, float]:
        """Seconds of a step that are not its network or its optimiser."""
        network, batch = self.parts.network, self.data_order.batch_at(10**6)[0]
        terms = {"loss": 0.1, "process": 0.1}
        return {
            "loader and augmentation": timed(lambda: self._load(batch), repetitions),
            "average": timed(lambda: self.parts.ema.update(network, images=10**6, batch=BATCH), repetitions),
            "log": timed(
                lambda: self.log.write({"kind": "train", "step": 10**6, "seconds": 1.0, **terms}), repetitions
            ),
        }

    def _load(self, batch: Batch) -> None:
        """What `Synthesise.loss` does before it corrupts."""
        from sfumato.tasks.task import batch_noise

        task: Any = self.task
        task._varied(task.dataset.images(batch.rows, "cpu"), batch_noise(0, batch, "cpu"))


def timed(work: Callable[[], object], repetitions: int) -> float:
    """Median seconds of a piece of work."""
    times = []
    for _ in range(repetitions):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


class Pictures(Dataset[torch.Tensor]):
    """PNG files, decoded at each epoch, flipped, in [-1, 1]."""

    def __init__(self, folder: Path) -> None:
        self.files = sorted(folder.glob("*.png"))

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> torch.Tensor:
        image = Image.open(self.files[index]).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float() / 127.5 - 1
        return pixels.flip(2) if torch.rand(()) < 0.5 else pixels


def diffusers_training(images: Path, *, precision: Precision) -> Subject:
    """The loop of diffusers' example of unconditional training, without its launcher and its hub."""
    from diffusers import DDPMScheduler, UNet2DModel
    from diffusers.optimization import get_scheduler
    from diffusers.training_utils import EMAModel

    network = UNet2DModel(
        sample_size=SIZE, in_channels=3, out_channels=3, layers_per_block=2, block_out_channels=WIDTHS,
        attention_head_dim=64,
        down_block_types=("DownBlock2D", "DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    gflops = count(network, torch.zeros(1, 3, SIZE, SIZE), torch.zeros(1))
    average = EMAModel(network.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75)
    table = DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear")
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6, eps=1e-8)
    rate = get_scheduler("cosine", optimizer=optimizer, num_warmup_steps=500, num_training_steps=1_000_000)

    def steps() -> Iterator[float]:
        while True:
            for clean in DataLoader(Pictures(images), batch_size=BATCH, shuffle=True, drop_last=True):
                noise = torch.randn_like(clean)
                timesteps = torch.randint(0, table.config.num_train_timesteps, (len(clean),))
                with autocast(precision, torch.device("cpu")):
                    output = network(table.add_noise(clean, noise, timesteps), timesteps).sample
                loss = nn.functional.mse_loss(output.float(), noise)
                loss.backward()
                nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
                rate.step()
                optimizer.zero_grad()
                average.step(network.parameters())
                yield loss.item()

    running = steps()
    return Subject("diffusers", gflops, lambda number: [next(running) for _ in range(number)] and None)


def lucidrains_training(images: Path, folder: Path) -> Subject:
    """The Trainer of denoising-diffusion-pytorch, with its defaults but for FID and sampling."""
    if not importable("torchvision.transforms"):
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        sys.modules["torchvision"], sys.modules["torchvision.transforms"] = transforms()
    from denoising_diffusion_pytorch import GaussianDiffusion, Trainer, Unet

    network = Unet(dim=LUCIDRAINS, dim_mults=(1, 2, 4, 8), flash_attn=True)
    gflops = count(network, torch.zeros(1, 3, SIZE, SIZE), torch.zeros(1))
    trainer = Trainer(
        GaussianDiffusion(network, image_size=SIZE, timesteps=1000), str(images), train_batch_size=BATCH, train_lr=1e-4,
        train_num_steps=0, calculate_fid=False, results_folder=str(folder), save_and_sample_every=10**9,
    )  # fmt: skip

    def advance(number: int) -> None:
        trainer.train_num_steps = trainer.step + number
        with redirect_stderr(StringIO()):
            trainer.train()

    return Subject("lucidrains", gflops, advance)


def importable(module: str) -> bool:
    """Whether a module can be imported here."""
    try:
        __import__(module)
    except Exception:  # torchvision fails in many ways beside a torch of another build
        return False
    return True


def transforms() -> tuple[ModuleType, ModuleType]:
    """torchvision and torchvision.transforms with what the Trainer uses."""

    def compose(parts: list[Callable[..., Any]]) -> Callable[[Any], Any]:
        return lambda x: reduce(lambda value, part: part(value), parts, x)

    def resize(size: tuple[int, int]) -> Callable[[Image.Image], Image.Image]:
        return lambda x: x.resize(size, Image.Resampling.BILINEAR)

    def center_crop(size: tuple[int, int]) -> Callable[[Image.Image], Image.Image]:
        return lambda x: ImageOps.fit(x, size)

    def flip() -> Callable[[Image.Image], Image.Image]:
        return lambda x: ImageOps.mirror(x) if torch.rand(()) < 0.5 else x

    def to_tensor() -> Callable[[Image.Image], torch.Tensor]:
        return lambda x: torch.from_numpy(np.asarray(x).copy()).permute(2, 0, 1).float().div(255)

    package, module = ModuleType("torchvision"), ModuleType("torchvision.transforms")
    made = {"Compose": compose, "Lambda": lambda function: function, "Resize": resize, "CenterCrop": center_crop}
    for name, function in {**made, "RandomHorizontalFlip": flip, "ToTensor": to_tensor}.items():
        setattr(module, name, function)
    package.transforms, package.utils = module, ModuleType("torchvision.utils")  # type: ignore[attr-defined]
    return package, module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default="diffusers,lucidrains")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="of sfumato and diffusers")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=8, help="of each turn")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        toy(folder / "toy", cases=IMAGES, size=SIZE, classes=1)
        images = folder / "toy" / "images"
        prepare(images, out=folder / "dataset")
        ours = Ours.of(folder, folder / "dataset", precision=options.precision)
        level = torch.zeros(1)
        gflops = count(ours.parts.network, torch.zeros(1, 3, SIZE, SIZE), level, Condition())
        subjects = [Subject("sfumato", gflops, ours.advance)]
        if "diffusers" in options.peers:
            subjects.append(diffusers_training(images, precision=options.precision))
        if "lucidrains" in options.peers:
            subjects.append(lucidrains_training(images, folder / "lucidrains"))
        rates: dict[str, list[float]] = {subject.name: [] for subject in subjects}
        for turn in range(options.turns + 1):
            for subject in subjects:
                began = time.perf_counter()
                subject.advance(options.steps)
                if turn > 0:  # the first warms up
                    rates[subject.name].append(options.steps * BATCH / (time.perf_counter() - began))
        step = BATCH / statistics.median(rates["sfumato"])
        shares = {part: seconds / step for part, seconds in ours.overhead().items()}
    rows = [
        {
            "name": s.name,
            "gflops": s.gflops,
            "images_per_second": statistics.median(rates[s.name]),
            "all": rates[s.name],
        }
        for s in subjects
    ]
    print("| trainer | GFLOP per image | images/s | sfumato is faster by | per FLOP |\n| --- | --- | --- | --- | --- |")
    for row in rows:
        ratio = rows[0]["images_per_second"] / row["images_per_second"]
        print(
            f"| {row['name']} | {row['gflops']:.2f} | {row['images_per_second']:.1f} | {ratio:.2f} | "
            f"{ratio * rows[0]['gflops'] / row['gflops']:.2f} |"
        )
    print({part: f"{share:.2%} of the step" for part, share in shares.items()})
    if options.out:
        options.out.write_text(
            json.dumps(
                {"threads": options.threads, "precision": options.precision, "rows": rows, "shares": shares}, indent=2
            )
            + "\n"
        )


if __name__ == "__main__":
    main()
