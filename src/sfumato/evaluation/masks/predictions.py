"""Predicted masks in any form: what `sfumato segment` wrote, nnU-Net's output, or any folder of masks.

A folder of another program may hold ensembles: `members` beside `masks`. Files belong to references by their names
alone: the id, or the id without what only says that a file is a mask (`case_mask.png`). Nothing is paired by order, and
nothing is left out without a word: a prediction without a reference is refused, and so is a case without a prediction,
unless the folder's own manifest says that it was not asked for, or whole splits of the reference are absent.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel

from sfumato.data.formats.joined import at_member
from sfumato.data.manifest import file_names
from sfumato.data.source.listing import files_below
from sfumato.data.source.words import shared_stem
from sfumato.data.units import MaskFormat, Unit, units
from sfumato.errors import DataError, listed
from sfumato.evaluation.masks.references import References, find_masks, is_whole_volume
from sfumato.plain import ours, read_object, shaped
from sfumato.tables import read_rows
from sfumato.wording import counted

Missing = Literal["refuse", "leave-out", "empty"]
"""What to do about cases without a prediction: refuse them, leave them out and count them, score an empty mask."""

DIFFUSION, DETERMINISTIC = "diffusion", "deterministic twin"
"""What models of `sfumato segment` are called."""

_BY_PROCESS = {"none": DETERMINISTIC, "ssn": "ssn"}
"""What those are called that do not diffuse."""

_MAPS = {"probability": "probability", "uncertainty_map": "uncertainty"}
"""Columns of the manifest with maps, and the folders of their files."""

MEMBER = re.compile(r"(?P<case>.+)_\d\d\.(png|nii\.gz)")
"""A file of the folder `members`."""


class PredictedFiles(NamedTuple):
    """What was predicted of one image or volume.

    Attributes:
        mask: its mask; "" where none was predicted and an empty one counts.
        members: the masks of the ensemble.
        probability: of each foreground class in order, or nothing.
        uncertainty: the map of uncertainty, or "".
    """

    mask: str
    members: tuple[str, ...] = ()
    probability: tuple[str, ...] = ()
    uncertainty: str = ""


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """The predictions of one model.

    Attributes:
        folder: where they lie.
        name: what the model is called beside others.
        files: by the id of the reference.
        rows: of the manifest that `sfumato segment` wrote, by id; empty for any other folder.
        calls: network calls for one case, if known.
        notes: what a person should know.
        left_out: cases of the reference without a prediction.
    """

    folder: Path
    name: str
    files: Mapping[str, PredictedFiles]
    rows: Mapping[str, Mapping[str, str]]
    calls: int | None = None
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def is_of_segment(folder: Path) -> bool:
    """Whether `sfumato segment` wrote a folder."""
    if not (folder / "manifest.csv").is_file() or not (folder / "summary.json").is_file():
        return False
    return {"id", "mask", "review_rank"} <= set(next(iter(read_rows(folder / "manifest.csv")), {}))


def model_name(folder: Path) -> str:
    """What the model of a folder is called when nothing else is said."""
    if not is_of_segment(folder):
        return folder.resolve().name
    return _BY_PROCESS.get(_about(folder).process or "", DIFFUSION)


def read_predictions(
    folder: Path, truth: References, *, name: str, missing: Missing = "refuse", among: Sequence[str] | None = None
) -> Predictions:
    """The predictions in a folder, by the ids of their references.

    Args:
        folder: written by `sfumato segment`, by nnU-Net, or any folder of masks.
        truth: the references.
        name: what the model is called.
        missing: what to do about cases without a prediction.
        among: the cases that are scored, where another model has decided; None takes those of the reference.

    Raises:
        DataError: predictions without a reference, cases without a prediction, or two files for one (all are listed).
    """
    of_segment = is_of_segment(folder)
    found = _of_segment(folder, truth) if of_segment else _of_masks(folder, truth)
    wanted = found.files
    if among is not None:
        wanted = {case: found.files[case] for case in among if case in found.files}
        absent = [case for case in among if case not in found.files]
        unexplained = absent
    else:
        absent = _absent(found.files, truth)
        unexplained = [] if of_segment else _unexplained(absent, found.files, truth)
    if unexplained and missing == "refuse":
        raise _refused(folder, unexplained, of=len(found.files) + len(absent))
    empty = dict.fromkeys(unexplained, PredictedFiles("")) if missing == "empty" else {}
    further = len(found.files) - len(wanted)
    return Predictions(
        folder=folder,
        name=name,
        files=wanted | empty,
        rows=found.rows,
        calls=found.calls,
        left_out=tuple(case for case in absent if case not in empty),
        notes=(*found.notes, *_told(name, empty=len(empty), further=further)),
    )


def _refused(folder: Path, unexplained: Sequence[str], *, of: int) -> DataError:
    return DataError(
        f"{folder} has no prediction for {len(unexplained)} of {of} cases:\n{listed(unexplained)}",
        expected="a prediction for every case, or for all cases of a split",
        remedy="predict them; or --missing empty to score them as empty masks, --missing leave-out to count them",
        code="SCORE-005",
    )


def _told(name: str, *, empty: int, further: int) -> Iterator[str]:
    """What is not scored as it lies there, counted."""
    if empty:
        yield f"{name}: cases without a prediction, scored as empty masks: {empty}"
    if further:
        yield f"{name}: predictions of other cases, not scored: {further}"


class _Read(NamedTuple):
    """See `Predictions`."""

    files: dict[str, PredictedFiles]
    rows: dict[str, dict[str, str]]
    calls: int | None
    notes: tuple[str, ...] = ()


def _of_segment(folder: Path, truth: References) -> _Read:
    """The files that its manifest names."""
    rows = {row["id"]: row for row in read_rows(folder / "manifest.csv")}
    gone = _gone(folder, rows.values())
    for row in rows.values():
        row.update(dict.fromkeys(gone, ""))
    paired = _paired(rows, truth, folder)
    about = _about(folder)
    members = _members(folder / "members")
    classes = file_names(about.mask_classes[1:])
    files = dict[str, PredictedFiles]()
    for case, name in paired.items():
        row = rows[name]
        files[case] = PredictedFiles(
            mask=str(folder / row["mask"]),
            members=tuple(members.get(name, ())),
            probability=_probabilities(folder, row, classes),
            uncertainty=_below(folder, row.get("uncertainty_map")),
        )
    return _Read(
        files=files,
        rows={case: rows[name] for case, name in paired.items()},
        calls=about.network_calls,
        notes=tuple(
            f"{folder.name}: the manifest names {_MAPS[column]}/, which is not there: not scored" for column in gone
        ),
    )


def _gone(folder: Path, rows: Collection[Mapping[str, str]]) -> list[str]:
    """The columns that name maps of a folder which is not there."""
    named = set[str]()
    for row in rows:
        named.update(column for column, file in row.items() if file)
    return [column for column, kind in _MAPS.items() if column in named and not (folder / kind).is_dir()]


def _below(folder: Path, file: str | None) -> str:
    """A file that a manifest names; "" where it names none."""
    return str(folder / file) if file else ""


class _About(BaseModel):
    """What is read of the summary."""

    process: str | None = None
    mask_classes: tuple[str, ...] = ()
    network_calls: int | None = None


def _about(folder: Path) -> _About:
    """What the verb says of all cases; the summary of other programs may say nothing of it."""
    file = folder / "summary.json"
    return shaped(_About.model_validate, read_object(file, ours(file)), ours(file))


def _probabilities(folder: Path, row: Mapping[str, str], classes: Sequence[str]) -> tuple[str, ...]:
    """The files with the probability of each foreground class."""
    if not row.get("probability"):
        return ()
    if len(classes) == 1:
        return (str(folder / row["probability"]),)
    ending = ".png" if row["mask"].endswith(".png") else ".nii.gz"
    return tuple(str(folder / "probability" / f"{row['id']}_{name}{ending}") for name in classes)


def _members(folder: Path) -> dict[str, list[str]]:
    """The files of the ensemble by the name of their case."""
    members: dict[str, list[str]] = {}
    if not folder.is_dir():
        return members
    for file in files_below(folder).entries:
        found = MEMBER.fullmatch(file.where)
        if found:
            members.setdefault(found["case"], []).append(file.locator)
    return members


def _of_masks(folder: Path, truth: References) -> _Read:
    """Any folder of masks; where it holds images too, the masks that belong to them; or `masks` beside `members`.

    Whose they are the reference knows.
    """
    members = _members(folder / "members")
    found = find_masks(folder / "masks" if members and (folder / "masks").is_dir() else folder, people=False)
    several = [case.id for case in found.cases if len(case.masks) > 1]
    if several:
        raise DataError(
            f"{folder}: {counted(len(several), 'case has', 'cases have')} several masks:\n{listed(several)}",
            expected="one prediction a case",
            remedy="give the folder of one model's or one reader's masks",
            code="SCORE-006",
        )
    masks = {unit.id: _mask_file(unit) for unit in units(found.cases, "same")}
    paired = _paired(masks, truth, folder)
    files = {case: PredictedFiles(masks[name], tuple(members.get(name, ()))) for case, name in paired.items()}
    return _Read(files, {}, None, tuple(f"{folder.name}: {note}" for note in found.notes))


def _mask_file(unit: Unit) -> str:
    """The file of a whole volume, or the locator of a single mask."""
    mask = unit.cases[0].masks[0]
    return at_member(mask, "") if is_whole_volume(unit) else mask


def _paired(names: Iterable[str], truth: References, folder: Path) -> dict[str, str]:
    """The name of a prediction for the id of its reference."""
    names = list(names)
    short = _unique_short(truth.units)
    paired: dict[str, str] = {}
    strangers, doubles = list[str](), list[str]()
    for name in names:
        case = name if name in truth.units else short.get(shared_stem(name))
        if case is None:
            strangers.append(name)
            continue
        other = paired.setdefault(case, name)
        if other != name:
            doubles.append(f"{case}: {other} and {name}")
    if strangers:
        raise DataError(
            f"{folder}: {len(strangers)} of {len(names)} predictions have no reference:\n{listed(strangers)}",
            expected=f"names of cases of the reference, such as {', '.join(list(truth.units)[:3])}",
            remedy="rename the files, or give the reference that they belong to",
            code="SCORE-003",
        )
    if doubles:
        finding = f"{folder}: {counted(len(doubles), 'case has', 'cases have')} two predictions:\n{listed(doubles)}"
        raise DataError(finding, expected="one prediction a case", code="SCORE-006")
    return paired


def _unique_short(ids: Iterable[str]) -> dict[str, str]:
    """Ids by what is left of them without the words for masks and images, where that is unique."""
    ids = list(ids)
    often = Counter(map(shared_stem, ids))
    return {shared_stem(name): name for name in ids if often[shared_stem(name)] == 1}


def _absent(files: Mapping[str, PredictedFiles], truth: References) -> list[str]:
    """The cases of the reference that have no prediction: volumes where volumes were predicted, else planes."""
    form: MaskFormat = "same" if any(is_whole_volume(truth.units[case]) for case in files) else "png"
    return [unit.id for unit in units(truth.cases, form) if unit.id not in files]


def _unexplained(absent: Sequence[str], files: Mapping[str, PredictedFiles], truth: References) -> list[str]:
    """Those whose split was predicted in part: a whole split may be absent."""
    predicted = {truth.units[case].cases[0].split for case in files}
    return [case for case in absent if truth.units[case].cases[0].split in predicted]
