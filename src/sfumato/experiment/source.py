"""The cases of a source, read as a recipe says: what `check` and every verb that is given a source begin with."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from sfumato.builder.data import build_hints
from sfumato.data.manifest import Case, is_prepared
from sfumato.data.source import DiscoveredDataset, ReadOptions, find_cases
from sfumato.data.volumes import with_neighbours
from sfumato.errors import DataError, UsageError, collected, raise_together
from sfumato.files import is_pattern
from sfumato.progress import say
from sfumato.recipe import Recipe, load_recipe
from sfumato.wording import counted


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What may be said of a source beyond its path, where its files leave a choice.

    Args:
        images: Pattern of the images' paths below the source, such as '*/images/{id}_training.tif': {id} is what an
            image and its masks have in common, {channel} tells the files of an image apart. Or re: and a regular
            expression.
        masks: The masks, if they are in a folder of their own; or a pattern such as '*/manual/{id}_manual{reader}.gif',
            with {reader} or {class} for what tells several masks of an image apart.
        readers_by: Several masks of an image are of readers, told apart by their folder or by the end of their name.
        classes_by: Several masks of an image are of classes, told apart likewise.
        join_masks: Several masks of an image are parts of one; of a single one, all values but 0.
        fill_outlines: The masks are closed lines around what is meant, which is filled.
        class_names: Names of the values of masks, such as liver,tumour (for 1 and 2) or 128=liver,255=tumour; what is
            called ignore (0=ignore) counts neither in loss nor in metrics.
        labels: A table (CSV or TSV) about the images of a folder.
        image_column: Column of the table with the file or id of the image.
        mask_column: Column with the file of the mask.
        label_column: Column with the class.
        patient_column: Column that says whose image it is.
        split_column: Column with train, validation or test.
        group_by: What keeps cases in one split: a column, a regular expression with one group on the id, parent (the
            folder), PatientID or StudyInstanceUID (DICOM), or none.
        class_level: Which folder names the class, counted from 1; 0 chooses, and tells others.
        drop_unpaired: Leave out images without mask and masks without image, instead of refusing them.
        keep_split: Keep a split of the source that has one patient or picture in several parts, instead of refusing it.
        slice_axis: Along which axis volumes are cut: auto, axial, coronal or sagittal.
        component: Which component of volumes with several is the image; all: each is a channel; planes: the planes of a
            volume are channels of one image.
        pages: What the pages of a TIFF of several are: planes of a volume, or channels of one image.
        fold: Which fold of a splits_final.json divides the cases.
    """

    images: str | None = None
    masks: str | Path | None = None
    readers_by: Literal["folder", "suffix"] | None = None
    classes_by: Literal["folder", "suffix"] | None = None
    join_masks: bool = False
    fill_outlines: bool = False
    class_names: str | None = None
    labels: str | Path | None = None
    image_column: str | None = None
    mask_column: str | None = None
    label_column: str | None = None
    patient_column: str | None = None
    split_column: str | None = None
    group_by: str | None = None
    class_level: int | None = None
    drop_unpaired: bool = False
    keep_split: bool = False
    slice_axis: Literal["auto", "axial", "coronal", "sagittal"] | None = None
    component: int | Literal["all", "planes"] | None = None
    pages: Literal["volume", "channels"] | None = None
    fold: int | None = None

    def changes(self) -> dict[str, Any]:
        """What was said, as changes of a recipe: values by dotted names."""
        given = {
            "source.images": self.images,
            "source.masks": self.masks and str(self.masks),
            "source.readers_by": self.readers_by,
            "source.classes_by": self.classes_by,
            "source.join_masks": self.join_masks or None,
            "source.fill_outlines": self.fill_outlines or None,
            "source.class_names": self.class_names and [name.strip() for name in self.class_names.split(",")],
            "source.table": self.labels and str(self.labels),
            "source.columns.image": self.image_column,
            "source.columns.mask": self.mask_column,
            "source.columns.label": self.label_column,
            "source.columns.patient": self.patient_column,
            "source.columns.split": self.split_column,
            "source.group_by": self.group_by,
            "source.class_level": self.class_level,
            "source.drop_unpaired": self.drop_unpaired or None,
            "source.keep_split": self.keep_split or None,
            "source.slice_axis": self.slice_axis,
            "source.component": self.component,
            "source.pages": self.pages,
            "split.fold": self.fold,
        }
        return {f"data.{name}": value for name, value in given.items() if value is not None}

    def settings(self) -> list[str]:
        """The same in words."""
        return [f"{name}={json.dumps(value)}" for name, value in self.changes().items()]

    @property
    def masks_folder(self) -> Path | None:
        """The folder of the masks; None where a pattern says which they are."""
        return None if self.masks is None or is_pattern(str(self.masks)) else Path(self.masks)

    def find(self, source: Path, *, to_read: bool = False) -> DiscoveredDataset:
        """The cases of a source, read as is said; `to_read`: see `find_to_read`."""
        recipe = load_recipe("segment", changes=self.changes())
        return find_to_read(source, recipe) if to_read else find(source, recipe)


AS_FOUND = Reading()
"""Nothing said: files speak for themselves."""


def find(source: Path, recipe: Recipe) -> DiscoveredDataset:
    """The cases of a source, read as a recipe says.

    Raises:
        DataError: there is something wrong with them.
    """
    found = find_with_problems(source, recipe)
    raise_together(found.problems)
    return found


def find_with_problems(source: Path, recipe: Recipe) -> DiscoveredDataset:
    """As `find`, for who tells what is wrong with the source (`DiscoveredDataset.problems`) together with its files."""
    return _found(source, recipe, build_hints(recipe.data))


def find_to_read(source: Path, recipe: Recipe) -> DiscoveredDataset:
    """As `find`, for who reads every file: where some files have no partner, that is a problem among others.

    Those that have one are read, so that all that is wrong is told at once. Where most have none, something else is
    wrong, and nothing is read.
    """
    hints = build_hints(recipe.data)
    try:
        return _found(source, recipe, hints)
    except DataError as error:
        early = error
    problems = list[DataError]()
    with collected(problems):
        found = _found(source, recipe, replace(hints, drop_unpaired=True))
    if problems or not 0 < len(found.unpaired) < len(found.cases):
        raise early
    say(f"{counted(len(found.unpaired), 'file has', 'files have')} no partner: the others are read to tell all at once")
    return found._replace(problems=(early, *found.problems))


def beside_each_other(cases: Sequence[Case], neighbours: int, *, source: Path) -> tuple[Case, ...]:
    """Planes with their neighbours as channels; those of a dataset that was prepared so have them already.

    Args:
        cases: planes of volumes.
        neighbours: planes before and behind each.
        source: where they are from.

    Raises:
        UsageError: they have another number of neighbours.
        DataError: an image is no plane of a volume.
    """
    from sfumato.data.dataset import Dataset  # imports torch, which `check` does without

    there = Dataset.open(source).spec.neighbours if is_prepared(source) else 0
    if there not in (0, neighbours):
        raise UsageError(
            f"the planes of {source} have {there} before and behind them as channels, and {neighbours} are wanted",
            remedy="give the volumes themselves",
        )
    return tuple(cases) if there else tuple(with_neighbours(cases, neighbours))


def _found(source: Path, recipe: Recipe, hints: ReadOptions) -> DiscoveredDataset:
    masks = recipe.data.source.masks_folder
    found = find_cases(str(source), masks=None if masks is None else Path(masks), hints=hints)
    if recipe.data.neighbours:
        found = found._replace(cases=beside_each_other(found.cases, recipe.data.neighbours, source=source))
    if found.outside:
        say(f"paths of the table lead out of its folder: {'; '.join(found.outside)}")
    return found
