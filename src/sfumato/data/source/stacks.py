"""Arrays that hold a whole set, by their names: `images`, `masks`, `labels`, `ids`; also behind `train_`, `test_` ...

They are members of one NPZ file, or NPY files of one folder - or of several, each of which is a part of the set:
`fold1/images.npy` and `fold1/masks.npy`, `train/images.npy`. Folders that are called after a role alone (`images`,
`masks`) only sort the files. Arrays of texts of other names are said.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sfumato.data.formats.archive import Array, array_headers, read_array
from sfumato.data.manifest import Case, is_safe_id
from sfumato.data.order import natural
from sfumato.data.source.axes import Axes, axes_beside, axes_of
from sfumato.data.source.discovered import DiscoveredDataset, ReadOptions, finalise_dataset
from sfumato.data.source.drawn import MaskArray, mask_axes, planes
from sfumato.data.source.layers import layered, layers_of
from sfumato.data.source.listing import PathParts, SourceFile
from sfumato.data.source.stored import StoredArray
from sfumato.data.source.table import bare
from sfumato.data.source.words import SPLIT_WORDS as WORDS_OF_SPLITS
from sfumato.data.source.words import read_folder
from sfumato.errors import DataError

_SPLITS = {"train": "train", "val": "validation", "test": "test"}
SET_NAME = re.compile(r"(?:(?P<split>train|val|test)_)?(?P<role>images|volumes|labels|masks|ids|patients)")
CLASS_NAMES = ("class_names", "mask_class_names")
"""Arrays with the names of the classes of images and of pixels, by their numbers."""

_PART = re.compile(r"(?:fold|part|batch|chunk|shard|subset|split|set)[ _-]*\d+", re.IGNORECASE)
"""Folders of this name hold a part of a set, and are no patients."""

_SHOWN = 5
"""Texts of an array that are told."""


def has_image_array(names: Sequence[str]) -> bool:
    """Whether one of the arrays of these names holds the images of a set."""
    return any((found := SET_NAME.fullmatch(name)) and found["role"] in ("images", "volumes") for name in names)


def sets_of(entries: Sequence[SourceFile]) -> dict[PathParts, dict[str, StoredArray]] | None:
    """The arrays of a set by their names, for each part of it by its folders; None where the files are no set.

    Raises:
        DataError: a file is damaged, or holds Python objects.
    """
    if not has_image_array([entry.stem for entry in entries]):
        return None
    sets: dict[PathParts, dict[str, StoredArray]] = defaultdict(dict)
    for entry in entries:
        path = Path(entry.locator)
        if path.suffix.lower() != ".npy":
            return None
        stored = StoredArray(path, "", array_headers(path)[""])
        named = SET_NAME.fullmatch(entry.stem) or entry.stem in CLASS_NAMES
        if not named and stored.header.dtype.kind not in "SU":
            return None
        part = tuple(folder for folder in entry.parts[:-1] if not _is_role(folder))
        if entry.stem in sets[part]:
            return None
        sets[part][entry.stem] = stored
    if len(sets) > 1 and not all(map(_is_part, _differing(list(sets)))):
        return None
    return dict(sets)


def _is_role(folder: str) -> bool:
    said = read_folder(folder)
    return said.certain and said.role in ("image", "mask") and not said.split


def _differing(parts: Sequence[PathParts]) -> list[str]:
    """The names of folders that are not those of all parts."""
    return [folder for part in parts for folder in part if not all(folder in other for other in parts)]


def _is_part(folder: str) -> bool:
    return _PART.fullmatch(folder) is not None or folder.lower() in WORDS_OF_SPLITS


def find_in_sets(sets: Mapping[PathParts, Mapping[str, StoredArray]], hints: ReadOptions) -> DiscoveredDataset:
    """The cases of the parts of a set, see `sets_of`."""
    if len(sets) == 1:
        return find_in_set(next(iter(sets.values())), hints)
    differing = {folder.lower() for folder in _differing(list(sets))}
    cases, notes, told = list[Case](), list[str](), defaultdict[str, list[str]](list)
    for part in sorted(sets, key=lambda parts: natural("/".join(parts))):
        if not has_image_array(list(sets[part])):
            notes.append(f"{'/'.join(part)}: {', '.join(sets[part])} without images, not used")
            continue
        found = find_in_set(sets[part], hints)
        name = _name([folder for folder in part if folder.lower() in differing])
        split = next((WORDS_OF_SPLITS[word] for folder in part if (word := folder.lower()) in WORDS_OF_SPLITS), None)
        own = "patients" not in sets[part]
        cases += [_of_part(case, name, split, own=own) for case in found.cases]
        for note in found.notes:
            told[note].append(name)
        names = found.mask_names
    notes += [f"{', '.join(parts)}: {note}" for note, parts in told.items()]
    said_by = next(filter(None, (_said_by(each) for each in sets.values())), "")
    return finalise_dataset(cases, notes, form="npy")._replace(mask_names=names, patients_by=said_by)


def _name(folders: Sequence[str]) -> str:
    """The name of a part: its folders, of which `Fold 1` and `fold1` are one."""
    spelt = {re.sub(r"[ _-]+", "", folder).lower(): folder for folder in folders}
    return "_".join(spelt.values())


def _of_part(case: Case, name: str, split: str | None, *, own: bool) -> Case:
    """A case of a part of a set; with patients of its `own`, unless an array names them, as it may in every part."""
    volume = case.volume and f"{name}_{case.volume}"
    patient = case.patient and (f"{name}_{case.patient}" if own else case.patient)
    return replace(case, id=f"{name}_{case.id}", volume=volume, patient=patient, split=case.split or split)


def find_in_set(stored: Mapping[str, StoredArray], hints: ReadOptions) -> DiscoveredDataset:
    """The cases of arrays by their names.

    Raises:
        DataError: the arrays have other shapes, or do not fit each other.
    """
    named = {name: array for name, array in stored.items() if SET_NAME.fullmatch(name)}
    by_split: dict[str, dict[str, StoredArray]] = {}
    for name, array in named.items():
        found = SET_NAME.fullmatch(name)
        if found is not None:
            role = "images" if found["role"] == "volumes" else found["role"]
            by_split.setdefault(found["split"] or "", {})[role] = array
    cases, notes = list[Case](), list[str]()
    for split in sorted(by_split, key=["", *_SPLITS].index):
        if "images" in by_split[split]:
            part = _part(by_split[split], split, hints)
            cases, notes = cases + list(part.cases), notes + list(part.notes)
        else:
            notes.append(f"{split}_labels or masks without {split}_images: not used")
    if unused := [name for name in stored if name not in named and name not in CLASS_NAMES]:
        notes.append(f"arrays of other names, not used: {', '.join(_about(name, stored[name]) for name in unused)}")
    form = "npz" if next(iter(named.values())).key else "npy"
    concluded = finalise_dataset(cases, list(dict.fromkeys(notes)), form=form)._replace(patients_by=_said_by(named))
    return _with_class_names(concluded, stored)


def _said_by(names: Iterable[str]) -> str:
    """What says whose the images are, in words."""
    return "the array 'patients'" if any(name.endswith("patients") for name in names) else ""


def _about(name: str, array: StoredArray) -> str:
    """An array that is not used; of texts some of them, and how they become classes."""
    if array.header.dtype.kind not in "SU" or len(array.shape) != 1:
        return name
    texts = list(dict.fromkeys(map(str, read_array(array.path, array.key))))
    shown = ", ".join(texts[:_SHOWN]) + (" ..." if len(texts) > _SHOWN else "")
    return f"{name} ({array.shape[0]} texts: {shown}; called labels they would be the classes of the images)"


def _with_class_names(found: DiscoveredDataset, stored: Mapping[str, StoredArray]) -> DiscoveredDataset:
    """The same with names instead of numbers, where arrays hold the names of classes."""
    classes, pixels = (
        [str(name) for name in read_array(stored[key].path, stored[key].key)] if key in stored else []
        for key in CLASS_NAMES
    )
    numbers = {str(number): name for number, name in enumerate(classes)}
    cases = tuple(replace(case, label=numbers.get(case.label or "", case.label)) for case in found.cases)
    return found._replace(
        cases=cases,
        classes=tuple(sorted({case.label for case in cases if case.label is not None}, key=natural)),
        mask_names=dict(enumerate(pixels)),
    )


def _part(arrays: Mapping[str, StoredArray], split: str, hints: ReadOptions) -> DiscoveredDataset:
    images, labels = arrays["images"], arrays.get("labels")
    masks = arrays.get("masks")
    if masks is None and labels is not None and len(labels.shape) >= 3:
        labels, masks = None, labels  # labels of pixels
    axes = axes_beside(images.shape, masks.shape, counted=True) if masks else None
    axes = axes or axes_of(str(images), images.shape, counted=True, slice_axis=hints.slice_axis)
    names: Sequence[str | None] = [None] * axes.cases
    if labels is not None:
        names = image_classes(str(labels), read_array(labels.path, labels.key), axes.cases)
    drawn, told = _drawn(images, axes, masks, hints) if masks else ([], [])
    ids = _ids(arrays.get("ids"), axes.cases, split)
    owners = _owners(arrays.get("patients"), axes.cases)
    cases = [
        case
        for row, label in enumerate(names)
        for case in planes(Case(id=ids[row], image="", label=label, patient=owners[row]), row, (images, axes), drawn)
    ]
    cases = [replace(case, split=_SPLITS.get(split)) for case in cases]
    return finalise_dataset(cases, [f"{images.key or images.path.name}: {axes}", *told], form="npz")


def _drawn(
    images: StoredArray, axes: Axes, masks: StoredArray, hints: ReadOptions
) -> tuple[list[MaskArray], list[str]]:
    """The masks of the images of an array, and what their channels were taken for."""
    channels = layered(axes, masks.shape)
    if channels is None:
        return [MaskArray(masks, mask_axes(images, axes, masks))], []
    layers = layers_of([(masks, channels)], hints)
    return [MaskArray(masks, channels, layers)], [f"{masks.key or masks.path.name}: {layers.note}"]


def _ids(given: StoredArray | None, count: int, split: str) -> list[str]:
    """The ids that the file has for its images, if they are different and safe as file names; else numbers."""
    if given is not None and given.shape == (count,):
        names = [str(name) for name in read_array(given.path, given.key)]
        if len(set(names)) == count and all(
            bare(name) == name and not name.startswith(".") and is_safe_id(name) for name in names
        ):
            return names
    digits = len(str(count - 1))
    return [f"{split}_{row:0{digits}d}" if split else f"{row:0{digits}d}" for row in range(count)]


def _owners(given: StoredArray | None, count: int) -> Sequence[str | None]:
    """Whose each image is; None where nobody said.

    Raises:
        DataError: there is not one patient for each image.
    """
    if given is None:
        return [None] * count
    if given.shape != (count,):
        raise DataError(
            f"{given} has the shape {given.shape} for {count} images",
            expected="the name or number of one patient for each image",
            code="DATA-019",
        )
    return [str(name) for name in read_array(given.path, given.key)]


def image_classes(where: str, values: Array, count: int) -> list[str]:
    """One class name per image from an array of class numbers or names; rows with a single 1 are numbers too.

    Raises:
        DataError: it has not one class for each image.
    """
    if values.ndim == 2 and values.shape[0] == count and values.shape[1] > 1 and _one_hot(values):
        values = values.argmax(1)
    if values.size != count or (values.dtype.kind == "f" and (values % 1).any()):
        finding = f"{where} has the shape {values.shape} for {count} images"
        raise DataError(
            finding,
            expected="one class number per image",
            remedy="store one class for each image; several findings per image are not read",
            code="DATA-019",
        )
    return [str(int(value)) if values.dtype.kind in "fbiu" else str(value) for value in values.reshape(-1)]


def _one_hot(values: Array) -> bool:
    numbers = values.dtype.kind in "fbiu"
    return bool(numbers and ((values == 0) | (values == 1)).all() and (values.sum(1) == 1).all())
