"""By what cases are ordered for review: the error to expect of them, measured once on the validation split."""

from pathlib import Path
from typing import Any, NamedTuple

from sfumato.evaluation.review import ErrorRegression, measure_review
from sfumato.evaluation.validation_cases import keep_if_possible, validation_cases
from sfumato.experiment.mask_sampling import MaskDrawing
from sfumato.experiment.run import Model, keep_review
from sfumato.progress import say
from sfumato.wording import counted


class ReviewOrder(NamedTuple):
    """What the order of cases rests on.

    Attributes:
        calibration: what error to expect; None for the order of plain uncertainty.
        why: in words.
    """

    calibration: ErrorRegression | None
    why: str

    @property
    def by(self) -> str:
        """The column of the manifest that the order follows."""
        return "uncertainty" if self.calibration is None else "expected_error"

    @property
    def means_something(self) -> bool:
        """Whether cases are worth an order: not those of a model that is known to be no better than a constant mask."""
        return self.calibration is None or self.calibration.constant.get("verdict") != "no better"

    def summary(self) -> dict[str, Any]:
        """For the summary of the predictions."""
        known = self.calibration
        measured: dict[str, Any] = {}
        if known is not None:
            measured = {"validation_cases": known.cases, "spearman": known.spearman}
            measured |= {"filled_by": known.filled_by, "empty_by": known.empty_by}
            measured |= {"constant_mask": dict(known.constant)} if known.constant else {}
        return {"review": {"by": self.by, **measured, "why": self.why}}


def order_review(model: Model, path: Path, draw: MaskDrawing, *, guide: str | None, dry_run: bool) -> ReviewOrder:
    """The calibration that is known of the model for this way of drawing; a run without one is measured.

    It is kept in RUN/measured.json, so that it is measured once for each way.

    Args:
        model: the model.
        path: where it was loaded from.
        draw: how masks are drawn.
        guide: which weaker model guides, in the words of the person.
        dry_run: do not measure.
    """
    way = draw.way(guide)
    known = (model.review or {}).get(way)
    if known is not None:
        return _settled(ErrorRegression.from_dict(known))
    found = validation_cases(path, purpose="to expect an error by")
    if isinstance(found, str):
        return _fallen_back(path, f"{found}: cases are ordered by uncertainty")
    if dry_run:
        return ReviewOrder(None, "not measured yet")
    say(f"{path}: measuring once what error to expect, on {counted(len(found.rows), 'validation case')}")
    calibration = measure_review(
        model,
        found.dataset,
        draw.each.sampler,
        found.rows,
        members=draw.count,
        batch=draw.batch,
        start=draw.start,
        tta=draw.tta,
        guidance=draw.each.guidance,
    )
    keep_if_possible(lambda: keep_review(path, model.sha256, way, calibration.to_dict()))
    return _settled(calibration)


def _settled(calibration: ErrorRegression) -> ReviewOrder:
    agrees = "which are all equal" if calibration.spearman is None else f"rank correlation {calibration.spearman:.2f}"
    if calibration.spearman is not None and calibration.spearman <= 0:
        agrees += ", which is that of no order"
    review = ReviewOrder(calibration, f"error expected by {calibration.cases} validation cases, {agrees}")
    if not review.means_something:
        review = review._replace(why=f"{calibration.constant['told']}: its masks and their order mean nothing")
        say(f"warning: {review.why}")
    return review


def _fallen_back(path: Path, why: str) -> ReviewOrder:
    say(f"{path}: {why}")
    return ReviewOrder(None, why)
