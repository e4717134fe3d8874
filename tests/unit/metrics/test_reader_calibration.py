"""Coverage of the readers' sizes and calibration of presence: exact by enumeration, with ties and empty masks."""

import math
from itertools import product

import numpy as np
import pytest

from sfumato.metrics.reader_calibration import (
    COVERAGE_LEVELS,
    exact_coverage,
    exact_presence_brier,
    presence_bins,
    presence_brier,
    presence_ece,
    reader_coverage,
)
from sfumato.metrics.table import METRIC_TABLE

SIZES = (0, 0, 5, 5, 9)
"""Equally likely volumes of a planted population: many tie, and two of five masks are empty."""


@pytest.mark.parametrize("level", COVERAGE_LEVELS)
@pytest.mark.parametrize(("members", "readers"), [(2, 1), (3, 1), (3, 2), (4, 1), (7, 1)])
def test_an_exact_sampler_covers_what_is_said_of_it(members: int, readers: int, level: int) -> None:
    """Over all draws of members and readers from one population, ties and empty masks with them."""
    population = sorted(set(SIZES))
    total, weight = 0.0, 0.0
    for drawn in product(population, repeat=members + readers):
        likely = math.prod(SIZES.count(each) / len(SIZES) for each in drawn)
        covered = reader_coverage(np.array(drawn[:members]), np.array(drawn[members:]), level=level)
        if math.isfinite(covered):
            total, weight = total + likely * covered, weight + likely
    assert weight < 1
    assert total / weight == pytest.approx(exact_coverage(members, level=level))


@pytest.mark.parametrize(("level", "enough"), [(50, 3), (80, 9), (95, 39)])
def test_few_members_cannot_reach_the_level(level: int, enough: int) -> None:
    assert exact_coverage(enough - 1, level=level) < level / 100
    for members in range(enough, 200):
        assert level / 100 <= exact_coverage(members, level=level) < level / 100 + 2 / (members + 1) - 1e-12


def test_what_sixteen_members_reach() -> None:
    assert [round(exact_coverage(16, level=level), 3) for level in COVERAGE_LEVELS] == [0.529, 0.882, 0.882]


def test_coverage_of_distinct_sizes_counts_those_within() -> None:
    """Ten members of 10, 20, ..., 100: k = 2 at 50 %, from 20 to 90."""
    members = np.arange(10, 101, 10)
    assert reader_coverage(members, np.array([5, 15, 21, 89, 95]), level=50) == pytest.approx(2 / 5)
    assert reader_coverage(members, np.array([5, 15, 21, 89, 95]), level=80) == pytest.approx(4 / 5)


def test_members_of_one_size_cover_no_other() -> None:
    assert reader_coverage(np.full(16, 40), np.array([20, 39, 41, 90]), level=95) == 0


def test_coverage_is_not_defined_without_a_spread_or_an_object() -> None:
    assert math.isnan(reader_coverage(np.array([4]), np.array([4, 4]), level=80))
    assert math.isnan(exact_coverage(1, level=80))
    nothing = np.zeros(4, np.int64)
    assert math.isnan(reader_coverage(nothing, nothing, level=80))
    assert reader_coverage(nothing, np.array([0, 7]), level=80) == pytest.approx(exact_coverage(4, level=80) / 2)


@pytest.mark.parametrize("readers", [(0, 0, 0, 1), (1, 1, 1, 1), (0, 1)])
def test_brier_of_presence_is_its_definition(readers: tuple[int, ...]) -> None:
    by_reader = np.mean([(0.3 - each) ** 2 for each in readers])
    assert presence_brier(0.3, float(np.mean(readers))) == pytest.approx(by_reader)


@pytest.mark.parametrize("members", [1, 2, 3])
def test_drawing_from_the_readers_has_the_exact_brier(members: int) -> None:
    readers = (0, 0, 1, 1, 1)
    drawn = [np.mean(draw) for draw in product(readers, repeat=members)]
    mean = np.mean([presence_brier(float(p), np.mean(readers).item()) for p in drawn])
    assert mean == pytest.approx(exact_presence_brier(np.mean(readers).item(), members=members))


def test_a_probability_that_is_no_share_has_the_readers_disagreement_alone() -> None:
    assert exact_presence_brier(0.25, members=None) == presence_brier(0.25, 0.25) == 0.25 * 0.75


def test_presence_by_bins() -> None:
    probability, readers = np.array([0.0, 0.1, 0.5, 1.0]), np.array([0.25, 0.25, 0.5, 0.75])
    bins = presence_bins(probability, readers)
    assert bins.images.tolist() == [2, 0, 1, 0, 1]
    np.testing.assert_allclose(bins.probability, [0.05, np.nan, 0.5, np.nan, 1])
    np.testing.assert_allclose(bins.readers, [0.25, np.nan, 0.5, np.nan, 0.75])
    assert presence_ece(bins) == pytest.approx((2 * 0.2 + 0 + 0.25) / 4)
    assert math.isnan(presence_ece(presence_bins(np.array([]), np.array([]))))


def test_the_table_has_every_level() -> None:
    known = {name for name in METRIC_TABLE if name.startswith("reader_coverage_")}
    assert known == {f"reader_coverage_{level}{end}" for level in COVERAGE_LEVELS for end in ("", "_exact")}
