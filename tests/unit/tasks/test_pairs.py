"""Pairs of image and mask: which channels are what, and what the network is shown of them while it learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from sfumato.builder.network import build_call, build_network
from sfumato.builder.process import build_process
from sfumato.builder.sampling import build_run_sampler
from sfumato.builder.task import build_task
from sfumato.data.augmentation.pipe import Pipe
from sfumato.data.augmentation.ranges import Ranges
from sfumato.data.dataset import Dataset
from sfumato.data.preparation.prepare import PreparationSettings, prepare_cases
from sfumato.data.source import find_cases
from sfumato.data.toys.toy import make_toy
from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.guidance import UNGUIDED
from sfumato.errors import UsageError
from sfumato.experiment.plan import plan_training
from sfumato.networks.measure import count_flops
from sfumato.recipe import Pairs, load_recipe
from sfumato.tasks.image_distance import ImageDistance
from sfumato.tasks.pairs import Layout
from sfumato.tasks.segment import signed_one_hot
from sfumato.tasks.synthesise import Synthesise
from sfumato.training.data_order import Batch

TINY = ["network={kind: unet, channels: 8, multipliers: [1, 2], blocks: 1, attention: []}", "sample.steps=2"]
TURNED = Pipe(probability=1.0, mirror=1.0, upend=1.0, turn=1.0, scale=0.0, angle=0.0, stretch=0.0, shift=0.0)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("toy")
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


PROCESS = build_process(load_recipe("generate", settings=["process.sigma_data=0.5"]))


class Bare(Gaussian):
    """A process that leaves data as they are, so that what the network sees is x0."""

    def corrupt(self, x0, t, noise):
        return x0

    def network_input(self, x_t, t):
        return x_t, t


def task(dataset: Dataset, pairs: Pairs, **changes) -> Synthesise:
    recipe = load_recipe("generate", settings=["process.sigma_data=0.5", "sample.steps=2", f"data.pairs={pairs}"])
    given = {"augment": Ranges(), "drop_label": 0.5, "guidance": UNGUIDED, **changes}
    return Synthesise(
        dataset=dataset,
        process=Bare(**vars(PROCESS)),
        sampler=build_run_sampler(recipe, recipe.sample, dataset.spec, PROCESS),
        rows=dataset.rows("test"),
        train_rows=dataset.rows("train")[:3],
        batch=8,
        seed=1,
        pairs=pairs,
        **given,
    )


def batch(dataset: Dataset, step: int = 3) -> Batch:
    return Batch(step=step, slots=tuple(range(8)), rows=tuple(dataset.rows("train")[:8]))


def seen(job: Synthesise, steps: int = 1) -> list[tuple[torch.Tensor, object]]:
    network = Watcher()
    for step in range(steps):
        job.loss(network, batch(job.dataset, step))
    return [(x, condition) for x, _, condition in network.seen]


@pytest.mark.parametrize(("pairs", "state", "beside"), [("joint", 5, 0), ("image_from_mask", 3, 2), ("mask", 2, 0)])
def test_channels_of_network_call_and_state_agree(dataset: Dataset, pairs: Pairs, state: int, beside: int) -> None:
    layout = Layout.of(pairs, dataset.spec)
    assert (layout.state, layout.beside) == (state, beside)
    recipe, choices = plan_training(
        load_recipe("generate", settings=[*TINY, f"data.pairs={pairs}"]), dataset, device="cpu"
    )
    assert build_call(recipe, dataset.spec)[:2] == (state, beside)
    network = build_network(recipe, dataset.spec)
    assert count_flops(network, build_call(recipe, dataset.spec)) > 0
    told = {choice.choice: choice for choice in choices}["process.sigma_data"]
    assert layout.contents in told.reason and (told.value == 1.0) == (pairs == "mask")
    job = build_task(recipe, dataset, build_process(recipe), device="cpu")
    assert torch.isfinite(job.loss(network, batch(dataset))["loss"]).all()
    scores = job.validate(network.eval())
    assert ("kid" in scores) == (pairs != "mask") and scores == job.validate(network)


def test_parts_are_what_the_state_was_made_of(dataset: Dataset) -> None:
    images, masks = dataset.images(range(4)), dataset.masks(range(4))
    for pairs in ("joint", "mask", "image_from_mask", "none"):
        layout = Layout.of(pairs, dataset.spec)
        parted = layout.parted(layout.states(images, masks))
        if pairs == "mask":
            assert parted.images is None
        else:
            assert torch.equal(parted.images, images)
        assert (parted.masks is not None) == (pairs in ("joint", "mask"))
        if parted.masks is not None:
            assert torch.equal(parted.masks, masks.long())
    three = Layout("joint", 1, 3)
    x0 = torch.tensor([0.3, -0.9, -0.2, -0.4]).view(1, 4, 1, 1)
    assert three.parted(x0).masks.item() == 1, "the largest of the channels behind the image"


def test_a_joint_state_is_the_image_and_the_mask_of_some_reader(dataset: Dataset) -> None:
    states = [x for x, _ in seen(task(dataset, "joint"), steps=4)]
    rows, chosen = batch(dataset).rows, []
    for x in states:
        assert torch.equal(x[:, :3], dataset.images(rows))
        hot = torch.stack([signed_one_hot(dataset.masks(rows, [reader] * 8), 2) for reader in range(3)])
        fits = (x[None, :, 3:] == hot).flatten(2).all(2)
        assert fits.any(0).all(), "each item has the mask of a reader"
        chosen += fits.float().argmax(0).tolist()
    assert len(set(chosen)) > 1, "not always the same reader"


def test_masks_beside_images_are_dropped_with_the_label(dataset: Dataset) -> None:
    for x, condition in seen(task(dataset, "image_from_mask"), steps=5):
        assert x.shape[1] == 3
        dropped = (condition.image == 0).flatten(1).all(1)
        assert torch.equal(dropped, condition.label == 2)
        assert set(condition.image[~dropped].unique().tolist()) == {-1.0, 1.0}
    shares = {share: seen(task(dataset, "image_from_mask", drop_label=share)) for share in (0.0, 1.0)}
    assert (shares[0.0][0][1].image != 0).all() and (shares[1.0][0][1].image == 0).all()


@pytest.mark.parametrize("how", [TURNED, Ranges(mirror=0.5, upend=0.5, angle=90, shift=0.1)], ids=["pipe", "ranges"])
def test_images_and_masks_move_together(dataset: Dataset, how: Pipe | Ranges) -> None:
    """On images that are their masks: what is moved is still one and the same, up to the borders."""
    spec, drawn = replace(dataset.spec, readers=1), dataset._masks[:, :1]
    same = Dataset(spec, dataset.cases, dataset._sizes, np.moveaxis(drawn.repeat(3, 1), 1, -1) * np.uint8(255), drawn)
    for x, _ in seen(task(same, "joint", augment=how), steps=3):
        image, mask = x[:, 0] > 0, x[:, 3:].argmax(1) == 1
        still = signed_one_hot(dataset.masks(batch(dataset).rows), 2)
        assert not torch.equal(x[:, 3:], still), "something was done"
        assert set(x[:, 3:].unique().tolist()) == {-1.0, 1.0}
        differing = (image != mask).float().mean()
        assert differing < (0.03 if isinstance(how, Ranges) else 1e-6)


def test_previews_show_masks(dataset: Dataset) -> None:
    job = replace(task(dataset, "image_from_mask"), process=PROCESS)
    shown = job.preview(Watcher())
    assert np.array_equal(shown[0].mask, dataset.masks(job.rows[:1])[0].numpy()) and shown[0].image.shape == (16, 16, 3)
    shown = replace(task(dataset, "joint"), process=PROCESS).preview(Watcher())
    assert shown[0].mask.shape == (16, 16) and shown[0].image.shape == (16, 16, 3)
    shown = replace(task(dataset, "mask"), process=PROCESS).preview(Watcher())
    assert shown[0].mask is None and set(np.unique(shown[0].image)) <= {0, 255}


def test_the_judge_sees_images_alone(dataset: Dataset) -> None:
    class Sees(ImageDistance):
        def distance(self, images) -> float:  # type: ignore[no-untyped-def]
            assert images.shape == (4, 3, 16, 16)
            return 0.0

    job = replace(
        task(dataset, "joint"),
        process=PROCESS,
        image_distance=Sees(dataset, dataset.rows("test"), dataset.rows("train"), 4),
    )
    assert job.validate(Watcher())["kid"] == 0.0


def test_masks_with_holes_are_refused(dataset: Dataset) -> None:
    recipe, _ = plan_training(load_recipe("generate", settings=[*TINY, "data.pairs=joint"]), dataset, device="cpu")
    other = Dataset(replace(dataset.spec, ignore=True), dataset.cases, dataset._sizes, dataset._images, dataset._masks)
    with pytest.raises(UsageError, match="say nothing"):
        build_task(recipe, other, build_process(recipe), device="cpu")


@pytest.mark.parametrize(
    ("task_", "words", "match"),
    [
        ("segment", ["data.pairs=joint"], "is for generate"),
        ("generate", ["data.pairs=joint", "process={kind: sdd}"], "Gaussian"),
        ("generate", ["data.pairs=joint", "process.prediction=logits"], "classes of masks"),
        ("generate", ["data.pairs=mask", "validate.metric=kid"], "makes none"),
        ("generate", ["data.pairs=image_from_mask", "track={tensorboard: true, pictures: true}"], "patients"),
        ("generate", ["data.pairs=both"], "pairs"),
    ],
)
def test_what_makes_no_sense_is_refused(task_: str, words: list[str], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        load_recipe(task_, settings=words)  # type: ignore[arg-type]


def test_guidance_drops_the_mask(dataset: Dataset) -> None:
    """Away from the image without class and mask: the weak branch is shown zeros."""
    job = replace(task(dataset, "image_from_mask"), process=PROCESS, guidance=replace(UNGUIDED, scale=2.0))
    network = Watcher()
    job.preview(network)
    (_, _, strong), (_, _, weak) = network.seen[:2]  # a batch of both branches, in pieces of eight
    assert (strong.image.abs() == 1).all() and (weak.image == 0).all()
    assert (strong.label < 2).all() and (weak.label == 2).all()
