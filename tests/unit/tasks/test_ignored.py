"""Pixels that a mask says nothing about: no cost, no gradient, no score."""

import numpy as np
import pytest
import torch
from torch import nn

from sfumato.builder.objective import build_objective
from sfumato.builder.process import build_process
from sfumato.builder.sampling import build_sampler
from sfumato.data.augmentation.ranges import PRESETS
from sfumato.data.dataset import Dataset, OriginalSize
from sfumato.data.manifest import Case
from sfumato.data.mask import IGNORED
from sfumato.data.spec import Intensity, Spec
from sfumato.diffusion.family.dirichlet import Dirichlet
from sfumato.diffusion.family.low_rank import LowRankLogits
from sfumato.diffusion.loss import focal, soft_dice
from sfumato.diffusion.process import Condition
from sfumato.networks.discriminator import Discriminator
from sfumato.randomness import Noise
from sfumato.recipe import load_recipe
from sfumato.tasks.objective import Objective, Term
from sfumato.tasks.segment import Segment, signed_one_hot, undecided
from sfumato.training.data_order import Batch

SIZE, CASES, CLASSES = 8, 4, 3
PREDICTIONS = {
    "logits": ["process.critical_log_snr=-5"],
    "v": ["process={kind: gaussian, prediction: v, critical_log_snr: -5}"],
    "F": ["process={kind: edm, prediction: F, sigma_data: 1.0}"],
    "twin": ["process={kind: none, prediction: logits}"],
    "sdd": ["process={kind: sdd, classes: 3}", "data.size=[8, 8]"],
    "sdd-klub": ["process={kind: sdd, classes: 3, loss: klub}", "data.size=[8, 8]"],
    "sdd-log-odds": ["process={kind: sdd, classes: 3, skip: log_odds}", "data.size=[8, 8]"],
}
WHOLE_READINGS = {"ssn": ["process={kind: ssn, classes: 3, rank: 2, pairs: 2}"]}
"""Their pixels are no more likely one by one: what is ignored weighs the draws of the others otherwise."""


PLAIN = Objective(terms=(Term("dice", 1.0, soft_dice, per_pixel=False),))


def masks(ignored: int) -> np.ndarray:
    """Random classes; the first rows of each mask are ignored, of the last one all."""
    drawn = np.random.default_rng(0).integers(0, CLASSES, (CASES, 1, SIZE, SIZE)).astype(np.uint8)
    drawn[:, :, :ignored] = IGNORED
    drawn[-1] = IGNORED if ignored else drawn[-1]
    return drawn


def task(
    stored: np.ndarray, prediction: str = "logits", *, ignore: bool = True, objective: Objective = PLAIN
) -> Segment:
    spec = Spec(
        size=(SIZE, SIZE),
        channels=1,
        dtype="uint8",
        intensity=Intensity("unit", 0, 255, ""),
        mask_classes=("background", "a", "b"),
        readers=1,
        ignore=ignore,
    )
    images = np.random.default_rng(1).integers(0, 255, (CASES, SIZE, SIZE, 1)).astype(np.uint8)
    cases = [Case(id=str(row), image=f"{row}.png", split="train") for row in range(CASES)]
    dataset = Dataset(spec, cases, [OriginalSize((SIZE, SIZE))] * CASES, images, stored)
    recipe = load_recipe("segment", settings={**PREDICTIONS, **WHOLE_READINGS}[prediction])
    process = build_process(recipe)
    return Segment(
        dataset=dataset,
        process=process,
        sampler=build_sampler(recipe.sample, process, critical=-5.0),
        rows=range(CASES),
        augment=PRESETS["none"],
        objective=objective,
        batch=CASES,
        seed=0,
    )


class Answer(nn.Module):
    """The same scores whatever it sees, as many as the state has channels; remembers the state."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.scores = nn.Parameter(torch.randn(CASES, CLASSES, SIZE, SIZE, generator=generator))

    def forward(self, x: torch.Tensor, level: torch.Tensor, condition: Condition) -> torch.Tensor:
        self.x = x
        return self.scores[:, -x.shape[1] :] if x.shape[1] else self.scores


class Fixed(nn.Module):
    """One answer, whatever it sees."""

    def __init__(self, answer: torch.Tensor) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, x: torch.Tensor, level: torch.Tensor, condition: Condition) -> torch.Tensor:
        return self.answer


BATCH = Batch(step=0, slots=tuple(range(CASES)), rows=tuple(range(CASES)))


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_ignored_pixels_give_no_gradient_and_the_others_theirs(
    prediction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = torch.randn(CASES, CLASSES - 1, SIZE, SIZE, generator=torch.Generator().manual_seed(2)).double()
    monkeypatch.setattr(Dirichlet, "corrupt", lambda *_: state)  # how many numbers its noise draws depends on the data
    network = Answer()
    terms = task(masks(3), prediction).loss(network, BATCH)
    assert terms["loss"].isfinite().all() and terms["loss"][-1].item() == pytest.approx(0, abs=1e-6)
    terms["process"].sum().backward()
    gradient = network.scores.grad
    assert gradient is not None and not gradient[:, :, :3].any() and not gradient[-1].any()
    network.scores.grad = None
    whole = task(masks(0), prediction, ignore=False).loss(network, BATCH)["process"]
    whole.sum().backward()
    assert network.scores.grad is not None
    expected = network.scores.grad[:-1, :, 3:] * SIZE / (SIZE - 3)
    assert torch.allclose(gradient[:-1, :, 3:], expected, rtol=1e-4, atol=1e-7), "the mean is over fewer pixels"


def test_a_whole_reading_is_as_likely_as_what_the_mask_says_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    process = LowRankLogits(classes=CLASSES, rank=2, pairs=2)
    answer = torch.randn(CASES, process.channels(CLASSES)[1], SIZE, SIZE, generator=torch.Generator().manual_seed(3))
    state = process.corrupt(torch.zeros(CASES, CLASSES, SIZE, SIZE), torch.ones(CASES), Noise(list(range(CASES))))
    monkeypatch.setattr(LowRankLogits, "corrupt", lambda *_: state)
    answer.requires_grad_()
    terms = task(masks(3), "ssn").loss(Fixed(answer), BATCH)
    said = torch.from_numpy(masks(0)[:, 0, 3:])
    expected = process.loss(answer[..., 3:, :], signed_one_hot(said, CLASSES), state[..., 3:, :], torch.ones(CASES))
    assert torch.allclose(terms["process"][:-1], expected[:-1], rtol=1e-4)
    assert terms["process"][-1].item() == pytest.approx(0, abs=1e-6), "all of it is ignored"
    (gradient,) = torch.autograd.grad(terms["loss"].sum(), answer)
    assert gradient.isfinite().all() and gradient[:-1, :, 3:].any()
    assert not gradient[:, :, :3].any() and not gradient[-1].any()


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_dice_has_no_gradient_where_the_mask_says_nothing(prediction: str) -> None:
    network = Answer()
    dice = task(masks(3), prediction).loss(network, BATCH)["dice"]
    dice.sum().backward()
    gradient = network.scores.grad
    assert gradient is not None and not gradient[:, :, :3].any() and gradient[:-1, :, 3:].any()
    assert dice[-1].item() == pytest.approx(0, abs=1e-6), "all of it is ignored"


@pytest.mark.parametrize("prediction", ["logits", "v", "sdd"])
@pytest.mark.parametrize("name", ["cross_entropy", "focal", "generalised_dice", "boundary", "hausdorff", "adversarial"])
def test_no_term_has_a_gradient_where_the_mask_says_nothing(name: str, prediction: str) -> None:
    network = Answer()
    discriminator = Discriminator(channels_image=1, classes=CLASSES) if name == "adversarial" else None
    weights = load_recipe("segment", settings=["loss.process=0", "loss.dice=0", f"loss.{name}=0.5"])
    process = build_process(load_recipe("segment", settings=PREDICTIONS[prediction]))
    objective = build_objective(weights, process, discriminator=discriminator)
    terms = task(masks(3), prediction, objective=objective).loss(network, BATCH)
    assert "process" not in terms and "dice" not in terms and torch.equal(terms["loss"], 0.5 * terms[name])
    terms[name].sum().backward()
    gradient = network.scores.grad
    channels = CLASSES - (prediction == "sdd")
    assert gradient is not None and gradient[:-1, -channels:, 3:].any() and gradient.isfinite().all()
    assert not gradient[:, :, :3].any() and not gradient[-1].any(), "of the last one all is ignored"
    if name != "adversarial":
        assert terms[name][-1].item() == pytest.approx(0, abs=1e-6)


def test_a_mean_over_pixels_is_over_those_that_are_not_ignored() -> None:
    """Half of the columns, all of them like the other half: the same loss."""
    stored = masks(0)
    stored[..., SIZE // 2 :] = stored[..., : SIZE // 2]
    half = stored.copy()
    half[..., SIZE // 2 :] = IGNORED
    network = Answer()
    network.scores.data[..., SIZE // 2 :] = network.scores.data[..., : SIZE // 2]
    objective = Objective(terms=(Term("focal", 1.0, focal, per_pixel=True),))
    expected = task(stored, ignore=False, objective=objective).loss(network, BATCH)
    found = task(half, objective=objective).loss(network, BATCH)
    for name in ("process", "focal"):
        torch.testing.assert_close(found[name], expected[name])


def test_dice_is_that_of_masks_and_answers_without_foreground_there() -> None:
    network, stored = Answer(), masks(3)
    dice = task(stored).loss(network, BATCH)["dice"]
    with torch.no_grad():
        for hidden in (network.scores[:, :, :3], network.scores[-1:]):
            hidden[:] = torch.tensor([100.0, -100, -100]).view(3, 1, 1)
    plain = task(np.where(stored == IGNORED, 0, stored), ignore=False)
    assert torch.allclose(plain.loss(network, BATCH)["dice"], dice, atol=1e-6)


def test_loss_is_the_mean_over_the_other_pixels() -> None:
    network, stored = Answer(), masks(3)
    loss = task(stored).loss(network, BATCH)["process"]
    truth = torch.from_numpy(stored[:-1, 0, 3:]).long()
    expected = nn.functional.cross_entropy(network.scores[:-1, :, 3:], truth, reduction="none").flatten(1).mean(1)
    assert torch.allclose(loss[:-1], expected, atol=1e-6)


def test_the_state_is_undecided_where_the_mask_says_nothing() -> None:
    mask = torch.tensor([[[0, 2], [IGNORED, 1]]])
    state = undecided(mask, mask == IGNORED, CLASSES)
    assert torch.allclose(((state + 1) / 2)[0, :, 1, 0], torch.full((3,), 1 / 3))
    known = mask.clamp(max=2)
    assert torch.equal(state[..., 0, :], signed_one_hot(known, CLASSES)[..., 0, :])


def test_validation_and_preview_leave_them_out() -> None:
    stored = masks(3)[:-1]
    stored = np.concatenate([stored, stored[:1]])
    job = task(stored, "twin")
    right = torch.from_numpy(np.where(stored == IGNORED, 1, stored)[:, 0]).long()

    class Oracle(nn.Module):
        def forward(self, x: torch.Tensor, level: torch.Tensor, condition: Condition) -> torch.Tensor:
            return 50 * signed_one_hot(right, CLASSES)

    assert job.validate(Oracle())["dice"] == 1.0
    shown = job.preview(Oracle())
    assert all(case.reference is not None and case.reference.max() < CLASSES for case in shown)
