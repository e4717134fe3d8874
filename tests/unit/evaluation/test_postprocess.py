"""Which repairs validation chooses: those that help, in order, and none that does not."""

import json

import numpy as np
import pytest

from sfumato.data.mask import IGNORED
from sfumato.evaluation.postprocess import MARGIN, ChosenRepair, Postprocessing, Repair, choose_repairs
from sfumato.evaluation.review import FEWEST_CASES

SIZE, CASES = 24, 12


def square(at: int, side: int, *, value: int = 1) -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[at : at + side, at : at + side] = value
    return mask


TRUTH = square(2, 10)
STRAY = square(18, 3)
HOLED = TRUTH - square(5, 3)
OTHER = square(14, 4, value=2)


def chosen(masks: list[np.ndarray], truths: list[np.ndarray], *, classes: int = 2) -> Postprocessing:
    return choose_repairs(masks, [truth[None] for truth in truths], classes=classes)


def kinds(found: Postprocessing) -> list[tuple[int, str]]:
    return [(each.repair.mask_class, each.repair.kind) for each in found.chosen]


def test_nothing_is_chosen_where_nothing_helps() -> None:
    assert chosen([TRUTH] * CASES, [TRUTH] * CASES) == Postprocessing(chosen=(), cases=CASES)
    two = TRUTH + STRAY
    assert kinds(chosen([two] * CASES, [two] * CASES)) == [], "two components that readers outlined too"
    shifted = np.roll(TRUTH, 3, axis=1)
    assert kinds(chosen([shifted] * CASES, [TRUTH] * CASES)) == []


def test_each_repair_is_chosen_where_it_helps() -> None:
    holes = chosen([HOLED] * CASES, [TRUTH] * CASES)
    assert kinds(holes) == [(1, "holes")]
    (each,) = holes.chosen
    assert (each.higher, each.lower) == (CASES, 0)
    assert each.gain == pytest.approx(1 - 2 * 91 / (91 + 100), abs=1e-6)
    assert kinds(chosen([TRUTH + STRAY] * CASES, [TRUTH] * CASES)) == [(1, "largest")]
    np.testing.assert_array_equal(holes.of(HOLED), TRUTH)


def test_a_least_size_comes_from_what_readers_outlined() -> None:
    """Strays of 9 pixels beside two true objects, of which the smaller has 25: the largest alone would lose one."""
    truth = TRUTH + square(13, 5)
    found = chosen([truth + np.rot90(STRAY)] * CASES, [truth] * CASES)
    assert [each.repair for each in found.chosen] == [Repair(1, "least", 25)]
    np.testing.assert_array_equal(found.of(truth + np.rot90(STRAY)), truth)


def test_repairs_are_laid_over_one_another_the_best_first() -> None:
    drawn = HOLED + np.rot90(square(16, 6))
    found = chosen([drawn] * CASES, [TRUTH] * CASES)
    assert kinds(found) == [(1, "largest"), (1, "holes")]
    np.testing.assert_array_equal(found.of(drawn), TRUTH)
    alone = chosen([HOLED] * CASES, [TRUTH] * CASES).chosen[0]
    assert found.chosen[1].gain == alone.gain, "measured on top of the first"


def test_what_lowers_more_cases_than_it_raises_is_refused() -> None:
    """In cases with two objects a little is lost, in those with a large false one much is gained."""
    two, false = TRUTH + STRAY, TRUTH + np.rot90(square(13, 9))
    healthy = np.zeros_like(TRUTH)
    most = chosen([two] * 7 + [false] * 5, [two] * 7 + [TRUTH] * 5)
    assert kinds(most) == [], "7 lower, 5 higher, though the mean is"
    even = chosen([two] * 6 + [false] * 6, [two] * 6 + [TRUTH] * 6)
    assert kinds(even) == [(1, "largest")] and (even.chosen[0].higher, even.chosen[0].lower) == (6, 6)
    strays = chosen([TRUTH] * 9 + [STRAY] * 3, [TRUTH] * 9 + [healthy] * 3)
    assert [each.repair for each in strays.chosen] == [Repair(1, "least", 100)]
    assert strays.chosen[0].gain == pytest.approx(3 / 12)


def test_what_gains_too_little_is_refused() -> None:
    pinned = TRUTH.copy()
    pinned[6, 6] = 0
    gain = 1 - 2 * 99 / 199
    enough = int(np.floor(MARGIN * CASES / gain)) + 1
    few, more = ([pinned] * count + [TRUTH] * (CASES - count) for count in (enough - 1, enough))
    assert 1 < enough < CASES
    assert kinds(chosen(few, [TRUTH] * CASES)) == [] and kinds(chosen(more, [TRUTH] * CASES)) == [(1, "holes")]


def test_fewer_cases_than_it_takes_choose_nothing() -> None:
    few = FEWEST_CASES - 1
    assert chosen([HOLED] * few, [TRUTH] * few) == Postprocessing(chosen=(), cases=few)
    assert chosen([HOLED] * FEWEST_CASES, [TRUTH] * FEWEST_CASES).chosen


def test_classes_are_chosen_for_themselves() -> None:
    """Class 1 has a stray; class 2 has two objects in truth, which must stay."""
    other = OTHER + np.rot90(square(1, 4, value=2))
    truth = np.maximum(TRUTH, other)
    drawn = np.maximum(truth, STRAY)
    found = chosen([drawn] * CASES, [truth] * CASES, classes=3)
    assert kinds(found) == [(1, "largest")]
    np.testing.assert_array_equal(found.of(drawn), truth)
    swapped = [np.array([0, 2, 1], np.uint8)[each] for each in (drawn, truth)]
    found = chosen([swapped[0]] * CASES, [swapped[1]] * CASES, classes=3)
    assert kinds(found) == [(2, "largest")]


def test_pixels_of_which_readers_say_nothing_do_not_count() -> None:
    silent = np.where(STRAY > 0, IGNORED, TRUTH).astype(np.uint8)
    assert kinds(chosen([TRUTH + STRAY] * CASES, [silent] * CASES)) == []


def test_several_readers_count_with_their_mean() -> None:
    two = TRUTH + STRAY
    readers = [np.stack([TRUTH, two, two])] * CASES
    assert choose_repairs([two] * CASES, readers, classes=2).chosen == ()
    assert choose_repairs([two] * CASES, [of_case[:2] for of_case in readers], classes=2).chosen == ()
    readers = [np.stack([TRUTH, TRUTH, two])] * CASES
    assert kinds(choose_repairs([two] * CASES, readers, classes=2)) == [(1, "largest")]


def test_a_least_size_is_that_of_the_models_pixels() -> None:
    found = Postprocessing(chosen=(ChosenRepair(Repair(1, "least", 25), 0.1, 3, 0),), cases=CASES)
    mask = TRUTH + STRAY
    np.testing.assert_array_equal(found.of(mask), TRUTH)
    np.testing.assert_array_equal(found.of(mask, scale=9 / 25), mask)
    np.testing.assert_array_equal(found.of(mask, scale=4.04), np.zeros_like(mask))


def test_survives_json_and_is_told() -> None:
    found = chosen([HOLED + np.rot90(square(16, 6))] * CASES, [TRUTH] * CASES)
    assert Postprocessing.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    assert found.words(("background", "cyst")) == "only the largest component of cyst; holes of cyst filled"
    assert Repair(7, "least", 5).words(("background", "cyst")) == "no component of class 7 below 5 pixels of the model"
