"""How published numbers go wrong: each trap on planted cases, ours beside the form that has it, and the page of both.

Each figure of `docs/published-numbers.md` is measured here again and compared with the page.
"""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from sfumato.diffusion.loss import soft_dice
from sfumato.metrics.ensemble import ged, matched_iou, mean_probability, one_hot
from sfumato.metrics.interval import difference_interval, grouped_mean_interval
from sfumato.metrics.reader_calibration import exact_coverage, reader_coverage

PAGE = Path(__file__).parents[3] / "docs" / "published-numbers.md"
SIZE = 32
CASES = 30


def figures(row: str) -> list[float]:
    """The numbers in the row of a table of the page, by its first cell."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith(f"| {row} |")]
    assert len(lines) == 1, row
    return [float(cell) for cell in re.findall(r"\| *(-?[\d.]+) *(?=\|)", lines[0])]


def told(row: str, measured: list[float]) -> None:
    """The page says what was measured, to the three decimals that it shows."""
    assert figures(row) == pytest.approx(measured, abs=6e-4), [round(each, 3) for each in measured]


def disc(random: np.random.Generator) -> np.ndarray:
    """A disc whose radius and centre differ from reader to reader."""
    radius, centre = random.uniform(4, 10), SIZE / 2 + random.uniform(-2, 2, 2)
    rows, columns = np.indices((SIZE, SIZE))
    inside: np.ndarray = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < radius**2
    return inside.astype(np.int64)


def discs(random: np.random.Generator, count: int, *, seen: float = 1.0) -> np.ndarray:
    """Masks of so many readers, each of whom sees the object with a probability."""
    return np.stack([disc(random) * (random.random() < seen) for _ in range(count)])


def iou(first: np.ndarray, second: np.ndarray, *, both_empty: float) -> np.ndarray:
    """IoU of all pairs, plainly."""
    a, b = (masks.reshape(len(masks), -1).astype(bool) for masks in (first, second))
    both, either = ((a[:, None] & b[None]).sum(2), (a[:, None] | b[None]).sum(2))
    return np.where(either > 0, both / np.maximum(either, 1), both_empty)


def rectangular(members: np.ndarray, readers: np.ndarray) -> float:
    """The trap: only as many pairs are matched as the smaller side has masks."""
    pairs = iou(members, readers, both_empty=1.0)
    return float(pairs[linear_sum_assignment(pairs, maximize=True)].mean())


def distance(members: np.ndarray, readers: np.ndarray, *, both_empty: float) -> float:
    """GED² (V) with two empty masks 0 apart (`both_empty=1`), or, the trap, 1 apart (`both_empty=0`)."""
    sides = ((members, readers), (members, members), (readers, readers))
    cross, ours, theirs = (1 - iou(*side, both_empty=both_empty).mean() for side in sides)
    return float(2 * cross - ours - theirs)


def mean(measure: Callable[[np.random.Generator], float], *, cases: int = CASES) -> float:
    random = np.random.default_rng(0)
    return float(np.mean([measure(random) for _ in range(cases)]))


@pytest.mark.slow
def test_rectangular_matching_grows_with_the_number_of_members() -> None:
    """A sampler that draws from the population of the readers: 100 of its masks are no better than 4."""
    counts = (4, 16, 100)

    def of(score: Callable[[np.ndarray, np.ndarray], float], count: int) -> float:
        return mean(lambda random: score(discs(random, count), discs(random, 4)))

    square = [of(lambda members, readers: matched_iou(members, readers, classes=2), count) for count in counts]
    grown = [of(rectangular, count) for count in counts]
    told("square", square)
    told("rectangular", grown)
    assert square[0] == grown[0], "with as many members as readers the two are one"
    assert max(square) - min(square) < 0.06 < 0.2 < grown[2] - grown[0]


def test_two_empty_masks_that_are_far_apart_reward_the_empty_answer() -> None:
    """Each reader sees the object with probability 1/2; one model draws as they do, the other marks nothing."""
    nothing = np.zeros((16, SIZE, SIZE), np.int64)

    def of(empty: bool, both_empty: float) -> float:
        def one(random: np.random.Generator) -> float:
            readers = discs(random, 4, seen=0.5)
            members = discs(random, 16, seen=0.5)
            return distance(nothing if empty else members, readers, both_empty=both_empty)

        return mean(one)

    told("two empty masks 0 apart", [of(False, 1.0), of(True, 1.0)])
    told("two empty masks 1 apart", [of(False, 0.0), of(True, 0.0)])
    random = np.random.default_rng(0)
    for _ in range(CASES):
        readers, members = discs(random, 4, seen=0.5), discs(random, 16, seen=0.5)
        for masks in (members, nothing):
            assert ged(masks, readers, classes=2).v == pytest.approx(distance(masks, readers, both_empty=1.0))
    assert of(True, 1.0) > 3 * of(False, 1.0), "ours: the empty answer is far off"


@pytest.mark.slow
def test_a_distance_without_the_number_of_members_says_nothing() -> None:
    """The same sampler, which draws from the readers themselves, at 2, 4 and 16 members."""

    def of(count: int, kind: str) -> float:
        def one(random: np.random.Generator) -> float:
            readers = discs(random, 4)
            return float(getattr(ged(readers[random.integers(4, size=count)], readers, classes=2), kind))

        return mean(one, cases=300)

    told("GED² (V)", [of(count, "v") for count in (2, 4, 16)])
    told("GED² (U)", [of(count, "u") for count in (2, 4, 16)])
    assert of(2, "v") > 6 * of(16, "v") and abs(of(2, "u")) < 0.02


@pytest.mark.slow
def test_few_members_cannot_cover_what_a_level_promises() -> None:
    """An exact sampler: drawing from the population of the readers, with 4, 16 and 40 members, at 95 %."""
    counts = (4, 16, 40)

    def covered(count: int) -> float:
        def one(random: np.random.Generator) -> float:
            volumes = [masks.sum(axis=(1, 2)) for masks in (discs(random, count), discs(random, 4))]
            return reader_coverage(*volumes, level=95)

        return mean(one, cases=300)

    told("95 % if exact", [exact_coverage(count, level=95) for count in counts])
    for count in counts:
        assert covered(count) == pytest.approx(exact_coverage(count, level=95), abs=0.03)


def test_a_case_that_all_left_empty_is_at_distance_zero_for_who_marks_nothing() -> None:
    """With so many such cases the mean says mostly how many there are."""
    nothing = np.zeros((16, SIZE, SIZE), np.int64)
    on_empty = ged(nothing, nothing[:4], classes=2).v
    on_marked = mean(lambda random: ged(nothing, discs(random, 4), classes=2).v)
    shares = (0.0, 0.5, 0.9)
    told("always empty", [(1 - share) * on_marked + share * on_empty for share in shares])


def test_a_dice_after_thresholding_teaches_nothing() -> None:
    """Share of the pixels whose estimate gets a gradient: of a mask that was rounded before its Dice, none."""
    random = np.random.default_rng(0)
    truth = torch.as_tensor(2 * np.moveaxis(np.eye(2)[discs(random, 4)], -1, 1) - 1).float()
    estimate = torch.rand(truth.shape, generator=torch.Generator().manual_seed(0)) * 1.8 - 0.9

    def learning(round_first: bool) -> float:
        leaf = estimate.clone().requires_grad_()
        shown = 2 * ((leaf + 1) / 2).round() - 1 if round_first else leaf
        soft_dice(shown, truth).sum().backward()
        assert leaf.grad is not None
        return float((leaf.grad[:, 1:] != 0).float().mean())

    told("pixels that learn", [learning(False), learning(True)])
    assert learning(False) == 1


def test_votes_whose_ties_are_background_shrink_the_object() -> None:
    """Mean area of a vote of four readers, divided by the mean area that they drew."""

    def of(votes: int) -> float:
        random = np.random.default_rng(0)
        drawn = [discs(random, 4) for _ in range(CASES)]
        return float(np.sum([(each.sum(axis=0) >= votes).sum() for each in drawn]) / np.mean(drawn) / SIZE**2 / CASES)

    told("area of the vote", [of(3), of(2)])
    assert of(3) < 0.9 < 1 < of(2)


def test_the_mask_of_members_that_tie_has_the_lower_class() -> None:
    """As documented: the mask of an ensemble is the likeliest class; where two are as likely, the lower index."""
    random = np.random.default_rng(0)
    members = discs(random, 4)
    mask = mean_probability(one_hot(members, classes=2)).argmax(axis=0)
    assert np.array_equal(mask, members.sum(axis=0) >= 3) and not np.array_equal(mask, members.sum(axis=0) >= 2)


def test_the_best_of_many_checkpoints_on_the_test_set_flatters() -> None:
    """Twenty checkpoints that are all as good (0.700): the Dice of the chosen one, mean over 400 repetitions."""
    random = np.random.default_rng(0)
    chosen_on_test, chosen_on_validation = list[float](), list[float]()
    for _ in range(400):
        test, validation = (0.7 + random.normal(0, 0.05, (20, 20)).mean(axis=1) for _ in range(2))
        chosen_on_test.append(test.max())
        chosen_on_validation.append(test[validation.argmax()])
    measured = [float(np.mean(chosen_on_validation)), float(np.mean(chosen_on_test))]
    told("Dice that is reported", measured)
    assert measured[0] == pytest.approx(0.7, abs=0.003) and measured[1] > 0.715


@pytest.mark.slow
def test_slices_are_not_patients() -> None:
    """Two models that are equally good on patients: how often 95 % intervals of the difference leave 0 out."""
    random = np.random.default_rng(0)
    wrong = {"slices": 0, "patients": 0}
    repetitions, patients, slices = 200, 20, 12
    for _ in range(repetitions):
        of_patient = np.repeat(random.normal(0, 0.05, patients), slices)
        gap = of_patient + random.normal(0, 0.05, patients * slices)
        whose = np.repeat(np.arange(patients), slices).tolist()
        for unit, found in (
            ("slices", difference_interval(gap, np.zeros_like(gap), seed=0, resamples=499)),
            ("patients", grouped_mean_interval(gap, whose, seed=0, resamples=499)),
        ):
            wrong[unit] += not found.low <= 0 <= found.high
    told("differences that are none", [wrong["patients"] / repetitions, wrong["slices"] / repetitions])
    assert wrong["patients"] < 0.12 * repetitions < 0.3 * repetitions < wrong["slices"]
