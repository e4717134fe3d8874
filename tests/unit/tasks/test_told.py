"""A generator is told what was done to its images, and nothing when it is validated or draws."""

import numpy as np
import torch
from torch import nn

from sfumato.builder.process import build_process
from sfumato.builder.sampling import build_sampler
from sfumato.data.augmentation.pipe import Pipe
from sfumato.data.augmentation.ranges import PRESETS, Ranges
from sfumato.data.dataset import Dataset, OriginalSize
from sfumato.data.manifest import Case
from sfumato.data.spec import Intensity, Spec
from sfumato.diffusion.guidance import UNGUIDED
from sfumato.diffusion.process import Condition
from sfumato.recipe import load_recipe
from sfumato.tasks.synthesise import Synthesise
from sfumato.training.data_order import Batch

CASES = 12
BATCH = Batch(step=0, slots=tuple(range(CASES)), rows=tuple(range(CASES)))


class Watcher(nn.Module):
    """Answers zeros and remembers what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[torch.Tensor | None] = []

    def forward(self, x: torch.Tensor, level: torch.Tensor, condition: Condition) -> torch.Tensor:
        self.told.append(condition.augment)
        return torch.zeros_like(x)


def task(augment: Ranges | Pipe) -> Synthesise:
    spec = Spec(size=(16, 24), channels=1, dtype="uint8", intensity=Intensity("unit", 0, 255, ""), readers=0)
    images = np.random.default_rng(1).integers(0, 255, (CASES, 16, 24, 1)).astype(np.uint8)
    cases = [Case(id=str(row), image=f"{row}.png", split="train") for row in range(CASES)]
    recipe = load_recipe("generate", settings=["process.sigma_data=0.5", "sample.steps=2"])
    process = build_process(recipe)
    return Synthesise(
        dataset=Dataset(spec, cases, [OriginalSize((16, 24))] * CASES, images, None),
        process=process,
        guidance=UNGUIDED,
        sampler=build_sampler(recipe.sample, process, critical=None),
        rows=range(2),
        train_rows=range(2, 4),
        augment=augment,
        drop_label=0.0,
        batch=CASES,
        seed=0,
    )


def test_what_is_done_in_training_is_told() -> None:
    network = Watcher()
    job = task(Pipe(probability=0.3))
    whole = job.loss(network, BATCH)["loss"]
    (told,) = network.told
    assert told is not None and told.shape == (CASES, 9)
    changed = (told != 0).any(1)
    assert changed.any() and not changed.all()
    plain = task(Pipe(probability=0.0)).loss(Watcher(), BATCH)["loss"]
    assert torch.equal(whole == plain, ~changed), "the images differ where something was told"


def test_an_item_depends_on_its_slot_alone() -> None:
    job = task(Pipe(probability=0.5))
    whole = job.loss(Watcher(), BATCH)["loss"]
    half = Batch(step=0, slots=BATCH.slots[5:], rows=BATCH.rows[5:])
    assert torch.allclose(job.loss(Watcher(), half)["loss"], whole[5:], atol=1e-5)


def test_nothing_is_told_when_validating_and_drawing_or_without_a_pipe() -> None:
    network = Watcher()
    job = task(Pipe(probability=1.0))
    job.validate(network)
    job.preview(network)
    task(PRESETS["heavy"]).loss(network, BATCH)
    assert len(network.told) > 3 and all(told is None for told in network.told)
