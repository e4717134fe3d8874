"""Cases in arrays of NumPy: one file (or one folder) with all of them, or one file for each.

All in one: arrays called `images` or `volumes`, with `labels` and `masks` beside them; the same after `train_`, `val_`
and `test_` (MedMNIST); or a single array of any name. They may be members of an NPZ file or NPY
files of these names. `ids`, `class_names` and `mask_class_names` beside them give names to images and classes.
`labels` that have a number for each pixel are masks. One for each: NPZ files with `image` and `mask` (or `label`), or
NPZ and NPY files with a single array, arranged in folders like pictures. What the axes mean is told in
`sfumato.data.source.axes`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from sfumato.data.formats.archive import Array, ArrayHeader, Locator, array_headers, read_array
from sfumato.data.formats.joined import is_joined
from sfumato.data.manifest import Case, is_safe_id
from sfumato.data.order import natural
from sfumato.data.source.axes import Axes, axes_beside, axes_of
from sfumato.data.source.found import Found, Hints, conclude
from sfumato.data.source.layout import Arranged, arrange
from sfumato.data.source.listing import Entry
from sfumato.data.source.table import bare
from sfumato.errors import DataError, listed

SPLITS = {"train": "train", "val": "validation", "test": "test"}
SET_NAME = re.compile(r"(?:(?P<split>train|val|test)_)?(?P<role>images|volumes|labels|masks|ids)")
CLASS_NAMES = ("class_names", "mask_class_names")
"""Arrays with the names of the classes of images and of pixels, by their numbers."""

IMAGE_NAMES, MASK_NAMES = ("image", "volume"), ("mask", "label", "seg")


class Stored(NamedTuple):
    """An array that was not read yet."""

    path: Path
    key: str
    header: ArrayHeader

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return self.header.shape

    def locator(self, member: str) -> str:
        """The locator of a part of it."""
        return str(Locator(self.path, f"{self.key}/{member}" if self.key else member))

    def __str__(self) -> str:
        return f"{self.path}: {self.key}" if self.key else str(self.path)


def find_in_arrays(path: Path, hints: Hints) -> Found:
    """The cases in one NPZ or NPY file.

    Raises:
        DataError: the arrays have other names or shapes, or do not fit each other.
    """
    path = path.absolute()
    stored = {key: Stored(path, key, header) for key, header in array_headers(path).items()}
    named = {key: array for key, array in stored.items() if SET_NAME.fullmatch(key)}
    if any("images" in key or "volumes" in key for key in named):
        return _find_in_set(named, stored, hints)
    if len(stored) == 1 or any(key in stored for key in IMAGE_NAMES):
        case = Case(id=path.stem, image=str(path))
        return _each([case], [], hints, alone=True)
    raise DataError(
        f"{path} has the arrays {', '.join(stored) or '(none)'}",
        expected="images or volumes (and labels or masks), or train_images, train_labels ... as in MedMNIST",
        remedy="save it again with these names",
        code="DATA-018",
    )


def find_in_array_files(entries: Sequence[Entry], masks: Sequence[Entry] | None, hints: Hints) -> Found:
    """The cases in a folder of NPZ and NPY files.

    Raises:
        DataError: as for `find_in_arrays`, and for several files that hold a data set each.
    """
    if len(entries) == 1 and masks is None:
        return find_in_arrays(Path(entries[0].locator), hints)
    paths = [Path(entry.locator) for entry in entries]
    if masks is None and all(path.suffix.lower() == ".npy" and SET_NAME.fullmatch(path.stem) for path in paths):
        stored = {path.stem: Stored(path, "", array_headers(path)[""]) for path in paths}
        if len(stored) == len(paths) and any("images" in name or "volumes" in name for name in stored):
            return _find_in_set(stored, stored, hints)
    if sets := [path.name for path in paths if path.suffix.lower() == ".npz" and _is_set(path)]:
        raise DataError(
            f"{len(paths)} files of arrays, of which {len(sets)} hold a data set each:\n{listed(sets)}",
            expected="one data set, or one image in each file",
            remedy="give the path of one of them",
            code="DATA-018",
        )
    arranged = arrange(entries, masks=masks, hints=hints)
    return expand(arranged, hints)


def expand(arranged: Arranged, hints: Hints) -> Found:
    """The images in files of arrays, one or several in each.

    Raises:
        DataError: they have other names or shapes, or do not fit each other.
    """
    if any(is_joined(mask) for case in arranged.cases for mask in case.masks):
        raise DataError(
            f"{arranged.cases[0].image}: several arrays are one mask, which is not read",
            expected="one array for each mask",
            remedy="join them and save them again, or say that they are of readers: --readers-by suffix",
            code="DATA-064",
        )
    found = _each(arranged.cases, arranged.notes, hints, alone=False)
    return found._replace(unpaired=tuple(arranged.unpaired), channels=arranged.channels)


def _is_set(path: Path) -> bool:
    return any(SET_NAME.fullmatch(key) and "labels" not in key for key in array_headers(path))


def _find_in_set(named: Mapping[str, Stored], stored: Mapping[str, Stored], hints: Hints) -> Found:
    """The cases of arrays by their names."""
    by_split: dict[str, dict[str, Stored]] = {}
    for name, array in named.items():
        found = SET_NAME.fullmatch(name)
        if found is not None:
            role = "images" if found["role"] == "volumes" else found["role"]
            by_split.setdefault(found["split"] or "", {})[role] = array
    cases, notes = list[Case](), list[str]()
    for split in sorted(by_split, key=["", *SPLITS].index):
        if "images" in by_split[split]:
            part = _part(by_split[split], split, hints)
            cases, notes = cases + list(part.cases), notes + list(part.notes)
        else:
            notes.append(f"{split}_labels or masks without {split}_images: not used")
    if unused := [name for name in stored if name not in named and name not in CLASS_NAMES]:
        notes.append(f"arrays of other names, not used: {', '.join(unused)}")
    form = "npz" if next(iter(named.values())).key else "npy"
    return _with_class_names(conclude(cases, list(dict.fromkeys(notes)), form=form), stored)


def _with_class_names(found: Found, stored: Mapping[str, Stored]) -> Found:
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


def _part(arrays: Mapping[str, Stored], split: str, hints: Hints) -> Found:
    images, labels = arrays["images"], arrays.get("labels")
    masks = arrays.get("masks")
    if masks is None and labels is not None and len(labels.shape) >= 3:
        labels, masks = None, labels  # labels of pixels
    axes = axes_beside(images.shape, masks.shape, counted=True) if masks else None
    axes = axes or axes_of(str(images), images.shape, counted=True, slice_axis=hints.slice_axis)
    names: Sequence[str | None] = [None] * axes.cases
    if labels is not None:
        names = class_names(str(labels), read_array(labels.path, labels.key), axes.cases)
    mask_axes = _mask_axes(images, axes, masks) if masks else None
    ids = _ids(arrays.get("ids"), axes.cases, split)
    cases = [
        case
        for row, label in enumerate(names)
        for case in _planes(
            Case(id=ids[row], image="", label=label),
            row,
            (images, axes),
            (masks, mask_axes) if masks and mask_axes else None,
        )
    ]
    cases = [replace(case, split=SPLITS.get(split)) for case in cases]
    return conclude(cases, [f"{images.key or images.path.name}: {axes}"], form="npz")


def _ids(given: Stored | None, count: int, split: str) -> list[str]:
    """The ids that the file has for its images, if they are different and safe as file names; else numbers."""
    if given is not None and given.shape == (count,):
        names = [str(name) for name in read_array(given.path, given.key)]
        if len(set(names)) == count and all(
            bare(name) == name and not name.startswith(".") and is_safe_id(name) for name in names
        ):
            return names
    digits = len(str(count - 1))
    return [f"{split}_{row:0{digits}d}" if split else f"{row:0{digits}d}" for row in range(count)]


def _mask_axes(images: Stored, axes: Axes, masks: Stored) -> Axes:
    """The axes of masks, which must lie on those of their images; an axis of one channel is fine."""
    counted = (axes.cases,) if axes.counted else ()
    plain = (*counted, *axes.extent)
    if masks.shape not in (plain, (*plain, 1), (*counted, 1, *axes.extent)):
        finding = f"{images} has the shape {images.shape}, {masks} {masks.shape}"
        raise DataError(finding, expected="a mask of the same size for every image", code="DATA-012")
    first = int(masks.shape == (*counted, 1, *axes.extent) and masks.shape != (*plain, 1))
    return axes._replace(shape=masks.shape, first=first)


def _planes(case: Case, row: int, images: tuple[Stored, Axes], masks: tuple[Stored, Axes] | None) -> list[Case]:
    """A case for an image, or one for each plane of a volume."""
    array, axes = images
    cuts: Sequence[int | None] = [None] if axes.planes is None else range(axes.planes)
    cases = []
    for plane in cuts:
        image, *channels = (array.locator(member) for member in axes.members(row, plane))
        mask = () if masks is None else (masks[0].locator(masks[1].members(row, plane)[0]),)
        filled = replace(case, image=image, channels=tuple(channels), masks=mask)
        if plane is not None:
            patient = case.patient or case.id
            filled = replace(filled, id=f"{case.id}_{plane:03d}", volume=case.id, patient=patient)
        cases.append(filled)
    return cases


def _each(cases: Sequence[Case], notes: Sequence[str], hints: Hints, *, alone: bool) -> Found:
    """Expand cases that name a file of arrays each."""
    expanded, said = list[Case](), dict[str, int]()
    for case in cases:
        image, inside = _single(Path(case.image))
        counted = None if alone and not inside and len(array_headers(image.path)) == 1 else False
        masks = [inside] if inside else [_single(Path(mask))[0] for mask in case.masks]
        further = [_like(image, _single(Path(channel))[0]) for channel in case.channels]
        axes = axes_beside(image.shape, masks[0].shape, counted=False) if masks else None
        axes = axes or axes_of(str(image), image.shape, counted=counted, slice_axis=hints.slice_axis)
        said[str(axes)] = said.get(str(axes), 0) + 1
        for row in range(axes.cases):
            named = replace(case, id=f"{case.id}_{row:03d}") if axes.counted else case
            planes = [_planes(named, row, (image, axes), (mask, _mask_axes(image, axes, mask))) for mask in masks]
            own = _together(planes) if planes else _planes(replace(named, masks=()), row, (image, axes), None)
            expanded += _with_channels(own, [_planes(named, row, (array, axes), None) for array in further])
    shapes = [f"{count} of {len(cases)} arrays: {text}" if len(cases) > 1 else text for text, count in said.items()]
    if len(shapes) > 5:
        shapes = [*shapes[:5], f"... and {len(shapes) - 5} more shapes of arrays"]
    return conclude(expanded, [*notes, *shapes], form="npz" if cases[0].image.lower().endswith(".npz") else "npy")


def _together(readers: Sequence[Sequence[Case]]) -> list[Case]:
    """One case per plane with the masks of all readers."""
    return [
        replace(planes[0], masks=tuple(mask for plane in planes for mask in plane.masks))
        for planes in zip(*readers, strict=True)
    ]


def _like(image: Stored, channel: Stored) -> Stored:
    """A further channel, which must be of the shape of its image."""
    if channel.shape != image.shape:
        finding = f"{channel} has the shape {channel.shape}, its image {image} {image.shape}"
        raise DataError(finding, expected="channels of one shape", code="DATA-012")
    return channel


def _with_channels(cases: Sequence[Case], further: Sequence[Sequence[Case]]) -> Iterator[Case]:
    """The same with the channels of further files behind their own."""
    for number, case in enumerate(cases):
        more = [locator for of_file in further for locator in (of_file[number].image, *of_file[number].channels)]
        yield replace(case, channels=(*case.channels, *more))


def _single(path: Path) -> tuple[Stored, Stored | None]:
    """The image of a file that holds one case, and its mask if that is in the same file."""
    stored = {key: Stored(path, key, header) for key, header in array_headers(path).items()}
    images = [array for key, array in stored.items() if key in IMAGE_NAMES]
    masks = [array for key, array in stored.items() if key in MASK_NAMES]
    if len(stored) == 1:
        return next(iter(stored.values())), None
    if len(images) == 1 and len(masks) <= 1:
        return images[0], masks[0] if masks else None
    raise DataError(
        f"{path} has the arrays {', '.join(stored) or '(none)'}",
        expected="a single array, or image and mask",
        remedy="save it again with these names",
        code="DATA-018",
    )


def class_names(where: str, values: Array, count: int) -> list[str]:
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
