"""Predictions and references brought together and scored, case by case, in as many processes as there is work for."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sfumato.data.crew import Crew, processors
from sfumato.data.formats.dicom.file import is_dicom
from sfumato.data.formats.scan import is_volume, read_header
from sfumato.errors import DataError, UsageError, raise_together
from sfumato.evaluation.masks.coding import Coding, decide_coding
from sfumato.evaluation.masks.predictions import Missing, Predictions, is_of_segment, model_name, read_predictions
from sfumato.evaluation.masks.references import References, read_references, values_of
from sfumato.evaluation.masks.scoring import CaseScores, Manner, ScoringItem, UnitScores, score_unit
from sfumato.experiment.run import TWIN
from sfumato.files import matching_below
from sfumato.metrics.ensemble import Among
from sfumato.metrics.masks import METRICS, Empty

_MILLIMETRES, _PIXELS = 2.0, 1.0
"""Tolerance of the NSD where none is given."""

WORTH = 200
"""Pictures for which another process is worth its start: that takes seconds, a picture some hundredths of one."""

_PICTURE = 256 * 256
"""Voxels of a volume that cost as much as a picture."""


@dataclass(frozen=True, kw_only=True)
class ScoringSettings:
    """What a person says about the scoring.

    Attributes:
        metrics: the scores wanted; Dice is always among them.
        tolerance: of the NSD, in mm or pixels; None takes 2 mm, or 1 pixel where millimetres are not known.
        empty: what counts where a mask is empty.
        missing: what to do about cases without a prediction.
        workers: processes; None takes all processors where there is work for them.
    """

    metrics: tuple[str, ...] = METRICS
    tolerance: float | None = None
    empty: Empty = "one"
    missing: Missing = "refuse"
    workers: int | None = None


class ScoredModel(NamedTuple):
    """A model: its predictions and their scores by case."""

    predictions: Predictions
    cases: Mapping[str, CaseScores]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Everything that was measured.

    Attributes:
        truth: the references.
        manner: how it was scored.
        arms: the models, the one that was asked for first; all have the same cases.
        readers: the readers among themselves, by case; empty with one reader.
        length: unit of distances, "mm" or "px".
        notes: what a person should know.
    """

    truth: References
    manner: Manner
    arms: tuple[ScoredModel, ...]
    readers: Mapping[str, Among]
    length: str
    notes: tuple[str, ...]

    @property
    def cases(self) -> tuple[str, ...]:
        """The ids of what was scored."""
        return tuple(self.arms[0].cases)


def evaluate_folder(
    folder: Path,
    reference: Path,
    *,
    against: Sequence[Path] = (),
    settings: ScoringSettings,
    progress: Callable[[int, int], None],
) -> Evaluation:
    """Score a folder of predictions, its deterministic twin if it has one, and others on the same cases.

    Args:
        folder: predictions, see `sfumato.evaluation.masks.predictions`.
        reference: true masks, see `sfumato.evaluation.masks.references`.
        against: further folders of predictions.
        settings: what is wanted.
        progress: told how many cases are done, and of how many.

    Raises:
        DataError: files that do not belong together, lie on other grids, or hold no classes (all are listed).
    """
    with Crew(_processes(folder, settings.workers)) as crew:
        truth = read_references(reference, crew)
        arms = _arms(folder, truth, against, settings.missing)
        codings = [_coding(arm, truth, crew) for arm in arms]
        cases = [case for case in arms[0].files if all(case in arm.files for arm in arms)]
        spacings, length = _spacings(truth, cases)
        manner = Manner(
            rule=truth.meaning.rule,
            rules=tuple(coding.rule for coding in codings),
            targets=truth.targets,
            regions=bool(truth.meaning.regions),
            metrics=tuple(dict.fromkeys(("dice", *settings.metrics))),
            tolerance=settings.tolerance or (_MILLIMETRES if length == "mm" else _PIXELS),
            empty=settings.empty,
        )
        pieces = [
            ScoringItem(truth.units[case], spacings[case], tuple(arm.files[case] for arm in arms)) for case in cases
        ]
        scores = _scored(manner, pieces, crew, progress)
    notes = [*truth.notes, *(note for arm in arms for note in arm.notes), *(coding.note for coding in codings)]
    return Evaluation(
        truth=truth,
        manner=manner,
        length=length,
        notes=tuple(filter(None, notes)),
        arms=tuple(ScoredModel(arm, {case: scores[case].arms[k] for case in cases}) for k, arm in enumerate(arms)),
        readers={case: among for case in cases if (among := scores[case].readers) is not None},
    )


def _processes(folder: Path, workers: int | None) -> int:
    """As many as were asked for, or as there is work for."""
    if workers is not None:
        return workers
    masks = folder / "masks" if (folder / "masks").is_dir() else folder
    return max(1, min(processors(), sum(map(_pictures, matching_below(masks, "*"))) // WORTH))


def _pictures(file: Path) -> int:
    """How many pictures a file costs; one that cannot be read is told of where it is."""
    try:
        return math.prod(read_header(file).shape) // _PICTURE if is_volume(file) else 1
    except DataError:
        return 1


def _arms(folder: Path, truth: References, against: Sequence[Path], missing: Missing) -> list[Predictions]:
    """All models; the first decides which cases are scored."""
    first = read_predictions(folder, truth, name=model_name(folder), missing=missing)
    others = (
        {model_name(folder / TWIN): folder / TWIN} if is_of_segment(folder) and is_of_segment(folder / TWIN) else {}
    )
    for other in against:
        name = other.resolve().name
        if name in {first.name, *others}:
            name = f"{other.resolve().parent.name}/{name}"
        if name in {first.name, *others}:
            raise UsageError(f"--against {other} is given twice", expected="folders of other predictions")
        others[name] = other
    among = list(first.files)
    rest = (read_predictions(at, truth, name=name, missing=missing, among=among) for name, at in others.items())
    return [first, *rest]


def _coding(arm: Predictions, truth: References, crew: Crew) -> Coding:
    """What the values of a model's masks mean; DICOM segmentations number their classes themselves."""
    files = [of.mask for of in arm.files.values() if of.mask and not is_dicom(Path(of.mask))]
    return decide_coding(values_of(files, crew), truth.meaning.rule, name=arm.name)


def _spacings(truth: References, cases: Sequence[str]) -> tuple[dict[str, tuple[float, ...] | None], str]:
    """Millimetres of every case, where all of them are known: a mean over millimetres and pixels means nothing."""
    known = {case: truth.spacing(truth.units[case]) for case in cases}
    if all(steps is not None for steps in known.values()):
        return known, "mm"
    return dict.fromkeys(cases), "px"


def _scored(
    manner: Manner, pieces: Sequence[ScoringItem], crew: Crew, progress: Callable[[int, int], None]
) -> dict[str, UnitScores]:
    """The scores of every case, or all faults together."""
    scores, problems = dict[str, UnitScores](), list[DataError]()
    for done, (piece, scored) in enumerate(crew.each(score_unit, manner, pieces), start=1):
        if isinstance(scored, DataError):
            problems.append(scored)
        else:
            scores[piece.unit.id] = scored
        progress(done, len(pieces))
    raise_together(problems)
    return scores
