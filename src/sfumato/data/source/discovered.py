"""What a person says about a source, and what was found in it: the forms that all readers of sources share."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from sfumato.data.formats.volume import Axis
from sfumato.data.manifest import Case, refuse_unsafe_ids
from sfumato.data.order import natural
from sfumato.data.source.colours import colour_names
from sfumato.data.source.people.classes import with_one_spelling
from sfumato.errors import DataError, UsageError, listed
from sfumato.wording import counted


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """What a person says about a source where its files leave a choice.

    Attributes:
        columns: names of a table's columns by their role: image, mask, label, patient, split.
        table: a CSV or TSV file about the images of a folder.
        drop_unpaired: leave out images without a mask and masks without an image; otherwise they are an error.
        images_only: masks are not wanted, as when a model is used: every image is a case, with or without a mask.
        group_by: what keeps cases together in one split: a column of the table, a regular expression whose first
            group is found in the id, `parent` (the folder), `PatientID`, `StudyInstanceUID` (DICOM), or `none`.
        people: it is asked whose the images are; of predicted masks another folder tells.
        class_level: which folder below the source names the class, counted from 1; 0 chooses, and tells others.
        slice_axis: along which axis volumes are cut; auto takes the one with the thickest slices.
        component: which component of volumes with several is the image; "all": each is a channel of it; "planes": the
            planes of a volume are (`sfumato.data.source.volumes.components`).
        pages: what the pages of a TIFF of several are: planes of a volume, or channels of one image.
        fold: which fold of a `splits_final.json` divides the cases.
        keep_split: keep a split of the source also where it has one patient in several parts.
        images: a pattern of the files that are images (`sfumato.data.source.matching.byhand`), where a person gives it.
        masks: a pattern of those that are masks.
        class_names: names of the values of masks: `1=liver`, or `liver` for the next value from 1 on; values that are
            called `ignore` count nowhere.
        readers_by: several masks of an image are of readers, told apart by their folder or by what follows in the name.
        classes_by: several masks of an image are of classes, told apart likewise.
        join_masks: several masks of an image, or several values of one, are parts of one.
        fill_outlines: the masks are lines around what is meant, which is filled.
        channels: how the names of the files of an image of several end, as a model was taught.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    table: Path | None = None
    drop_unpaired: bool = False
    images_only: bool = False
    group_by: str | None = None
    people: bool = True
    class_level: int = 0
    slice_axis: Axis | Literal["auto"] = "auto"
    component: int | Literal["all", "planes"] | None = None
    pages: Literal["volume", "channels"] | None = None
    fold: int = 0
    keep_split: bool = False
    images: str | None = None
    masks: str | None = None
    class_names: tuple[str, ...] = ()
    readers_by: Literal["folder", "suffix"] | None = None
    classes_by: Literal["folder", "suffix"] | None = None
    join_masks: bool = False
    fill_outlines: bool = False
    channels: tuple[str, ...] = ()

    @property
    def is_said_of_masks(self) -> bool:
        """Whether a person said what several masks of an image are."""
        return self.join_masks or self.readers_by is not None or self.classes_by is not None

    @property
    def names_of_classes(self) -> Mapping[int, str]:
        """The names of classes by their values.

        Raises:
            UsageError: a value is no whole number, or is named twice.
        """
        return class_values(self.class_names)


def class_values(names: Sequence[str]) -> dict[int, str]:
    """Names of classes by their values: those without a value count on from 1, or from the one before.

    Raises:
        UsageError: a value is no whole number, or is named twice.
    """
    values = dict[int, str]()
    for text in names:
        number, equals, name = text.partition("=")
        if not equals:
            value, name = max(values, default=0) + 1, text
        else:
            value = int(number) if number.strip().isdecimal() else -1
        if value < 0 or value in values or not name.strip():
            raise UsageError(
                f"--class-names {','.join(names)}: '{text}' is no name, or its value is given twice",
                expected="names such as liver,tumour or 0=background,128=liver,255=tumour",
            )
        values[value] = name.strip()
    return values


NOTHING_SAID = ReadOptions()


class DiscoveredDataset(NamedTuple):
    """The cases of a source.

    Attributes:
        cases: in natural order of their names.
        classes: names of the labels, sorted (numbers by value).
        notes: what a person should know: files left out, guesses made.
        form: what the source was taken for, e.g. "folders", "table", "npz", "nnU-Net raw", "volumes".
        mask_names: names of the stored mask values, where the source has them.
        ignore: the stored mask value of pixels that say nothing, where the source has one or a person said so.
        regions: names of unions of classes by their stored values (nnU-Net), where the source has them.
        modality: "CT", "MR", ... where the source says so.
        unpaired: images without a mask and masks without an image that were left out (`ReadOptions.drop_unpaired`).
        bare_alone: whether all of these are images without a mask.
        partners: the flags that pair these, or name those that have a partner; empty where none do.
        unlabelled: images that were left out since the table has no class for them (`ReadOptions.drop_unpaired`).
        folds: the folds of `splits_final.json`: for each, the split of each patient or volume by its name.
        problems: what is wrong with the source, to be told together with what is wrong with its files.
        outside: folders that a table leads to, for the person alone: what is written names no place of this machine.
        channels: how the names of the files of an image of several end, in their order.
        reading: what a person said of images and masks, to be read so again.
        patients_by: what of a table says whose the images are, in words; empty without one.
        patients: how many are known; None where nobody asked. A volume of nobody known is its own in the split alone.
    """

    cases: tuple[Case, ...]
    classes: tuple[str, ...]
    notes: tuple[str, ...]
    form: str = "folders"
    mask_names: Mapping[int, str] = MappingProxyType({})
    ignore: int | None = None
    regions: Mapping[str, tuple[int, ...]] = MappingProxyType({})
    modality: str | None = None
    unpaired: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()
    bare_alone: bool = False
    partners: str = ""
    folds: tuple[Mapping[str, str], ...] = ()
    problems: tuple[DataError, ...] = ()
    outside: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    reading: Mapping[str, Any] = MappingProxyType({})
    patients_by: str = ""
    patients: int | None = None

    @property
    def has_masks(self) -> bool:
        """Whether the cases have masks: all of them or none."""
        return any(case.masks for case in self.cases)

    @property
    def names_are_said(self) -> bool:
        """Whether a person named the values of the masks, and not the source."""
        return bool(self.reading.get("class_names"))


def finalise_dataset(
    cases: Iterable[Case], notes: Sequence[str], *, form: str, unpaired: Sequence[str] = ()
) -> DiscoveredDataset:
    """What all readers of sources end with: the classes of the cases, and what is uneven about them.

    Raises:
        DataError: some cases have masks and others have none, or ids cannot be names of files.
    """
    cases, spelt = with_one_spelling(tuple(cases))
    refuse_unsafe_ids(form, {name: case.image for case in cases for name in (case.id, case.volume) if name is not None})
    _refuse_unwritable(form, cases)
    _refuse_some_without_masks(cases)
    labels = {case.label for case in cases if case.label is not None}
    names, about_colours = colour_names(cases)
    return DiscoveredDataset(
        cases=cases,
        classes=tuple(sorted(labels, key=natural)),
        notes=(*notes, *spelt, *_about_uneven(cases), *about_colours),
        form=form,
        mask_names=names,
        unpaired=tuple(unpaired),
    )


def _refuse_some_without_masks(cases: Sequence[Case]) -> None:
    """Refuse cases without a mask beside others that have some."""
    bare = [case.id for case in cases if not case.masks]
    if bare and len(bare) < len(cases):
        finding = f"{len(bare)} of {len(cases)} cases have no mask:\n{listed(bare)}"
        raise DataError(finding, expected="a mask for every case, or for none", code="DATA-010")


def _about_uneven(cases: Sequence[Case]) -> Iterator[str]:
    """What some cases have, and others have otherwise: masks of several readers, a class."""
    readers = Counter(len(case.masks) for case in cases)
    if len(readers) > 1:
        counts = ", ".join(f"{number} for {count}" for number, count in sorted(readers.items()))
        yield f"the number of masks per image differs: {counts}"
    unlabelled = sum(case.label is None for case in cases)
    if 0 < unlabelled < len(cases):
        yield f"cases without a class: {unlabelled}"


def _refuse_unwritable(form: str, cases: Sequence[Case]) -> None:
    """Refuse names that no table could hold: on many systems a name of a file is any bytes."""
    named = (text for case in cases for text in (case.image, *case.channels, *case.masks, case.label, case.patient))
    if odd := sorted({text for text in named if text and not _is_unicode(text)}):
        raise DataError(
            f"{form}: {counted(len(odd), 'name is', 'names are')} not UTF-8:\n{listed(odd)}",
            expected="names of files, folders and classes in UTF-8",
            remedy="rename them",
            code="DATA-016",
        )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
