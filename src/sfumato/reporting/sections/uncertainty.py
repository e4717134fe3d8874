"""What the uncertainty of a model is good for: the error that review finds, risk against coverage, reliability."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from sfumato.metrics.selective import error_found, risk_coverage
from sfumato.reporting.content import Block, Gallery, Image, Table
from sfumato.reporting.diagram import Course, diagram
from sfumato.reporting.meaning import heading
from sfumato.reporting.reading import DASH, plotted, spared_part
from sfumato.reporting.sections.comparison import RANK_COLUMN, Arms, case_values
from sfumato.tables import Row

_SHARES = tuple(np.linspace(0, 1, 41).tolist())
"""Where the curve of found error is drawn."""


@spared_part
def review(arms: Arms, summary: Mapping[str, Any]) -> tuple[Block, ...]:
    """Curves of the order of review, and how much of the error its first cases hold; nothing without an order."""
    orders = [_order(arm, rows) for arm, rows in arms.items()]
    orders = [order for order in orders if order.matters]
    if not orders:
        return ()
    found, kept = _found_by_review(orders), _risk_of_the_kept(orders)
    pictures = (
        _picture("Error found by review", found, across="share of the cases reviewed", up="share of the error found"),
        _picture("Risk and coverage", kept, across="share of the cases kept, surest first", up="mean 1 - Dice of them"),
    )
    caption = "Left: reviewing in the order of review finds errors sooner the more the line rises above the diagonal."
    return (*_table(summary), Gallery(title="Which cases to review", pictures=pictures, size="wide", caption=caption))


@spared_part
def reliability_blocks(summary: Mapping[str, Any]) -> tuple[Block, ...]:
    """Confidence against accuracy around the object; nothing without probabilities."""
    courses = list[Course]()
    for arm, about in summary.get("arms", {}).items():
        course = _course(arm, about["reliability"]["band"]) if about.get("reliability") else None
        if course is not None and len(course.across):
            courses.append(course)
    if not courses:
        return ()
    line = np.array([0.0, 1.0])
    courses.append(Course("calibrated", line, line, dashed=True))
    shown = _picture("Reliability around the object", courses, across="confidence", up="share that is right")
    caption = "Below the diagonal the model is surer than it is right. Pixels of all cases and readers together."
    return (Gallery(title="Do the probabilities mean what they say?", pictures=(shown,), size="wide", caption=caption),)


@dataclass(frozen=True)
class _Order:
    """The order in which the cases of a model are reviewed.

    Attributes:
        arm: the model.
        urgency: minus the place of each case in the order.
        error: 1 - Dice of each case.
    """

    arm: str
    urgency: np.ndarray
    error: np.ndarray

    @property
    def matters(self) -> bool:
        """Whether there is an error that one order finds sooner than another."""
        return len(self.error) > 1 and bool(self.error.sum() > 0)


def _order(arm: str, rows: Sequence[Row]) -> _Order:
    place, dice = case_values(rows, RANK_COLUMN), case_values(rows, "dice")
    cases = [case for case in place if case in dice]
    return _Order(arm, -np.array([place[case] for case in cases]), np.array([1.0 - dice[case] for case in cases]))


def _found_by_review(orders: Sequence[_Order]) -> list[Course]:
    """The share of the error in the first cases, of the first model also in the best order and in a random one."""
    shares = np.array(_SHARES)
    courses = [Course(order.arm, shares, _found(order.urgency, order.error)) for order in orders]
    best = _found(orders[0].error, orders[0].error)
    courses.append(Course("best possible", shares, best, dashed=True))
    courses.append(Course("random", shares, shares, dashed=True))
    return courses


def _found(urgency: np.ndarray, error: np.ndarray) -> np.ndarray:
    return np.array(list(error_found(urgency, error, _SHARES).values()))


def _risk_of_the_kept(orders: Sequence[_Order]) -> list[Course]:
    """The mean error of the cases that are not reviewed, of the first model also in the best order."""
    courses = list[Course]()
    for order in orders:
        kept = risk_coverage(order.urgency, order.error)
        courses.append(Course(order.arm, kept.coverage, kept.risk))
    best = risk_coverage(orders[0].error, orders[0].error)
    courses.append(Course("best possible", best.coverage, best.risk, dashed=True))
    return courses


def _table(summary: Mapping[str, Any]) -> tuple[Table, ...]:
    rows = list[tuple[str, ...]]()
    for arm, about in summary.get("arms", {}).items():
        told = about.get("review")
        if told and told.get("cases", 2) > 1 and None not in told["found"].values():
            rows += _rows_of_orders(arm, told)
    if not rows:
        return ()
    columns = ("order of review", "first 10 %", "first 20 %", "first 30 %", *map(heading, ("aurc", "spearman")))
    caption = (
        "Share of the total error (1 - Dice) in the first cases of the order, with its 95 % interval. AURC: mean error "
        "of the cases kept, over all coverages; lower is better. Spearman: of the order with the error."
    )
    return (Table(title="Error found by review", columns=columns, rows=tuple(rows), caption=caption),)


def _rows_of_orders(arm: str, told: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """What the order of a model finds, what the best one would, and what a random one."""
    found = [_share(value, told["found_interval"][share]) for share, value in told["found"].items()]
    best = [_share(value) for value in told["found_best"].values()]
    random = [_share(value) for value in told["found_random"].values()]
    return [
        (arm, *found, _three(told["aurc"]), _three(told["spearman"])),
        (f"{arm}: best possible order", *best, _three(told["aurc_oracle"]), DASH),
        *(_row_of_another(arm, *other) for other in told.get("other_orders", {}).items()),
        (f"{arm}: random order", *random, _three(told["aurc_random"]), DASH),
    ]


def _row_of_another(arm: str, name: str, order: Mapping[str, Any]) -> tuple[str, ...]:
    """What another order does with the errors of a model: that of uncertainty, or of its twin."""
    found = [_share(value) for value in order["found"].values()]
    return (f"{arm}: order of {name}", *found, _three(order["aurc"]), _three(order["spearman"]))


def _course(arm: str, bins: Mapping[str, Sequence[float]]) -> Course:
    pixels, confidence, correct = (np.array(bins[name]) for name in ("pixels", "confidence", "correct"))
    filled = pixels > 0
    return Course(arm, confidence[filled] / pixels[filled], correct[filled] / pixels[filled])


def _picture(title: str, courses: Sequence[Course], *, across: str, up: str) -> Image:
    return plotted(partial(diagram, title, courses, across=across, up=up), title=title)


def _share(value: float | None, interval: Sequence[float | None] = ()) -> str:
    if value is None:
        return DASH
    if not interval or None in interval:
        return f"{value:.0%}"
    low, high = interval
    return f"{value:.0%} [{low:.0%}, {high:.0%}]"


def _three(value: float | None) -> str:
    return DASH if value is None else f"{value:.3f}"
