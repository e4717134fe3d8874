"""What is done to the masks that `segment` writes: nothing, or what the validation split chose, measured once."""

from pathlib import Path
from typing import Any, Literal, NamedTuple

from sfumato.evaluation.postprocess import ChosenRepair, Postprocessing, measure_postprocessing
from sfumato.evaluation.validation_cases import keep_if_possible, validation_cases
from sfumato.experiment.mask_sampling import MaskDrawing
from sfumato.experiment.run import Model, keep_postprocess
from sfumato.progress import say
from sfumato.wording import counted

Postprocess = Literal["auto", "none"]
"""Whether masks are repaired as validation chose, or stay as drawn."""


class PostprocessChoice(NamedTuple):
    """What is done to masks.

    Attributes:
        postprocessing: the repairs, of which there may be none; None where nobody could choose.
        words: the repairs in words; empty where there are none.
        why: why these.
    """

    postprocessing: Postprocessing | None
    words: str
    why: str

    def summary(self) -> dict[str, Any]:
        """For the summary of the predictions."""
        known = self.postprocessing
        measured = {} if known is None else known.to_dict()
        steps, cases = measured.get("chosen", []), measured.get("cases")
        validation = {} if cases is None else {"validation_cases": cases}
        return {"postprocess": {"steps": steps, **validation, "why": self.why}}


def choose_postprocessing(
    model: Model, path: Path, draw: MaskDrawing, *, guide: str | None, dry_run: bool
) -> PostprocessChoice:
    """What validation chose for the model and this way of drawing, told in a line; measured where nobody has.

    It is kept in RUN/measured.json, so that it is measured once for each way.

    Args:
        model: the model.
        path: where it was loaded from.
        draw: how masks are drawn.
        guide: which weaker model guides, in the words of the person.
        dry_run: do not measure.
    """
    way, names = draw.way(guide), model.spec.mask_classes
    known = (model.postprocess or {}).get(way)
    if known is not None:
        return _told(path, Postprocessing.from_dict(known), names)
    cases = validation_cases(path, purpose="to choose post-processing by")
    if isinstance(cases, str):
        return _as_drawn(path, cases)
    if dry_run:
        return PostprocessChoice(None, "", "not measured yet")
    say(f"{path}: measuring once which post-processing helps, on {counted(len(cases.rows), 'validation case')}")
    found = measure_postprocessing(model, cases.dataset, cases.rows, drawing=draw)
    keep_if_possible(lambda: keep_postprocess(path, model.sha256, way, found.to_dict()))
    return _told(path, found, names)


def _told(path: Path, found: Postprocessing, names: tuple[str, ...]) -> PostprocessChoice:
    cases = counted(found.cases, "validation case")
    if not found.chosen:
        why = f"no post-processing raises the Dice of {cases} enough"
        return _as_drawn(path, why)._replace(postprocessing=found)
    effects = "; ".join(f"{each.repair.words(names)} ({_effect(each)})" for each in found.chosen)
    why = f"chosen on {cases}: {effects}"
    say(f"{path}: masks are post-processed as {why}")
    return PostprocessChoice(found, found.words(names), why)


def _effect(each: ChosenRepair) -> str:
    return f"Dice {each.gain:+.3f}, {each.higher} higher, {each.lower} lower"


def _as_drawn(path: Path, why: str) -> PostprocessChoice:
    say(f"{path}: {why}: masks stay as drawn")
    return PostprocessChoice(None, "", why)
