"""Which checkpoints of a run are the best: by the metric that decides, and by the other number that was measured.

    checkpoints/best         by the metric, such as dice; its weights are the run's
    checkpoints/best-loss    by the other one, of which less is better, such as the loss on held-out cases

Both are text files that name a checkpoint, which is never pruned. What is known of both, `best` below, is plain JSON in
every checkpoint, so a resumed run judges as one that never stopped.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sfumato.errors import ModelError
from sfumato.files import matching
from sfumato.plain import in_form, read_object
from sfumato.training.checkpoint import STATE, marked

_BEST = "best"


class Other(NamedTuple):
    """A number beside the metric that decides.

    Attributes:
        name: in words, and behind `best-`.
        key: in the scores of a validation, where it may be missing.
    """

    name: str
    key: str


def note_validation(best: dict[str, Any], scores: Mapping[str, float], *, metric: str, other: Other, step: int) -> bool:
    """Note a validation; whether the weights of this step are the best by either number.

    Args:
        best: what is known, changed in place; what is known by another metric is forgotten.
        scores: of the validation; more of `score` is better. What is not a number is no score.
        metric: what `score` is.
        other: the other number.
        step: training steps done.
    """
    if best.get("metric", metric) != metric:
        best.clear()
    better = _exceeds(scores["score"], best.get("score"))
    best["stalled"] = 0 if better else best.get("stalled", 0) + 1
    if better:
        best |= {"metric": metric, "score": scores["score"], "step": step}
    before = best.get("other", {})
    value = scores.get(other.key, math.nan)
    lower = _exceeds(-value, None if before.get("metric") != other.name else -before["value"])
    if lower:
        best["other"] = {"metric": other.name, "value": value, "step": step}
    return better or lower


def _exceeds(score: float, known: float | None) -> bool:
    return not math.isnan(score) and (known is None or score > known)


def best_files(best: Mapping[str, Any]) -> dict[str, int]:
    """The files that name the best checkpoints, each with the step of its checkpoint."""
    names = {_BEST: best["step"]} if "step" in best else {}
    other = best.get("other")
    return names if other is None else {**names, f"{_BEST}-{other['metric']}": other["step"]}


def best_words(checkpoint: Path) -> str:
    """What a checkpoint is among those of its run, in words: `best by dice and by loss`; empty for one of many."""
    folder = checkpoint.parent
    named = [file.name for file in matching(folder, f"{_BEST}*") if marked(folder, file.name) == checkpoint]
    by = [name.removeprefix(f"{_BEST}-") for name in named if name != _BEST]
    if _BEST in named:
        by.insert(0, _metric(checkpoint / STATE))
    return f"best {' and '.join(f'by {name}' for name in by)}" if by else ""


def _metric(file: Path) -> str:
    """By what a checkpoint is the best of its run.

    Raises:
        ModelError: its state does not say it as sfumato does.
    """

    def fault(finding: str) -> ModelError:
        return ModelError(f"{file} {finding}", expected="the state of a run that sfumato trained")

    with in_form(fault):
        return str(read_object(file, fault)["best"].get("metric", "the metric of the run"))
