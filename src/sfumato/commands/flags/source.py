"""What a person may say about a source beyond its path: the same flags for every verb that reads one."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from sfumato.commands.flags.numbers import Index
from sfumato.data.source import Found
from sfumato.experiment.source import find, find_to_read
from sfumato.files import is_pattern
from sfumato.recipe import load_recipe


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class SourceFlags:
    """Where the files of a source leave a choice.

    Args:
        masks: The masks, if they are in a folder of their own; or a pattern such as '*/manual/{id}_manual{reader}.gif',
            with {reader} or {class} for what tells several masks of an image apart.
        readers_by: Several masks of an image are of readers, told apart by their folder or by the end of their name.
        classes_by: Several masks of an image are of classes, told apart likewise.
        join_masks: Several masks of an image are parts of one; of a single one, all values but 0.
        fill_outlines: The masks are closed lines around what is meant, which is filled.
        class_names: Names of the values of masks, such as liver,tumour (for 1 and 2) or 128=liver,255=tumour.
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

    masks: str | Path | None = None
    readers_by: Literal["folder", "suffix"] | None = None
    classes_by: Literal["folder", "suffix"] | None = None
    join_masks: Annotated[bool, Parameter(negative="")] = False
    fill_outlines: Annotated[bool, Parameter(negative="")] = False
    class_names: str | None = None
    labels: Path | None = None
    image_column: str | None = None
    mask_column: str | None = None
    label_column: str | None = None
    patient_column: str | None = None
    split_column: str | None = None
    group_by: str | None = None
    class_level: Index | None = None
    drop_unpaired: Annotated[bool, Parameter(negative="")] = False
    keep_split: Annotated[bool, Parameter(negative="")] = False
    slice_axis: Literal["auto", "axial", "coronal", "sagittal"] | None = None
    component: Index | Literal["all", "planes"] | None = None
    pages: Literal["volume", "channels"] | None = None
    fold: Index | None = None

    def settings(self) -> list[str]:
        """The flags that were given, as settings of a recipe."""
        given = {
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
        return [f"data.{key}={json.dumps(value)}" for key, value in given.items() if value is not None]

    @property
    def masks_folder(self) -> Path | None:
        """The folder of the masks; None where a pattern says which they are."""
        return None if self.masks is None or is_pattern(str(self.masks)) else Path(self.masks)

    def find(self, source: Path, *, to_read: bool = False) -> Found:
        """The cases of a source, read as these flags say; `to_read`: see `find_to_read`."""
        recipe = load_recipe("segment", settings=self.settings())
        return find_to_read(source, recipe) if to_read else find(source, recipe)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ReadingFlags(SourceFlags):
    """The same with a pattern of the images, for verbs whose `--images` is no number of them.

    Args:
        images: Pattern of the images' paths below the source, such as '*/images/{id}_training.tif': {id} is what an
            image and its masks have in common, {channel} tells the files of an image apart. Or re: and a regular
            expression.
    """

    images: str | None = None

    def settings(self) -> list[str]:
        """The flags that were given, as settings of a recipe."""
        pattern = [] if self.images is None else [f"data.source.images={json.dumps(self.images)}"]
        return [*super().settings(), *pattern]


AS_FOUND = SourceFlags()
"""Nothing said: files speak for themselves."""

AS_READ = ReadingFlags()
"""The same for verbs that only read."""
