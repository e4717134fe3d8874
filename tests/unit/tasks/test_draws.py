"""Several draws of an image that is seen once: what is asked, what it costs, by whose noise, and what comes out."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sfumato.builder.process import build_process
from sfumato.builder.sampling import build_sampler
from sfumato.data.augmentation.ranges import PRESETS, Ranges
from sfumato.data.dataset import Dataset, OriginalSize
from sfumato.data.manifest import Case
from sfumato.data.mask import IGNORED
from sfumato.data.spec import Intensity, Spec
from sfumato.diffusion.loss import soft_dice
from sfumato.diffusion.process import Condition, DrawAnswers
from sfumato.networks.amortised import Amortised
from sfumato.tasks.draws import coarse
from sfumato.tasks.objective import Objective, Term
from sfumato.tasks.seen import seen
from sfumato.tasks.segment import Segment, draw_masks, signed_one_hot
from sfumato.tasks.task import last
from sfumato.training.data_order import Batch

SIZE, CASES, STRIDE, DRAWS = (18, 16), 6, 4, 3
PROCESSES = {
    "gaussian": "process.critical_log_snr=-3",
    "v": "process={kind: gaussian, prediction: v, critical_log_snr: -3}",
    "categorical": "process={kind: categorical, critical_log_snr: -3}",
    "sdd": "process={kind: sdd, classes: 2}",
}


def task(process: str = "gaussian", *, readers: int = 1, ignored: int = 0, **changes: object) -> Segment:
    """A square on dark ground, somewhere; reader r says it is so much larger. The first rows may be ignored."""
    spec = Spec(
        size=SIZE, channels=1, dtype="uint8", intensity=Intensity("unit", 0, 255, ""),
        mask_classes=("background", "a"), readers=readers, ignore=ignored > 0,
    )  # fmt: skip
    masks = np.zeros((CASES, readers, *SIZE), np.uint8)
    images = np.random.default_rng(1).integers(0, 60, (CASES, *SIZE, 1)).astype(np.uint8)
    for case, (row, column) in enumerate(np.random.default_rng(0).integers(0, 8, (CASES, 2))):
        images[case, row : row + 6, column : column + 6] += 150
        for reader in range(readers):
            masks[case, reader, row : row + 6 + 2 * reader, column : column + 6 + 2 * reader] = 1
    masks[:, :, :ignored] = IGNORED
    cases = [Case(id=str(row), image=f"{row}.png", split="train") for row in range(CASES)]
    recipe = load(process)
    built = build_process(recipe)
    made = Segment(
        dataset=Dataset(spec, cases, [OriginalSize(SIZE)] * CASES, images, masks), process=built,
        sampler=build_sampler(recipe.sample, built, critical=-3.0), rows=range(CASES), augment=PRESETS["none"],
        objective=Objective(terms=(Term("dice", 0.5, soft_dice, per_pixel=False),)), batch=CASES, seed=0,
        stride=STRIDE, draws=DRAWS,
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def load(process: str):  # type: ignore[no-untyped-def]
    from sfumato.recipe import load_recipe

    return load_recipe("segment", settings=[PROCESSES[process], "data.size=[16, 16]", "sample.steps=3"])


def network(process: str = "gaussian") -> Amortised:
    torch.manual_seed(0)
    channels = 1 if process == "sdd" else 2
    return Amortised(
        channels_in=channels, channels_out=channels, channels_mask=2, channels_condition=1, channels=8,
        multipliers=(1, 2, 2, 2), stem=2, stride=STRIDE, draw_channels=8, logits=process in ("gaussian", "categorical"),
    )  # fmt: skip


class Recorded(nn.Module):
    """DrawAnswers the same of every draw; remembers what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.output = nn.Parameter(torch.randn(2, 5, 4, generator=generator))
        self.refined = nn.Parameter(torch.randn(2, *SIZE, generator=generator))
        self.own = nn.Parameter(torch.randn(2, *SIZE, generator=generator))
        self.asked: list[tuple[Tensor, Tensor, Condition]] = []

    def forward(self, x: Tensor, level: Tensor, condition: Condition) -> DrawAnswers:
        self.asked.append((x, level, condition))
        assert condition.image is not None
        each = [answer.expand(number, *answer.shape) for answer, number in (
            (self.output, len(x)), (self.refined, len(x)), (self.own, len(condition.image)))]  # fmt: skip
        return DrawAnswers(*each)


def batch(step: int, slots: Sequence[int] = range(CASES)) -> Batch:
    return Batch(step=step, slots=tuple(slots), rows=tuple(slots))


def test_masks_at_a_stride_are_means_of_what_is_said() -> None:
    masks = torch.zeros(1, 6, 5, dtype=torch.uint8)
    masks[0, :2, :2] = 1
    masks[0, 4:, 4] = 1
    whole = coarse(signed_one_hot(masks, 2), None, 4)
    assert whole.ignored is None
    assert whole.x0[0, 1].tolist() == [[2 * 4 / 16 - 1, -1], [-1, 1]], "at the border of what there is"
    ignored = torch.zeros(1, 6, 5, dtype=torch.bool)
    ignored[0, 1:4, :4] = ignored[0, :, 4] = True
    masks[0, 0, 1] = 0
    some = coarse(signed_one_hot(masks, 3), ignored, 4)
    assert some.ignored is not None and some.ignored.tolist() == [[[False, True], [False, True]]]
    undecided = pytest.approx(2 / 3 - 1)
    assert some.x0[0, 1].tolist() == [[2 * 1 / 4 - 1, undecided], [-1, undecided]], "of the one row that is said"


def test_masks_of_volumes_have_a_stride_of_each_axis() -> None:
    """A plane that is kept is a mask of its own."""
    generator = torch.Generator().manual_seed(0)
    masks = torch.randint(0, 3, (2, 4, 6, 5), generator=generator)
    ignored = torch.rand(2, 4, 6, 5, generator=generator) < 0.6
    found = coarse(signed_one_hot(masks, 3), ignored, (1, 4, 2))
    assert found.ignored is not None and found.ignored.any()
    for plane in range(4):
        one = coarse(signed_one_hot(masks[:, plane], 3), ignored[:, plane], (4, 2))
        assert torch.equal(found.ignored[:, plane], one.ignored)
        torch.testing.assert_close(found.x0[:, :, plane], one.x0, rtol=0, atol=1e-6)


def test_each_draw_has_its_time_and_its_noise_and_all_one_image(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, made, quantiles = Recorded(), task(), []
    times = type(made.process).times
    monkeypatch.setattr(type(made.process), "times", lambda self, u: quantiles.append(u) or times(self, u))
    made.loss(asked, batch(3))
    ((x, level, condition),) = asked.asked
    assert x.shape == (CASES * DRAWS, 2, 5, 4) and condition.image is not None and len(condition.image) == CASES
    assert (quantiles[0] * CASES * DRAWS).long().tolist() == list(range(CASES * DRAWS)), "stratified over all draws"
    assert torch.equal(level, made.process.network_input(x, times(made.process, quantiles[0]))[1])
    assert len(x.flatten(1).unique(dim=0)) == CASES * DRAWS


def test_an_item_depends_on_its_slot_alone() -> None:
    whole, parts, made = Recorded(), [Recorded(), Recorded()], task(readers=3, augment=PRESETS["medium"])
    terms = made.loss(whole, batch(5))
    others = [made.loss(each, batch(5, slots)) for each, slots in zip(parts, (range(2), range(2, CASES)), strict=True)]
    for place in (0, 1):
        assert torch.equal(whole.asked[0][place], torch.cat([each.asked[0][place] for each in parts]))
    for name, value in terms.items():
        assert value.shape == (CASES,)
        torch.testing.assert_close(value, torch.cat([each[name] for each in others]), rtol=1e-5, atol=1e-6)


def test_the_draws_of_a_case_have_readers_of_their_own_and_move_with_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, real = [], Dataset.masks
    monkeypatch.setattr(Dataset, "masks", lambda *given: drawn.append(given[2]) or real(*given))
    made = task(readers=3, augment=Ranges(mirror=1.0))
    for step in range(20):
        made.loss(Recorded(), batch(step))
    counts = np.bincount(np.concatenate(drawn), minlength=3)
    assert counts.sum() == 20 * CASES * DRAWS and np.abs(counts - counts.mean()).max() < 4 * np.sqrt(360 * 2 / 9)
    assert any(len(set(each[:DRAWS])) > 1 for each in drawn)
    asked, still = Recorded(), Recorded()
    costs = [
        float(each.loss(net, batch(0))["own_cross_entropy"].sum().detach())
        for each, net in ((made, asked), (task(readers=3), still))
    ]
    assert torch.equal(asked.asked[0][2].image.flip(-1), still.asked[0][2].image)
    asked.own.data = asked.own.data.flip(-1)
    moved = float(made.loss(asked, batch(0))["own_cross_entropy"].sum().detach())
    assert moved == pytest.approx(costs[1], rel=1e-5) and moved != pytest.approx(costs[0], rel=1e-3)


@pytest.mark.parametrize("process", PROCESSES)
def test_the_loss_is_the_objective_at_the_stride_and_both_answers_at_full_size(process: str) -> None:
    made = task(process)
    terms = made.loss(network(process), batch(1))
    full = [name for name in terms if name.startswith(("refined_", "own_"))]
    assert sorted(full) == ["own_cross_entropy", "own_dice", "refined_cross_entropy", "refined_dice"]
    weights = {name: 0.5 if name.endswith("dice") else 1.0 for name in full}
    expected = terms["process"] + 0.5 * terms["dice"] + sum(weights[name] * terms[name] for name in full)
    torch.testing.assert_close(terms["loss"], expected.to(terms["loss"].dtype))
    assert all(value.isfinite().all() and len(value) == CASES for value in terms.values())


def test_without_dice_in_the_objective_there_is_none_at_full_size() -> None:
    terms = task(objective=Objective()).loss(network(), batch(1))
    assert sorted(terms) == ["loss", "own_cross_entropy", "process", "refined_cross_entropy"]
    expected = terms["process"] + terms["own_cross_entropy"] + terms["refined_cross_entropy"]
    torch.testing.assert_close(terms["loss"], expected)


def test_answers_at_full_size_cost_what_they_are() -> None:
    asked, made = Recorded(), task()
    terms = made.loss(asked, batch(1))
    truth = made.dataset.masks(range(CASES)).long()
    for name in ("refined", "own"):
        logits = getattr(asked, name).expand(CASES, -1, -1, -1)
        cost = nn.functional.cross_entropy(logits, truth, reduction="none").mean((1, 2))
        torch.testing.assert_close(terms[f"{name}_cross_entropy"], cost)
        p, g = logits.softmax(1)[:, 1], truth.float()
        dice = 1 - (2 * (p * g).sum((1, 2)) + 1) / ((p + g).sum((1, 2)) + 1)
        torch.testing.assert_close(terms[f"{name}_dice"], dice)


def test_ignored_pixels_cost_nothing() -> None:
    asked = Recorded()
    task(ignored=7).loss(asked, batch(1))["loss"].sum().backward()
    for name, gradient in ((each, getattr(asked, each).grad) for each in ("refined", "own")):
        assert not gradient[:, :7].any() and gradient[:, 7:].any(), name
    assert not asked.output.grad[:, 0].any() and asked.output.grad[:, 1].any(), "a block of which a row is said counts"


@pytest.mark.parametrize("process", PROCESSES)
def test_one_training_step_reaches_every_parameter(process: str) -> None:
    torch.manual_seed(1)
    made, trained = task(process), network(process).train()
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    made.loss(trained, batch(0))["loss"].sum().backward()
    assert [name for name, p in trained.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("process", ["gaussian", "sdd"])
def test_masks_are_drawn_at_full_size_each_by_its_seed_alone(process: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made, drawing = task(process), network(process).eval().requires_grad_(False)
    with torch.no_grad():
        for parameter in drawing.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)), alpha=0.1)
    looked, encode = [], Amortised.encode
    monkeypatch.setattr(Amortised, "encode", lambda self, image: looked.append(len(image)) or encode(self, image))
    images = made.dataset.images([0, 0, 0, 1])

    def drawn(rows: list[int]) -> Tensor:
        steps = list(
            draw_masks(made.process, drawing, made.sampler, images[rows], 2, seeds=[[7, 8, 7, 7][row] for row in rows])
        )
        assert steps[0].x0.shape[2:] == (5, 4) and len(steps) == made.sampler.steps
        return steps[-1].x0

    together = drawn([0, 1, 2, 3])
    assert looked == [1, 1], "each image once"
    assert together.shape == (4, 2, *SIZE)
    torch.testing.assert_close(together.sum(1), torch.zeros(4, *SIZE).to(together.dtype), rtol=0, atol=1e-5)
    assert torch.equal(together[0], together[2]) and not torch.equal(together[0], together[1])
    assert torch.equal(torch.cat([drawn([0]), drawn([3])]), together[[0, 3]]), "to the bit"


def test_a_warm_start_is_brought_to_the_stride() -> None:
    made, drawing = task(), network().eval()
    recipe = load("gaussian").model_copy(update={})
    sampler = replace(build_sampler(recipe.sample, made.process, critical=-3.0), warm=True)
    guess = signed_one_hot(made.dataset.masks([0]), 2)
    steps = draw_masks(made.process, drawing, sampler, made.dataset.images([0]), 2, seeds=[0], start=guess)
    assert last(steps).x0.shape == (1, 2, *SIZE)


def test_other_networks_see_their_image_in_every_call() -> None:
    twin = Amortised(channels_in=2, channels_out=2, channels_mask=2, channels_condition=1, channels=8,
                     multipliers=(1, 2, 2, 2), twin=True)  # fmt: skip
    images = task().dataset.images([0])
    assert seen(twin, images, SIZE) is None and seen(nn.Identity(), images, SIZE) is None
    assert seen(network(), images, SIZE) is not None


@pytest.mark.slow
def test_a_short_training_beats_the_empty_mask() -> None:
    """In few calls, and so does the encoder by itself."""
    made, trained = task(), network().train()
    optimizer = torch.optim.Adam(trained.parameters(), lr=5e-3)
    first = made.validate(trained.eval())
    for step in range(60):
        optimizer.zero_grad()
        made.loss(trained.train(), batch(step))["loss"].mean().backward()
        optimizer.step()
    scores = made.validate(trained.eval())
    own = trained.encode(made.dataset.images(range(CASES))).logits.argmax(1)
    truth = made.dataset.masks(range(CASES))
    dice = 2 * (own * truth).sum((1, 2)) / (own + truth).sum((1, 2))
    assert scores["dice"] > 0.9 and float(dice.mean()) > 0.9 and scores["loss_held_out"] < first["loss_held_out"] / 2
    assert made.control()[1] < 0.1
