"""Ensembles: entropy and its split, agreement, the review order, and the traps of GED and matched IoU."""

import math

import numpy as np
import pytest

from sfumato import slabs
from sfumato.metrics.calibration import band as calibration_band
from sfumato.metrics.ensemble import (
    agreement,
    among_readers,
    collective_insight,
    doubtful_region,
    ged,
    image_uncertainty,
    matched_iou,
    mean_probability,
    mutual_information,
    one_hot,
    predictive_entropy,
    review_rank,
)


def disc(radius: float, *, size: int = 32) -> np.ndarray:
    rows, columns = np.indices((size, size)) - size / 2
    return (rows**2 + columns**2 < radius**2).astype(np.int64)


READERS = np.stack([disc(radius) for radius in (4, 6, 8, 10)])


def test_entropy_is_zero_when_certain_and_one_when_uniform() -> None:
    uniform = np.full((5, 2, 2), 0.2)
    np.testing.assert_allclose(predictive_entropy(uniform), 1.0)
    np.testing.assert_array_equal(predictive_entropy(one_hot(disc(5)[None], classes=3)[0]), 0.0)


def test_members_that_contradict_each_other_are_all_mutual_information() -> None:
    members = one_hot(np.array([[0], [1]]), classes=2)
    np.testing.assert_allclose(mean_probability(members), [[0.5], [0.5]])
    np.testing.assert_allclose(mutual_information(members), 1.0)


def test_members_that_agree_on_doubt_have_entropy_but_no_mutual_information() -> None:
    members = np.full((4, 2, 3, 3), 0.5)
    np.testing.assert_allclose(mutual_information(members), 0.0, atol=1e-12)
    np.testing.assert_allclose(predictive_entropy(mean_probability(members)), 1.0)


def test_mutual_information_lies_between_zero_and_the_entropy() -> None:
    members = np.random.default_rng(0).dirichlet([0.5] * 3, (6, 8, 8)).transpose(0, 3, 1, 2).astype(np.float32)
    information, entropy = mutual_information(members), predictive_entropy(mean_probability(members))
    assert (information >= 0).all() and (information <= entropy).all() and (entropy <= 1 + 1e-9).all()


def test_agreement() -> None:
    same = np.stack([disc(6)] * 3)
    assert agreement(same, classes=2) == 1.0
    a, b = disc(4).sum(), disc(8).sum()
    assert agreement(np.stack([disc(4), disc(8)]), classes=2) == pytest.approx(2 * a / (a + b))
    one_differs = np.stack([disc(4), disc(4), disc(8)])
    assert agreement(one_differs, classes=2) == pytest.approx((1 + 2 * 2 * a / (a + b)) / 3)
    assert agreement(np.zeros((3, 8, 8), np.int64), classes=2) == agreement(same[:1], classes=2) == 1.0


def test_uncertainty_does_not_measure_the_size_of_the_object() -> None:
    """The same soft edge around discs of two sizes; the mean over the image differs more than twice."""
    rows, columns = np.indices((128, 128)) - 64.0
    distance = np.sqrt(rows**2 + columns**2)
    soft = [np.stack([1 - p, p]) for p in (1 / (1 + np.exp(distance - radius)) for radius in (12, 36))]
    small, large = (predictive_entropy(p).mean() for p in soft)
    assert large > 2 * small
    assert image_uncertainty(soft[0]) > image_uncertainty(soft[1])


def test_a_lesion_that_was_nearly_found_is_uncertain() -> None:
    near = np.where(disc(4), 0.45, 0.001)
    nothing = np.full_like(near, 0.001)
    assert image_uncertainty(np.stack([1 - near, near])) > 0.15
    assert image_uncertainty(np.stack([1 - nothing, nothing])) < 0.02


def test_uncertainty_is_bounded_and_looks_beyond_the_edge() -> None:
    edge = np.where(disc(8) > disc(5), 0.5 - 1e-9, np.where(disc(5), 1.0, 0.0))
    inside_only = image_uncertainty(np.stack([1 - edge, edge]), border=0)
    assert inside_only == 0.0 < image_uncertainty(np.stack([1 - edge, edge]), border=5) < 1.0


def test_review_rank_starts_with_the_most_uncertain() -> None:
    np.testing.assert_array_equal(review_rank(np.array([0.1, 0.9, 0.5, 0.9])), [4, 1, 3, 2])


@pytest.mark.parametrize("count", [4, 16])
def test_ged_of_a_perfect_sampler(count: int) -> None:
    """V = diversity / N, U = 0, in the mean over many draws of the sampler."""
    rng = np.random.default_rng(count)
    draws = [ged(READERS[rng.integers(0, 4, count)], READERS, classes=2) for _ in range(300)]
    floor = draws[0].floor
    error = 4 * np.std([draw.u for draw in draws]) / math.sqrt(len(draws))
    assert np.mean([draw.v for draw in draws]) == pytest.approx(floor, abs=error)
    assert np.mean([draw.u for draw in draws]) == pytest.approx(0, abs=error)
    assert (draws[0].members, draws[0].readers) == (count, 4)


def test_ged_sees_collapse_to_one_reader() -> None:
    collapsed = ged(np.repeat(READERS[1:2], 16, axis=0), READERS, classes=2)
    perfect = ged(np.tile(READERS, (4, 1, 1)), READERS, classes=2)
    assert collapsed.diversity == 0.0
    assert collapsed.v == collapsed.u > 5 * abs(perfect.v)
    assert perfect.v == pytest.approx(0, abs=1e-12)


def test_ged_of_one_member_against_one_reader_is_twice_the_distance() -> None:
    one = ged(READERS[:1], READERS[2:3], classes=2)
    assert one.v == pytest.approx(2 * (1 - READERS[0].sum() / READERS[2].sum()))
    assert math.isnan(one.u) and math.isnan(one.diversity)


def test_readers_and_members_who_see_nothing_are_at_distance_zero() -> None:
    empty = np.zeros((2, 8, 8), np.int64)
    assert ged(empty, empty, classes=3) == (0, 0, 0, 0, 2, 2)
    assert matched_iou(empty, empty, classes=3) == 1.0


def test_matched_iou_is_one_for_the_same_masks_in_any_order_and_proportion() -> None:
    assert matched_iou(READERS[::-1], READERS, classes=2) == 1.0
    assert matched_iou(np.tile(READERS, (3, 1, 1)), READERS, classes=2) == 1.0
    assert matched_iou(READERS[[0, 2]], READERS[[0, 2, 2]], classes=2) < 1.0


def test_matched_iou_matches_one_to_one() -> None:
    """One member near every reader cannot be used twice."""
    members = np.stack([READERS[0], disc(1)])
    iou = disc(1).sum() / READERS[0].sum()
    assert matched_iou(members, np.stack([READERS[0]] * 2), classes=2) == pytest.approx((1 + iou) / 2)


def test_ged_averages_over_foreground_classes() -> None:
    first, second = np.array([[0, 1, 2, 2]]), np.array([[0, 1, 1, 2]])
    assert ged(first, second, classes=3).v == pytest.approx(2 * (1 - (1 / 2 + 1 / 2) / 2))


def by_hand(members: np.ndarray, readers: np.ndarray) -> tuple[float, float, float, float]:
    """The collective insight from its definition, pixel by pixel."""

    def dice(a: np.ndarray, b: np.ndarray) -> float:
        return 2 * (a & b).sum() / (a.sum() + b.sum())

    def spread(masks: np.ndarray) -> tuple[float, float]:
        every = [np.var(a.astype(float) - b) for a in masks for b in masks]
        return min(every), max(every)

    s, y = members.astype(bool), readers.astype(bool)
    sensitivity = (s.any(axis=0) & y.any(axis=0)).sum() / y.any(axis=0).sum()
    d_max = float(np.mean([max(dice(a, b) for a in s) for b in y]))
    d_a = 1 - sum(abs(a - b) for a, b in zip(spread(members), spread(readers), strict=True)) / 2
    return sensitivity, d_max, d_a, 3 * sensitivity * d_max * d_a / (sensitivity + d_max + d_a)


def test_the_collective_insight_is_its_definition() -> None:
    members = np.stack([disc(radius) for radius in (3, 5, 9)])
    found = collective_insight(members, READERS, classes=2)
    assert found == pytest.approx(by_hand(members, READERS))
    where = members.any(axis=0) | READERS.any(axis=0)
    cut = collective_insight(members[:, where], READERS[:, where], classes=2, pixels=where.size)
    assert cut == pytest.approx(found), "pixels that are background in every mask count in the variance alone"


def test_the_diversity_agreement_degenerates() -> None:
    """One mask four times, where the readers differ: hardly less than 1, since the object is small."""
    same = np.stack([disc(6)] * 4)
    assert collective_insight(same, READERS, classes=2).d_a > 0.88
    assert ged(same, READERS, classes=2).u > 0.1


def test_nothing_anywhere_is_agreement() -> None:
    nothing = np.zeros((3, 8, 8), np.int64)
    assert collective_insight(nothing, nothing[:2], classes=2) == pytest.approx((1, 1, 1, 1))


def test_readers_are_models_of_each_other() -> None:
    among = among_readers(READERS, classes=2)
    area = READERS.sum(axis=(1, 2))
    dice = [np.mean([2 * min(a, b) / (a + b) for m, b in enumerate(area) if k != m]) for k, a in enumerate(area)]
    np.testing.assert_allclose(among.dice[:, 0], dice)
    distance = [1 - min(a, b) / max(a, b) for k, a in enumerate(area) for m, b in enumerate(area) if k != m]
    assert among.diversity == pytest.approx(np.mean(distance))
    alone = [ged(READERS[k : k + 1], np.delete(READERS, k, axis=0), classes=2).v for k in range(4)]
    assert among.ged_v == pytest.approx(np.mean(alone))
    iou = [np.mean([min(a, b) / max(a, b) for m, b in enumerate(area) if k != m]) for k, a in enumerate(area)]
    assert among.matched_iou == pytest.approx(np.mean(iou)), "one reader is matched with each of the others"


def test_pairs_are_counted_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    members = np.random.default_rng(0).integers(0, 3, (4, 9, 11, 7))
    whole = agreement(members, classes=3), ged(members, members[:2], classes=3)
    monkeypatch.setattr(slabs, "PIXELS_TOGETHER", 100)
    assert (agreement(members, classes=3), ged(members, members[:2], classes=3)) == whole


def test_a_region_is_where_another_class_is_likelier_than_the_background() -> None:
    random = np.random.default_rng(1)
    probability = random.dirichlet([2, 1, 1], (6, 20, 20)).transpose(3, 0, 1, 2)
    probability[:, :, 10:] = [[[[0.5]]], [[[0.5]]], [[[0.0]]]]  # as likely as the background is none
    expected = calibration_band(probability.argmax(0) > 0, width=1)
    assert np.array_equal(doubtful_region(probability, border=1), expected)
