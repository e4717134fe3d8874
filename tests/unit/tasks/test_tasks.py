"""Both jobs as the training loop sees them: loss terms per item, drawn from (seed, step, slot) alone."""

import numpy as np
import pytest
import torch
from torch import nn

from sfumato.builder.process import build_process
from sfumato.builder.sampling import build_sampler
from sfumato.data.augmentation.pipe import Pipe
from sfumato.data.augmentation.ranges import PRESETS, Preset, Ranges
from sfumato.data.dataset import Dataset
from sfumato.data.preparation.prepare import PreparationSettings, prepare_cases
from sfumato.data.source import find_cases
from sfumato.data.toys.toy import make_toy
from sfumato.diffusion.guidance import UNGUIDED
from sfumato.diffusion.loss import cross_entropy, probabilities, soft_dice
from sfumato.evenly import evenly
from sfumato.recipe import load_recipe
from sfumato.tasks.objective import Objective, Term
from sfumato.tasks.segment import Segment, signed_one_hot
from sfumato.tasks.synthesise import Synthesise
from sfumato.tasks.task import to_uint8
from sfumato.training.data_order import Batch


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("tasks")
    make_toy(folder / "toy", cases=20, size=24, classes=2, readers=3, seed=0)
    for _ in prepare_cases(find_cases(folder / "toy"), folder / "dataset", PreparationSettings(size=(16, 16))):
        pass
    return Dataset.open(folder / "dataset")


class Watcher(nn.Module):
    """Answers zeros and remembers what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[torch.Tensor, torch.Tensor, object]] = []

    def forward(self, x, level, condition):  # type: ignore[no-untyped-def]
        self.seen.append((x, level, condition))
        return torch.zeros_like(x)


def segment(dataset: Dataset, augment: Preset = "none") -> Segment:
    recipe = load_recipe("segment", settings=["process.critical_log_snr=-5"])
    process = build_process(recipe)
    sampler = build_sampler(recipe.sample, process, critical=-5.0)
    return Segment(
        dataset=dataset,
        process=process,
        sampler=sampler,
        rows=dataset.rows("test"),
        augment=PRESETS[augment],
        objective=Objective(process=2.0, terms=(Term("dice", 3.0, soft_dice, per_pixel=False),)),
        batch=8,
        seed=1,
    )


def synthesise(dataset: Dataset, drop_label: float = 0.5, augment: Ranges | Pipe = PRESETS["none"]) -> Synthesise:
    recipe = load_recipe("generate", settings=["process.sigma_data=0.5", "sample.steps=2"])
    process = build_process(recipe)
    return Synthesise(
        dataset=dataset,
        process=process,
        sampler=build_sampler(recipe.sample, process, critical=None),
        guidance=UNGUIDED,
        rows=dataset.rows("test"),
        train_rows=dataset.rows("train")[:3],
        augment=augment,
        drop_label=drop_label,
        batch=8,
        seed=1,
    )


def batch(dataset: Dataset, slots: range = range(8), step: int = 3) -> Batch:
    return Batch(step=step, slots=tuple(slots), rows=tuple(dataset.rows("train")[slot] for slot in slots))


def test_the_terms_of_segment_are_those_of_an_undecided_answer(dataset: Dataset) -> None:
    """Zeros are probability 1/2 everywhere: cross-entropy ln 2, and the soft Dice of one half with a reader's mask."""
    task, network = segment(dataset), Watcher()
    drawn = batch(dataset)
    terms = task.loss(network, drawn)
    assert torch.allclose(terms["process"], torch.full((8,), np.log(2), dtype=torch.float32))
    undecided = torch.zeros(8, 2, 16, 16)
    each_reader = [soft_dice(undecided, signed_one_hot(dataset.masks(drawn.rows, [r] * 8), 2)) for r in range(3)]
    distance = torch.stack([(terms["dice"] - dice).abs() for dice in each_reader])
    assert (distance.min(0).values < 1e-6).all(), "the Dice of some reader's mask"
    assert len(set(distance.argmin(0).tolist())) > 1, "not always the same reader"
    assert torch.allclose(terms["loss"], 2 * terms["process"] + 3 * terms["dice"])
    ((x, level, condition),) = network.seen
    assert x.shape == (8, 2, 16, 16) and torch.allclose(condition.image, dataset.images(drawn.rows))
    assert len(level.unique()) == 8


@pytest.mark.parametrize("job", ["segment", "synthesise"])
def test_an_item_depends_on_its_slot_alone(dataset: Dataset, job: str) -> None:
    task = segment(dataset, "heavy") if job == "segment" else synthesise(dataset)
    whole = task.loss(Watcher(), batch(dataset))["loss"]
    parts = torch.cat([task.loss(Watcher(), batch(dataset, slots))["loss"] for slots in (range(3), range(3, 8))])
    assert torch.allclose(whole, parts, atol=1e-6)
    assert not torch.allclose(whole, task.loss(Watcher(), batch(dataset, step=4))["loss"])


def test_labels_are_dropped_as_often_as_asked(dataset: Dataset) -> None:
    for share in (0.0, 0.5, 1.0):
        task, network = synthesise(dataset, share), Watcher()
        for step in range(40):
            task.loss(network, batch(dataset, step=step))
        labels = torch.cat([condition.label for _, _, condition in network.seen])  # type: ignore[attr-defined]
        assert float((labels == 2).float().mean()) == pytest.approx(share, abs=0.12)
        kept = labels[labels < 2]
        assert len(kept) == 0 or set(kept.tolist()) == {0, 1}


def test_validation_is_the_same_each_time_and_tells_the_gap(dataset: Dataset) -> None:
    task = synthesise(dataset)
    scores = task.validate(Watcher())
    assert scores == task.validate(Watcher())
    assert scores["gap"] == pytest.approx(scores["loss_held_out"] - scores["loss_train"])
    assert scores["score"] == -scores["loss_held_out"]


def test_validation_of_masks_counts_dice(dataset: Dataset) -> None:
    class Oracle(nn.Module):
        def forward(self, x, level, condition):  # type: ignore[no-untyped-def]
            rows = [
                int((dataset.images(range(len(dataset))) - image).abs().flatten(1).sum(1).argmin())
                for image in condition.image
            ]
            return 50 * signed_one_hot(dataset.masks(rows), 2)

    task = segment(dataset)
    assert task.validate(Oracle())["dice"] == 1.0
    assert task.validate(Watcher())["dice"] < 0.2, "undecided is background"
    shown = task.preview(Oracle())
    assert all(np.array_equal(case.mask, case.reference) for case in shown)


def test_small_things() -> None:
    assert evenly(range(10), 3) == [0, 3, 6] and evenly([1, 2], 3) == [1, 2]
    assert to_uint8(torch.tensor([[[[-1.5, -1, 0, 1, 2.0]]]])).ravel().tolist() == [0, 0, 128, 255, 255]
    assert probabilities(torch.tensor([[[-1.2, -1.0, 0.0, 1.0]]])).flatten().tolist() == [0, 0, 0.5, 1]
    masks = torch.tensor([[[0, 2], [1, 0]]])
    hot = signed_one_hot(masks, 3)
    assert torch.equal(signed_one_hot(masks.byte(), 3), hot)
    assert torch.equal(hot.argmax(1), masks) and set(hot.unique().tolist()) == {-1, 1}
    assert float(cross_entropy(100 * hot, hot)) == pytest.approx(0, abs=1e-6)
