"""Predictions and references brought together and scored, case by case, in as many processes as there is work for."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sfumato.data.formats.dicom.file import is_dicom
from sfumato.data.formats.scan import is_volume, read_header
from sfumato.data.worker_pool import WorkerPool, processors
from sfumato.errors import DataError, UsageError, raise_together
from sfumato.evaluation.masks.label_encoding import LabelEncoding, decide_coding
from sfumato.evaluation.masks.predictions import Missing, Predictions, is_of_segment, model_name, read_predictions
from sfumato.evaluation.masks.references import References, read_references, values_of
from sfumato.evaluation.masks.scoring import CaseScores, ScoringItem, ScoringProtocol, UnitScores, score_unit
from sfumato.experiment.run import CONTROLS
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
        class_names: names of the values of the references, as `sfumato.data.source.ReadOptions.class_names`.
    """

    metrics: tuple[str, ...] = METRICS
    tolerance: float | None = None
    empty: Empty = "one"
    missing: Missing = "refuse"
    workers: int | None = None
    class_names: tuple[str, ...] = ()


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
    manner: ScoringProtocol
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
    with WorkerPool(_processes(folder, settings.workers)) as pool:
        truth = read_references(reference, pool, class_names=settings.class_names)
        arms = _arms(folder, truth, against, settings.missing)
        codings = [_coding(arm, truth, pool) for arm in arms]
        cases = _cases_of_all(arms)
        scale = _scale(truth, cases)
        manner = _manner(truth, codings, settings, scale.length)
        scores = _scored(manner, _items(truth, arms, scale), pool, progress)
    return Evaluation(
        truth=truth,
        manner=manner,
        length=scale.length,
        notes=_notes(truth, arms, codings),
        arms=tuple(_scored_model(arm, place, scores) for place, arm in enumerate(arms)),
        readers=_readers(scores),
    )


def _processes(folder: Path, workers: int | None) -> int:
    """As many as were asked for, or as there is work for."""
    if workers is not None:
        return workers
    masks = folder / "masks" if (folder / "masks").is_dir() else folder
    pictures = sum(map(_pictures, matching_below(masks, "*")))
    return max(1, min(processors(), pictures // WORTH))


def _pictures(file: Path) -> int:
    """How many pictures a file costs; one that cannot be read is told of where it is."""
    if not is_volume(file):
        return 1
    try:
        return math.prod(read_header(file).shape) // _PICTURE
    except DataError:
        return 1


def _arms(folder: Path, truth: References, against: Sequence[Path], missing: Missing) -> list[Predictions]:
    """All models; the first decides which cases are scored."""
    arms = [read_predictions(folder, truth, name=model_name(folder), missing=missing)]
    among = list(arms[0].files)
    for name, other in _other_folders(folder, against, first=arms[0].name).items():
        arms.append(read_predictions(other, truth, name=name, missing=missing, among=among))
    return arms


def _other_folders(folder: Path, against: Sequence[Path], *, first: str) -> dict[str, Path]:
    """The folders of its controls, where there are any, and of the other models by what these are called."""
    others = dict[str, Path]()
    for control in [folder / name for name in CONTROLS] if is_of_segment(folder) else []:
        if is_of_segment(control):
            others[model_name(control)] = control
    for other in against:
        name = other.resolve().name
        if name in {first, *others}:
            name = f"{other.resolve().parent.name}/{name}"
        if name in {first, *others}:
            raise UsageError(f"--against {other} is given twice", expected="folders of other predictions")
        others[name] = other
    return others


def _coding(arm: Predictions, truth: References, pool: WorkerPool) -> LabelEncoding:
    """What the values of a model's masks mean; DICOM segmentations number their classes themselves."""
    files = [of.mask for of in arm.files.values() if of.mask and not is_dicom(Path(of.mask))]
    return decide_coding(values_of(files, pool), truth.meaning.rule, name=arm.name)


def _cases_of_all(arms: Sequence[Predictions]) -> list[str]:
    """The cases that every model has a prediction for."""
    return [case for case in arms[0].files if all(case in arm.files for arm in arms)]


@dataclass(frozen=True)
class _Scale:
    """In what distances are told.

    Attributes:
        length: "mm" or "px".
        spacings: millimetres along each axis by the ids of what is scored; None counts in pixels.
    """

    length: str
    spacings: Mapping[str, tuple[float, ...] | None]


def _scale(truth: References, cases: Sequence[str]) -> _Scale:
    """Millimetres where every case has them: a mean over millimetres and pixels means nothing."""
    known = {case: truth.spacing(truth.units[case]) for case in cases}
    if None in known.values():
        return _Scale("px", dict.fromkeys(cases))
    return _Scale("mm", known)


def _manner(
    truth: References, codings: Sequence[LabelEncoding], settings: ScoringSettings, length: str
) -> ScoringProtocol:
    usual = _MILLIMETRES if length == "mm" else _PIXELS
    return ScoringProtocol(
        rule=truth.meaning.rule,
        rules=tuple(coding.rule for coding in codings),
        targets=truth.targets,
        regions=bool(truth.meaning.regions),
        metrics=tuple(dict.fromkeys(("dice", *settings.metrics))),
        tolerance=settings.tolerance or usual,
        empty=settings.empty,
    )


def _items(truth: References, arms: Sequence[Predictions], scale: _Scale) -> list[ScoringItem]:
    items = list[ScoringItem]()
    for case, spacing in scale.spacings.items():
        files = tuple(arm.files[case] for arm in arms)
        items.append(ScoringItem(truth.units[case], spacing, files))
    return items


def _scored(
    manner: ScoringProtocol, items: Sequence[ScoringItem], pool: WorkerPool, progress: Callable[[int, int], None]
) -> dict[str, UnitScores]:
    """The scores of every case in the order of the items, whichever was done first; or all faults together."""
    scores, problems = dict[str, UnitScores](), list[DataError]()
    for done, (item, scored) in enumerate(pool.each(score_unit, manner, items), start=1):
        if isinstance(scored, DataError):
            problems.append(scored)
        else:
            scores[item.unit.id] = scored
        progress(done, len(items))
    raise_together(problems)
    return {item.unit.id: scores[item.unit.id] for item in items}


def _notes(truth: References, arms: Sequence[Predictions], codings: Sequence[LabelEncoding]) -> tuple[str, ...]:
    """What a person should know of the references, of each model, and of the values in its masks."""
    notes = list(truth.notes)
    for arm in arms:
        notes.extend(arm.notes)
    notes.extend(coding.note for coding in codings)
    return tuple(filter(None, notes))


def _scored_model(arm: Predictions, place: int, scores: Mapping[str, UnitScores]) -> ScoredModel:
    return ScoredModel(arm, {case: of_all.arms[place] for case, of_all in scores.items()})


def _readers(scores: Mapping[str, UnitScores]) -> dict[str, Among]:
    """The readers among themselves, where there are several."""
    return {case: of_all.readers for case, of_all in scores.items() if of_all.readers is not None}
