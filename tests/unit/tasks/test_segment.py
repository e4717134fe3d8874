"""Training masks: which reader is drawn, and states and conditions made of the network's own estimates."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from sfumato.builder.process import build_process
from sfumato.builder.sampling import build_sampler
from sfumato.data.augmentation.augment import margin
from sfumato.data.augmentation.ranges import PRESETS, Ranges
from sfumato.data.dataset import Dataset, OriginalSize
from sfumato.data.manifest import Case
from sfumato.data.spec import Intensity, Spec
from sfumato.diffusion.process import Condition
from sfumato.randomness import Noise
from sfumato.recipe import load_recipe
from sfumato.tasks.objective import Objective
from sfumato.tasks.patches import Patches
from sfumato.tasks.segment import Segment, draw_masks, signed_one_hot
from sfumato.tasks.task import first_estimate, last
from sfumato.training.data_order import Batch

SIZE, CASES, READERS = 8, 8, 3


def task(**changes: object) -> Segment:
    """Reader r of every case outlines row r."""
    spec = Spec(
        size=(SIZE, SIZE), channels=1, dtype="uint8", intensity=Intensity("unit", 0, 255, ""),
        mask_classes=("background", "a"), readers=READERS,
    )  # fmt: skip
    masks = np.zeros((CASES, READERS, SIZE, SIZE), np.uint8)
    for reader in range(READERS):
        masks[:, reader, reader] = 1
    images = np.random.default_rng(1).integers(0, 255, (CASES, SIZE, SIZE, 1)).astype(np.uint8)
    cases = [Case(id=str(row), image=f"{row}.png", split="train") for row in range(CASES)]
    recipe = load_recipe("segment", settings=["process.critical_log_snr=-5"])
    process = build_process(recipe)
    made = Segment(
        dataset=Dataset(spec, cases, [OriginalSize((SIZE, SIZE))] * CASES, images, masks), process=process,
        sampler=build_sampler(recipe.sample, process, critical=-5.0), rows=range(CASES), augment=PRESETS["none"],
        objective=Objective(), batch=CASES, seed=0,
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


class Constant(nn.Module):
    """Certain of the foreground in the last row; remembers what it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.full((1, 2, SIZE, SIZE), -8.0))
        self.scores.data[:, 0, :-1] = self.scores.data[:, 1, -1] = 8.0
        self.seen: list[tuple[torch.Tensor, torch.Tensor, Condition, bool]] = []

    def forward(self, x: torch.Tensor, level: torch.Tensor, condition: Condition) -> torch.Tensor:
        self.seen.append((x, level, condition, torch.is_grad_enabled()))
        return self.scores.expand(len(x), -1, -1, -1)


def batch(step: int, slots: range = range(CASES)) -> Batch:
    return Batch(step=step, slots=tuple(slots), rows=tuple(slots))


def test_each_reader_is_drawn_equally_often_by_the_items_seed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    made, drawn = task(), []
    real = Dataset.masks
    monkeypatch.setattr(Dataset, "masks", lambda *given: drawn.append(given[2]) or real(*given))
    for step in range(150):
        made.loss(Constant(), batch(step))
    counts = np.bincount(np.concatenate(drawn), minlength=READERS)
    assert counts.sum() == 1200 and np.abs(counts - 400).max() < 4 * np.sqrt(1200 * 2 / 9), counts
    first, later = drawn[7], [row for start in (0, 5) for row in _readers(made, drawn, batch(7, range(start, 8)))]
    assert later[:8] == first and later[8:] == first[5:], "not of the company in the batch"


def _readers(made: Segment, drawn: list[list[int]], given: Batch) -> list[int]:
    made.loss(Constant(), given)
    return drawn[-1]


def test_a_recycled_state_is_made_of_the_estimate_and_judged_by_the_truth() -> None:
    plain, recycled = Constant(), Constant()
    expected = task().loss(plain, batch(3))["process"]
    terms = task(recycle=1.0).loss(recycled, batch(3))["process"]
    assert torch.allclose(terms, expected), "the answer is the same, and so is the truth"
    (pure, _, _, learns), (x, level, _, learns_then) = recycled.seen
    assert not learns and learns_then
    process = task().process
    t_one = process.network_input(pure, 1.0)[1]
    assert torch.allclose(recycled.seen[0][1], t_one), "the estimate is made at t = 1"
    assert torch.equal(level, plain.seen[0][1]), "times stay what they were"
    alpha, _ = process.coefficients(1e-4)  # type: ignore[attr-defined]
    clear = level < level.median()  # states of little noise show whose mask it is
    outlined = (x[:, 1] - x[:, 0])[clear]
    assert (outlined[:, -1].mean(-1) > 0).all() and (outlined[:, :READERS].mean((1, 2)) < 0).all() and alpha > 0.99
    terms.sum().backward()
    assert recycled.scores.grad is not None and recycled.scores.grad.abs().sum() > 0


def test_as_many_states_are_recycled_as_asked() -> None:
    shares = []
    for step in range(40):
        both = [Constant(), Constant()]
        for network, share in zip(both, (0.3, 1.0), strict=True):
            task(recycle=share).loss(network, batch(step))
        same = (both[0].seen[-1][0] == both[1].seen[-1][0]).flatten(1).all(1)
        shares.append(same.float().mean())
    assert float(torch.stack(shares).mean()) == pytest.approx(0.3, abs=0.08)


@pytest.mark.parametrize("recipe", [{"recycle": 0.5}, {"self_condition": 0.5}])
def test_an_item_with_own_estimates_depends_on_its_slot_alone(recipe: dict[str, float]) -> None:
    whole, parts = Constant(), [Constant(), Constant()]
    made = task(**recipe, sampler=replace(task().sampler, self_condition=2 if "self_condition" in recipe else 0))
    made.loss(whole, batch(3))
    for network, slots in zip(parts, (range(3), range(3, 8)), strict=True):
        made.loss(network, batch(3, slots))
    assert torch.equal(whole.seen[-1][0], torch.cat([network.seen[-1][0] for network in parts]))
    shown = [network.seen[-1][2].image for network in parts]
    assert torch.equal(whole.seen[-1][2].image, torch.cat(shown))


def test_self_conditioning_shows_the_first_estimate_to_its_share() -> None:
    network, made = Constant(), task(self_condition=0.5, sampler=replace(task().sampler, self_condition=2))
    told = 0.0
    for step in range(40):
        made.loss(network, batch(step))
        (x_first, _, first, learns), (x, _, condition, _) = network.seen[-2:]
        assert torch.equal(x_first, x) and not learns
        assert first.image is not None and not first.image[:, 1:].any(), "the first pass has seen nothing yet"
        assert condition.image is not None and condition.image.shape[1] == 3
        estimate = first_estimate(
            made.process, network, x, 0.5, Condition(image=condition.image[:, :1]), self_condition=2
        )
        given = condition.image[:, 1:].flatten(1).any(1)
        assert torch.equal(condition.image[given, 1:], estimate[given])
        told += float(given.float().mean()) / 40
    assert told == pytest.approx(0.5, abs=0.1)


def test_in_sampling_the_last_estimate_is_shown_and_forgotten_after_the_walk() -> None:
    made, network = task(), Constant().eval().requires_grad_(False)
    sampler = replace(made.sampler, self_condition=2)
    images = made.dataset.images(range(2))
    for _ in range(2):
        network.seen.clear()
        steps = list(draw_masks(made.process, network, sampler, images, 2, seeds=[1, 2]))
        shown = [condition.image[:2, 1:] for _, _, condition, _ in network.seen if condition.image is not None]
        assert len(shown) == len(steps) == sampler.calls
        assert not shown[0].any() and all(torch.equal(shown[k], steps[k - 1].x0) for k in range(1, len(steps)))


def test_a_warm_start_is_the_estimate_at_the_critical_level() -> None:
    recipe = load_recipe("segment", settings=["process.critical_log_snr=-5", "sample={start: twin, steps: 3}"])
    process = build_process(recipe)
    sampler = build_sampler(recipe.sample, process, critical=-5.0)
    ratios = process.schedule.ratio(torch.tensor(sampler.times[:-1], dtype=torch.float64))  # type: ignore[attr-defined]
    assert (-2 * ratios.log()).tolist() == pytest.approx([-5, -3, -1], abs=1e-6) and sampler.calls == 3
    network, images = Constant().eval().requires_grad_(False), torch.zeros(2, 1, SIZE, SIZE)
    guess = signed_one_hot(torch.ones(2, SIZE, SIZE, dtype=torch.uint8), 2)
    last(draw_masks(process, network, sampler, images, 2, seeds=[1, 2], start=guess))
    expected = process.corrupt(guess, sampler.times[0], Noise([1, 2]))
    assert torch.allclose(network.seen[0][0][:2], process.network_input(expected, sampler.times[0])[0])
    with pytest.raises(ValueError, match="starts from an estimate"):
        last(draw_masks(process, network, sampler, images, 2, seeds=[1, 2]))


def test_the_held_out_loss_is_the_objective_at_the_same_noise_each_time() -> None:
    """Not of the batch; lower for who knows the masks; without the second network of an adversarial term."""
    made, right, wrong = task(), Constant(), Constant()
    wrong.scores.data = -wrong.scores.data
    one_reader = replace(
        made, dataset=Dataset(made.dataset.spec, made.dataset.cases, made.dataset._sizes, *arrays(made.dataset))
    )
    losses = [one_reader.validate(network)["loss_held_out"] for network in (right, right, wrong)]
    assert losses[0] == losses[1] < 0.01 < 5 < losses[2]
    assert replace(one_reader, batch=3).validate(right)["loss_held_out"] == pytest.approx(losses[0], rel=1e-5)
    adversarial = Objective(process=0.0, adversarial=0.1, discriminator=nn.Identity())
    assert "loss_held_out" not in replace(one_reader, objective=adversarial).validate(right)


def arrays(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """The images, and masks whose first reader outlines the last row."""
    masks = np.zeros_like(dataset._masks)
    masks[:, :, -1] = 1
    return dataset._images, masks


def test_patches_are_read_with_what_turning_them_needs() -> None:
    """No corner of a turned patch is reflected, and what says nothing beyond the image moves with it."""
    turning = Ranges(angle=180)
    made = task(augment=turning)
    made = replace(made, patches=Patches(made.dataset, (4, 4)))
    rows, noise = [0, 1, 2, 3], Noise(range(4))
    images, masks = made.read(rows, noise)
    beyond = margin(turning, (4, 4))
    assert min(beyond) > 0 and images.shape[2:] == masks.shape[1:] == tuple(4 + 2 * more for more in beyond)
    varied = made.varied(images, masks, noise)
    assert varied[0].shape[2:] == varied[1].shape[1:] == (4, 4)
    still = replace(made, augment=PRESETS["none"])
    assert still.read(rows, Noise(range(4)))[0].shape[2:] == (4, 4)
