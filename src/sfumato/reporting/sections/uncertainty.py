"""What the uncertainty of a model is good for: the error that review finds, risk against coverage, reliability."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sfumato.metrics.selective import error_found, risk_coverage
from sfumato.reporting.content import Block, Gallery, Image, Table
from sfumato.reporting.diagram import Course, diagram
from sfumato.reporting.figures import INK, LIGHT_INK
from sfumato.reporting.meaning import heading
from sfumato.reporting.reading import DASH, address, spared_part
from sfumato.reporting.sections.comparison import RANK_COLUMN, Arms, case_values
from sfumato.tables import Row

_SHARES = tuple(np.linspace(0, 1, 41).tolist())
"""Where the curve of found error is drawn."""


@spared_part
def review(arms: Arms, summary: Mapping[str, Any]) -> tuple[Block, ...]:
    """Curves of the order of review, and how much of the error its first cases hold; nothing without an order."""
    ordered = {arm: _ordered(rows) for arm, rows in arms.items()}
    ordered = {arm: pair for arm, pair in ordered.items() if len(pair[0]) > 1 and pair[1].sum() > 0}
    if not ordered:
        return ()
    _, error = next(iter(ordered.values()))
    shares = np.array(_SHARES)
    found = [Course(arm, shares, _found(-of[0], of[1])) for arm, of in ordered.items()]
    found.append(Course("best possible", shares, _found(error, error), dashed=True))
    found.append(Course("random", shares, shares, dashed=True))
    risks = {arm: risk_coverage(-of[0], of[1]) for arm, of in ordered.items()}
    oracle = risk_coverage(error, error)
    kept = [Course(arm, risk.coverage, risk.risk) for arm, risk in risks.items()]
    kept += [Course("best possible", oracle.coverage, oracle.risk, dashed=True)]
    pictures = (
        _picture("Error found by review", found, across="share of the cases reviewed", up="share of the error found"),
        _picture("Risk and coverage", kept, across="share of the cases kept, surest first", up="mean 1 - Dice of them"),
    )
    caption = "Left: reviewing in the order of review finds errors sooner the more the line rises above the diagonal."
    return (*_table(summary), Gallery(title="Which cases to review", pictures=pictures, size="wide", caption=caption))


@spared_part
def reliability_blocks(summary: Mapping[str, Any]) -> tuple[Block, ...]:
    """Confidence against accuracy around the object; nothing without probabilities."""
    bins = {arm: of["reliability"]["band"] for arm, of in summary.get("arms", {}).items() if of.get("reliability")}
    courses = [_course(arm, of) for arm, of in bins.items()]
    courses = [course for course in courses if len(course.across)]
    if not courses:
        return ()
    line = np.array([0.0, 1.0])
    courses.append(Course("calibrated", line, line, dashed=True))
    shown = _picture("Reliability around the object", courses, across="confidence", up="share that is right")
    caption = "Below the diagonal the model is surer than it is right. Pixels of all cases and readers together."
    return (Gallery(title="Do the probabilities mean what they say?", pictures=(shown,), size="wide", caption=caption),)


def _ordered(rows: Sequence[Row]) -> tuple[np.ndarray, np.ndarray]:
    """Place in the order of review and error 1 - Dice of each case."""
    place, dice = case_values(rows, RANK_COLUMN), case_values(rows, "dice")
    cases = [case for case in place if case in dice]
    return np.array([place[case] for case in cases]), np.array([1.0 - dice[case] for case in cases])


def _found(score: np.ndarray, error: np.ndarray) -> np.ndarray:
    return np.array(list(error_found(score, error, _SHARES).values()))


def _table(summary: Mapping[str, Any]) -> tuple[Table, ...]:
    rows = []
    for arm, of in summary.get("arms", {}).items():
        told = of.get("review")
        if told and told.get("cases", 2) > 1 and None not in told["found"].values():
            cells = (_share(told["found"][share], told["found_interval"][share]) for share in told["found"])
            rows.append((arm, *cells, _three(told["aurc"]), _three(told["spearman"])))
            best = (_share(value) for value in told["found_best"].values())
            rows.append((f"{arm}: best possible order", *best, _three(told["aurc_oracle"]), DASH))
            chance = (_share(value) for value in told["found_random"].values())
            rows.append((f"{arm}: random order", *chance, _three(told["aurc_random"]), DASH))
    if not rows:
        return ()
    columns = ("order of review", "first 10 %", "first 20 %", "first 30 %", *map(heading, ("aurc", "spearman")))
    caption = (
        "Share of the total error (1 - Dice) in the first cases of the order, with its 95 % interval. AURC: mean error "
        "of the cases kept, over all coverages; lower is better. Spearman: of the order with the error."
    )
    return (Table(title="Error found by review", columns=columns, rows=tuple(rows), caption=caption),)


def _course(arm: str, bins: Mapping[str, Sequence[float]]) -> Course:
    pixels, confidence, correct = (np.array(bins[name]) for name in ("pixels", "confidence", "correct"))
    filled = pixels > 0
    return Course(arm, confidence[filled] / pixels[filled], correct[filled] / pixels[filled])


def _picture(title: str, courses: Sequence[Course], *, across: str, up: str) -> Image:
    light, dark = (address(diagram(title, courses, across=across, up=up, ink=ink)) for ink in (INK, LIGHT_INK))
    return Image(light=light, dark=dark, caption="", title=title, width=810, height=495)


def _share(value: float | None, interval: Sequence[float | None] = ()) -> str:
    if value is None:
        return DASH
    return f"{value:.0%}" + (f" [{interval[0]:.0%}, {interval[1]:.0%}]" if interval and None not in interval else "")


def _three(value: float | None) -> str:
    return DASH if value is None else f"{value:.3f}"
