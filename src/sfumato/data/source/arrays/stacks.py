"""Arrays that hold a whole set, by their names: `images`, `masks`, `labels`, `ids`; also behind `train_`, `test_` ...

They are members of one NPZ file, or NPY files of one folder - or of several, each of which is a part of the set:
`fold1/images.npy` and `fold1/masks.npy`, `train/images.npy`. Folders that are called after a role alone (`images`,
`masks`) only sort the files. Arrays of texts of other names are said.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from sfumato.data.formats.archive import Array, array_headers, read_array
from sfumato.data.manifest import Case, is_safe_id
from sfumato.data.order import natural
from sfumato.data.source.arrays.axes import Axes, axes_beside, axes_of
from sfumato.data.source.arrays.drawn import MaskArray, mask_axes, planes
from sfumato.data.source.arrays.layers import layered, layers_of
from sfumato.data.source.arrays.stored import StoredArray
from sfumato.data.source.discovered import DiscoveredDataset, ReadOptions, finalise_dataset
from sfumato.data.source.listing import PathParts, SourceFile
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
    sets = defaultdict[PathParts, dict[str, StoredArray]](dict)
    for entry in entries:
        part = tuple(folder for folder in entry.parts[:-1] if not _is_role(folder))
        stored = _array_of_set(entry)
        if stored is None or entry.stem in sets[part]:
            return None
        sets[part][entry.stem] = stored
    if len(sets) > 1 and not all(map(_is_part, _differing(list(sets)))):
        return None
    return dict(sets)


def _array_of_set(entry: SourceFile) -> StoredArray | None:
    """The array of an NPY file that is called after what it is of a set, or that holds texts; None for any other."""
    path = Path(entry.locator)
    if path.suffix.lower() != ".npy":
        return None
    stored = StoredArray(path, "", array_headers(path)[""])
    is_named = SET_NAME.fullmatch(entry.stem) or entry.stem in CLASS_NAMES
    return stored if is_named or stored.header.dtype.kind in "SU" else None


def _is_role(folder: str) -> bool:
    said = read_folder(folder)
    return said.certain and said.role in ("image", "mask") and not said.split


def _differing(parts: Sequence[PathParts]) -> list[str]:
    """The names of folders that are not those of all parts."""
    common = set(parts[0]).intersection(*parts)
    return [folder for part in parts for folder in part if folder not in common]


def _is_part(folder: str) -> bool:
    return _PART.fullmatch(folder) is not None or folder.lower() in WORDS_OF_SPLITS


def find_in_sets(sets: Mapping[PathParts, Mapping[str, StoredArray]], hints: ReadOptions) -> DiscoveredDataset:
    """The cases of the parts of a set, see `sets_of`."""
    if len(sets) == 1:
        return find_in_set(next(iter(sets.values())), hints)
    differing = {folder.lower() for folder in _differing(list(sets))}
    cases, notes, mask_names = list[Case](), list[str](), dict[int, str]()
    parts_by_note = defaultdict[str, list[str]](list)
    for part in sorted(sets, key=lambda parts: natural("/".join(parts))):
        arrays = sets[part]
        if not has_image_array(list(arrays)):
            notes.append(f"{'/'.join(part)}: {', '.join(arrays)} without images, not used")
            continue
        found = find_in_set(arrays, hints)
        name, split = _name([folder for folder in part if folder.lower() in differing]), _split_of(part)
        cases += [_of_part(case, name, split, own="patients" not in arrays) for case in found.cases]
        for note in found.notes:
            parts_by_note[note].append(name)
        mask_names = dict(found.mask_names)
    notes += [f"{', '.join(parts)}: {note}" for note, parts in parts_by_note.items()]
    patients_by = _said_by(chain.from_iterable(sets.values()))
    return finalise_dataset(cases, notes, form="npy")._replace(mask_names=mask_names, patients_by=patients_by)


def _split_of(part: PathParts) -> str | None:
    """The split that the first folder says which says one."""
    for folder in part:
        if split := WORDS_OF_SPLITS.get(folder.lower()):
            return split
    return None


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
    by_split = _by_split(stored)
    cases, notes = list[Case](), list[str]()
    for split in sorted(by_split, key=["", *_SPLITS].index):
        if "images" in by_split[split]:
            part = _part(by_split[split], split, hints)
            cases += part.cases
            notes += part.notes
        else:
            notes.append(f"{split}_labels or masks without {split}_images: not used")
    named = [name for name in stored if SET_NAME.fullmatch(name)]
    unused = [_about(name, array) for name, array in stored.items() if name not in (*named, *CLASS_NAMES)]
    if unused:
        notes.append(f"arrays of other names, not used: {', '.join(unused)}")
    form = "npz" if stored[named[0]].key else "npy"
    found = finalise_dataset(cases, list(dict.fromkeys(notes)), form=form)
    return _with_class_names(found._replace(patients_by=_said_by(named)), stored)


def _by_split(stored: Mapping[str, StoredArray]) -> dict[str, dict[str, StoredArray]]:
    """The arrays of each split by their roles; those without a split by the split ""."""
    by_split = defaultdict[str, dict[str, StoredArray]](dict)
    for name, array in stored.items():
        if found := SET_NAME.fullmatch(name):
            role = "images" if found["role"] == "volumes" else found["role"]
            by_split[found["split"] or ""][role] = array
    return by_split


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
    classes, pixels = [_texts(stored[key]) if key in stored else [] for key in CLASS_NAMES]
    names = {str(number): name for number, name in enumerate(classes)}
    cases = tuple(replace(case, label=names.get(case.label or "", case.label)) for case in found.cases)
    labels = {case.label for case in cases if case.label is not None}
    return found._replace(cases=cases, classes=tuple(sorted(labels, key=natural)), mask_names=dict(enumerate(pixels)))


def _texts(array: StoredArray) -> list[str]:
    """The values of an array as texts."""
    return [str(value) for value in read_array(array.path, array.key)]


def _part(arrays: Mapping[str, StoredArray], split: str, hints: ReadOptions) -> DiscoveredDataset:
    """The cases of a split."""
    images, labels, masks = arrays["images"], arrays.get("labels"), arrays.get("masks")
    if masks is None and labels is not None and len(labels.shape) >= 3:
        labels, masks = None, labels  # labels of pixels
    axes = axes_beside(images.shape, masks.shape, counted=True) if masks else None
    axes = axes or axes_of(str(images), images.shape, counted=True, slice_axis=hints.slice_axis)
    names = _labels(labels, axes.cases)
    drawn, told = _drawn(images, axes, masks, hints) if masks else ([], [])
    ids = _ids(arrays.get("ids"), axes.cases, split)
    owners = _owners(arrays.get("patients"), axes.cases)
    cases = list[Case]()
    for row in range(axes.cases):
        case = Case(id=ids[row], image="", label=names[row], patient=owners[row], split=_SPLITS.get(split))
        cases += planes(case, row, (images, axes), drawn)
    return finalise_dataset(cases, [f"{images.key or images.path.name}: {axes}", *told], form="npz")


def _labels(labels: StoredArray | None, count: int) -> Sequence[str | None]:
    """The class of each image; None where nobody said."""
    if labels is None:
        return [None] * count
    return image_classes(str(labels), read_array(labels.path, labels.key), count)


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
        names = _texts(given)
        if len(set(names)) == count and all(map(_is_plain_id, names)):
            return names
    digits, start = len(str(count - 1)), f"{split}_" if split else ""
    return [f"{start}{row:0{digits}d}" for row in range(count)]


def _is_plain_id(name: str) -> bool:
    """Whether a text can be the name of a file, and is no path."""
    return bare(name) == name and not name.startswith(".") and is_safe_id(name)


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
    return _texts(given)


def image_classes(where: str, values: Array, count: int) -> list[str]:
    """One class name per image from an array of class numbers or names; rows with a single 1 are numbers too.

    Raises:
        DataError: it has not one class for each image.
    """
    if values.ndim == 2 and values.shape[0] == count and values.shape[1] > 1 and _one_hot(values):
        values = values.argmax(1)
    if values.size != count or _has_fractions(values):
        raise DataError(
            f"{where} has the shape {values.shape} for {count} images",
            expected="one class number per image",
            remedy="store one class for each image; several findings per image are not read",
            code="DATA-019",
        )
    if values.dtype.kind in "fbiu":
        return [str(int(value)) for value in values.reshape(-1)]
    return [str(value) for value in values.reshape(-1)]


def _has_fractions(values: Array) -> bool:
    return values.dtype.kind == "f" and bool((values % 1).any())


def _one_hot(values: Array) -> bool:
    numbers = values.dtype.kind in "fbiu"
    return bool(numbers and ((values == 0) | (values == 1)).all() and (values.sum(1) == 1).all())
