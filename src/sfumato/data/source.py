"""Find the cases in whatever a person has.

Understood are: a folder of images; images and masks side by side or in two folders; class folders; each of these below
`train`, `val`, `test`; one folder per patient with images and masks inside; NPZ of the MedMNIST form or with `images`
and `masks` or `labels`; IDX pairs; a folder with a `manifest.csv` (a prepared data set, toy data, samples of a model);
a single image. How folders of images are read is told in `sfumato.data.layout`.

Nothing is left out silently: what is not understood is either an error that lists it, or a note.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

from sfumato.data.archive import Locator, array_names, read_array
from sfumato.data.image import SUFFIXES
from sfumato.data.layout import arrange, files_below, natural
from sfumato.data.manifest import Case, read_manifest
from sfumato.data.volume import Axis
from sfumato.errors import DataError, listed

IDX_NAME = re.compile(
    r"(?P<prefix>.*?)[._-]?(?P<kind>images|labels)[._-]idx(?P<dimensions>\d)(-ubyte)?(\.gz)?", re.IGNORECASE
)
IDX_SPLITS = {"train": "train", "t10k": "test", "test": "test", "val": "validation"}
MEDMNIST_SPLITS = {"train": "train", "val": "validation", "test": "test"}


@dataclass(frozen=True, kw_only=True)
class Hints:
    """What a person says about a source where its files leave a choice.

    Attributes:
        columns: names of a table's columns by their role: image, mask, label, patient, split.
        drop_unpaired: leave out images without a mask and masks without an image; otherwise they are an error.
        group_by: what keeps cases together in one split: a column of the table, or a regular expression whose first
            group is found in the id.
        class_level: which folder below the source names the class, counted from 1; 0 takes the first that differs.
        slice_axis: along which axis volumes are cut; auto takes the one with the thickest slices.
        fold: which fold of a `splits_final.json` divides the cases.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    drop_unpaired: bool = False
    group_by: str | None = None
    class_level: int = 0
    slice_axis: Axis | Literal["auto"] = "auto"
    fold: int = 0


class Found(NamedTuple):
    """The cases of a source.

    Attributes:
        cases: in natural order of their names.
        kind: "segment" when every case has a mask, "generate" when none has.
        classes: names of the labels, sorted (numbers by value).
        notes: what a person should know: files left out, guesses made.
        form: what the source was taken for, e.g. "folders", "table", "npz", "nnU-Net raw", "volumes".
        mask_names: names of the stored mask values, where the source has them.
        ignore: the stored mask value of pixels that say nothing, where the source has one.
        regions: names of unions of classes by their stored values (nnU-Net), where the source has them.
        modality: "CT", "MR", ... where the source says so.
        unpaired: images without a mask and masks without an image that were left out (`Hints.drop_unpaired`).
        folds: the folds of `splits_final.json`: for each, the split of each patient or volume by its name.
    """

    cases: tuple[Case, ...]
    kind: Literal["segment", "generate"]
    classes: tuple[str, ...]
    notes: tuple[str, ...]
    form: str = "folders"
    mask_names: Mapping[int, str] = MappingProxyType({})
    ignore: int | None = None
    regions: Mapping[str, tuple[int, ...]] = MappingProxyType({})
    modality: str | None = None
    unpaired: tuple[str, ...] = ()
    folds: tuple[Mapping[str, str], ...] = ()


def find_cases(source: Path | str, *, masks: Path | str | None = None, hints: Hints = Hints()) -> Found:
    """The cases in a file or folder.

    Args:
        source: an image, an NPZ file, or a folder.
        masks: folder of the masks, when they are not below `source`.
        hints: what the files leave open.

    Raises:
        DataError: nothing is there, names do not match (all are listed), or the form is not understood.
    """
    source, masks = Path(source), None if masks is None else Path(masks)
    for path in (source, masks):
        if path is not None and not path.exists():
            raise DataError(f"{path} does not exist", expected="a file or folder of images", code="DATA-001")
    if masks is not None:
        return _found(*arrange(source, masks=masks))
    if source.is_file():
        return _from_file(source)
    if (source / "manifest.csv").is_file():
        return _found(read_manifest(source / "manifest.csv"), [])
    files = files_below(source).files
    if any(IDX_NAME.fullmatch(file.name) for file in files):
        return _found(*_idx_cases(files))
    archives = [file for file in files if file.suffix == ".npz"]
    if archives and not any(file.suffix.lower() in SUFFIXES for file in files):
        return _from_archives(source, archives)
    return _found(*arrange(source, masks=None))


def _found(cases: Iterable[Case], notes: Sequence[str]) -> Found:
    cases = tuple(cases)
    bare = [case.id for case in cases if not case.masks]
    if bare and len(bare) < len(cases):
        finding = f"{len(bare)} of {len(cases)} cases have no mask:\n{listed(bare)}"
        raise DataError(finding, expected="a mask for every case, or for none", code="DATA-010")
    readers = Counter(len(case.masks) for case in cases)
    if len(readers) > 1:
        counts = ", ".join(f"{number} for {count}" for number, count in sorted(readers.items()))
        notes = [*notes, f"the number of masks per image differs: {counts}"]
    labels = {case.label for case in cases if case.label is not None}
    if labels and (unlabelled := sum(case.label is None for case in cases)):
        notes = [*notes, f"cases without a class: {unlabelled}"]
    return Found(cases, "generate" if bare else "segment", tuple(sorted(labels, key=natural)), tuple(notes))


def _from_file(path: Path) -> Found:
    if path.suffix == ".npz":
        return _found(_npz_cases(path), [])
    if path.suffix.lower() in SUFFIXES:
        return _found([Case(id=path.stem, image=str(path.absolute()))], [])
    raise DataError(f"{path} is not understood", expected="a folder, an image or an NPZ file", code="DATA-002")


def _from_archives(source: Path, archives: Sequence[Path]) -> Found:
    if len(archives) > 1:
        raise DataError(
            f"{source} holds {len(archives)} NPZ files:\n{listed([file.name for file in archives])}",
            expected="one data set",
            remedy="give the path of one of them",
            code="DATA-018",
        )
    return _found(_npz_cases(archives[0]), [])


def _npz_cases(path: Path) -> list[Case]:
    shapes = array_names(path)
    medmnist = [name for name in MEDMNIST_SPLITS if f"{name}_images" in shapes]
    if medmnist:
        return [case for name in medmnist for case in _array_cases(path, shapes, f"{name}_", MEDMNIST_SPLITS[name])]
    if "images" in shapes:
        return _array_cases(path, shapes, "", None)
    raise DataError(
        f"{path} has the arrays {', '.join(shapes) or '(none)'}",
        expected="images (and labels or masks), or train_images, train_labels, val_images ... as in MedMNIST",
        code="DATA-018",
    )


def _array_cases(path: Path, shapes: dict[str, tuple[int, ...]], prefix: str, split: str | None) -> list[Case]:
    """The rows of the arrays `<prefix>images`, `<prefix>labels` and `<prefix>masks`."""
    images, labels, masks = (f"{prefix}{name}" for name in ("images", "labels", "masks"))
    shape = shapes[images]
    if not (len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3))):
        finding = f"{path}: {images} has the shape {shape}"
        raise DataError(finding, expected="(count, height, width) or (count, height, width, 1 or 3)", code="DATA-018")
    if masks not in shapes and len(shapes.get(labels, ())) >= 3:
        labels, masks = "", labels  # labels of pixels
    if masks in shapes and shapes[masks][:3] != shape[:3]:
        finding = f"{path}: {images} has the shape {shape}, {masks} {shapes[masks]}"
        raise DataError(finding, expected="a mask of the same size for every image", code="DATA-012")
    names = _labels(path, labels, shape[0]) if labels in shapes else [None] * shape[0]
    digits = len(str(shape[0] - 1))
    return [
        Case(
            id=f"{prefix}{row:0{digits}d}",
            image=str(Locator(path.absolute(), f"{images}/{row}")),
            masks=(str(Locator(path.absolute(), f"{masks}/{row}")),) if masks in shapes else (),
            label=name,
            split=split,
        )
        for row, name in enumerate(names)
    ]


def _labels(path: Path, key: str, count: int) -> list[str]:
    """One class name per image from an array of class numbers or names."""
    values = read_array(path, key)
    if values.size != count or (values.dtype.kind == "f" and (values % 1).any()):
        finding = f"{path}: {key or 'the label file'} has the shape {values.shape} for {count} images"
        raise DataError(finding, expected="one class number per image", code="DATA-019")
    return [str(int(value)) if values.dtype.kind in "fbiu" else str(value) for value in values.reshape(-1)]


def _idx_cases(files: Sequence[Path]) -> tuple[list[Case], list[str]]:
    """Pairs of `<prefix>images-idx3-ubyte` and `<prefix>labels-idx1-ubyte`."""
    pairs: dict[tuple[Path, str], dict[str, Path]] = {}
    notes = []
    for file in files:
        if match := IDX_NAME.fullmatch(file.name):
            pair = pairs.setdefault((file.parent, match["prefix"]), {})
            if match["kind"].lower() in pair:
                notes.append(f"{file} is the same array as {pair[match['kind'].lower()].name}: not used")
            pair.setdefault(match["kind"].lower(), file)
        else:
            notes.append(f"{file} is no IDX file: not used")
    cases: list[Case] = []
    for (_, prefix), pair in pairs.items():
        if "images" in pair:
            cases += _idx_pair(prefix, pair["images"], pair.get("labels"))
        else:
            notes.append(f"{pair['labels']} has labels, but its images are not there: not used")
    if not cases:
        finding = f"no IDX file with images:\n{listed([str(file) for file in files])}"
        raise DataError(finding, expected="...images-idx3-ubyte", code="DATA-002")
    return cases, notes


def _idx_pair(prefix: str, images: Path, labels: Path | None) -> list[Case]:
    array = read_array(images)
    if array.ndim != 3:
        raise DataError(f"{images} has the shape {array.shape}", expected="(count, height, width)", code="DATA-018")
    names = _labels(labels, "", len(array)) if labels else [None] * len(array)
    digits = len(str(len(array) - 1))
    return [
        Case(
            id=f"{prefix}_{row:0{digits}d}" if prefix else f"{row:0{digits}d}",
            image=str(Locator(images.absolute(), str(row))),
            label=name,
            split=IDX_SPLITS.get(prefix.lower()),
        )
        for row, name in enumerate(names)
    ]
