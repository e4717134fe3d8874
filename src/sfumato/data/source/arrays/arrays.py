"""Cases in arrays of NumPy: one file (or one folder) with all of them, or one file for each.

All in one: arrays called `images` or `volumes`, with `labels` and `masks` beside them; the same after `train_`, `val_`
and `test_` (MedMNIST); or a single array of any name. They may be members of an NPZ file or NPY
files of these names. `ids`, `class_names` and `mask_class_names` beside them give names to images and classes.
`labels` that have a number for each pixel are masks (`source.stacks`). One for each: NPZ files with `image` and `mask`
(or `label`), or NPZ and NPY files with a single array, arranged in folders like pictures. What the axes mean is told in
`sfumato.data.source.arrays.axes`, what channels of masks are in `sfumato.data.source.arrays.layers`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from sfumato.data.formats.archive import array_headers
from sfumato.data.formats.joined import is_joined
from sfumato.data.manifest import Case
from sfumato.data.source.arrays.axes import Axes, axes_beside, axes_of
from sfumato.data.source.arrays.drawn import MaskArray, mask_axes, planes
from sfumato.data.source.arrays.layers import CASES_TRIED, Layers, layered, layers_of
from sfumato.data.source.arrays.stacks import SET_NAME, find_in_set, find_in_sets, has_image_array, sets_of
from sfumato.data.source.arrays.stored import StoredArray
from sfumato.data.source.discovered import DiscoveredDataset, ReadOptions, finalise_dataset
from sfumato.data.source.listing import SourceFile
from sfumato.data.source.matching.layout import Arranged, match_masks
from sfumato.errors import DataError, listed

IMAGE_NAMES, MASK_NAMES = ("image", "volume"), ("mask", "label", "seg")

_SHOWN = 5
"""Shapes of arrays that are told."""


def find_in_arrays(path: Path, hints: ReadOptions) -> DiscoveredDataset:
    """The cases in one NPZ or NPY file.

    Raises:
        DataError: the arrays have other names or shapes, or do not fit each other.
    """
    path = path.absolute()
    stored = {key: StoredArray(path, key, header) for key, header in array_headers(path).items()}
    if has_image_array(list(stored)):
        return find_in_set(stored, hints)
    if len(stored) == 1 or any(key in stored for key in IMAGE_NAMES):
        case = Case(id=path.stem, image=str(path))
        return _each([case], [], hints, alone=True)
    raise DataError(
        f"{path} has the arrays {', '.join(stored) or '(none)'}",
        expected="images or volumes (and labels or masks), or train_images, train_labels ... as in MedMNIST",
        remedy="save it again with these names",
        code="DATA-018",
    )


def find_in_array_files(
    entries: Sequence[SourceFile], masks: Sequence[SourceFile] | None, hints: ReadOptions
) -> DiscoveredDataset:
    """The cases in a folder of NPZ and NPY files.

    Raises:
        DataError: as for `find_in_arrays`, and for several files that hold a data set each.
    """
    if len(entries) == 1 and masks is None:
        return find_in_arrays(Path(entries[0].locator), hints)
    if masks is None and (parts := sets_of(entries)) is not None:
        return find_in_sets(parts, hints)
    _refuse_sets([Path(entry.locator) for entry in entries])
    return expand(match_masks(entries, masks=masks, hints=hints), hints)


def _refuse_sets(paths: Sequence[Path]) -> None:
    """Refuse files that hold a data set each.

    Raises:
        DataError: some do.
    """
    sets = [path.name for path in paths if path.suffix.lower() == ".npz" and _is_set(path)]
    if sets:
        raise DataError(
            f"{len(paths)} files of arrays, of which {len(sets)} hold a data set each:\n{listed(sets)}",
            expected="one data set, or one image in each file",
            remedy="give the path of one of them",
            code="DATA-018",
        )


def expand(arranged: Arranged, hints: ReadOptions) -> DiscoveredDataset:
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


def _each(cases: Sequence[Case], notes: Sequence[str], hints: ReadOptions, *, alone: bool) -> DiscoveredDataset:
    """Expand cases that name a file of arrays each."""
    expanded, shapes = list[Case](), Counter[str]()
    known = _Known(cases, hints)
    for case in cases:
        image, masks = _files(case)
        axes = known.axes(image, masks, alone=alone)
        further = [_like(image, _single(Path(channel)).image) for channel in case.channels]
        drawn = [known.drawn(image, axes, mask) for mask in masks]
        shapes[str(axes)] += 1
        for row in range(axes.cases):
            named = replace(case, id=f"{case.id}_{row:03d}") if axes.counted else case
            own = planes(named, row, (image, axes), drawn)
            expanded += _with_channels(own, [planes(named, row, (array, axes), []) for array in further])
    form = "npz" if cases[0].image.lower().endswith(".npz") else "npy"
    return finalise_dataset(expanded, [*notes, *_told_shapes(shapes, len(cases)), *known.notes()], form=form)


def _told_shapes(shapes: Mapping[str, int], arrays: int) -> Iterator[str]:
    """What the axes of arrays were taken for, with how many are so."""
    for text, count in islice(shapes.items(), _SHOWN):
        yield f"{count} of {arrays} arrays: {text}" if arrays > 1 else text
    if len(shapes) > _SHOWN:
        yield f"... and {len(shapes) - _SHOWN} more shapes of arrays"


class _Known:
    """What is known of the arrays of several files: the meaning of channels of masks is decided once.

    Args:
        cases: with a file for each image.
        hints: what a person says.
    """

    def __init__(self, cases: Sequence[Case], hints: ReadOptions) -> None:
        self._cases, self._hints = cases, hints
        self._layers: dict[int, Layers] = {}

    def axes(self, image: StoredArray, masks: Sequence[StoredArray], *, alone: bool) -> Axes:
        """The axes of an image."""
        counted = None if alone and not masks and len(array_headers(image.path)) == 1 else False
        axes = axes_beside(image.shape, masks[0].shape, counted=False) if masks else None
        return axes or axes_of(str(image), image.shape, counted=counted, slice_axis=self._hints.slice_axis)

    def drawn(self, image: StoredArray, axes: Axes, mask: StoredArray) -> MaskArray:
        """A mask on its image."""
        channels = layered(axes, mask.shape)
        if channels is None:
            return MaskArray(mask, mask_axes(image, axes, mask))
        count = _channels(channels)
        if count not in self._layers:
            self._layers[count] = layers_of([(mask, channels), *self._sample(count)], self._hints)
        return MaskArray(mask, channels, self._layers[count])

    def _sample(self, count: int) -> Iterator[tuple[StoredArray, Axes]]:
        """Masks of a few cases with as many channels."""
        for case in self._cases[:: max(1, len(self._cases) // CASES_TRIED)][:CASES_TRIED]:
            image, masks = _files(case)
            axes = self.axes(image, masks, alone=False)
            for mask in masks:
                channels = layered(axes, mask.shape)
                if channels is not None and _channels(channels) == count:
                    yield mask, channels

    def notes(self) -> list[str]:
        """What the channels of masks were taken for."""
        return [layers.note for layers in self._layers.values()]


def _channels(axes: Axes) -> int:
    return axes.first or axes.shape[-1]


def _files(case: Case) -> tuple[StoredArray, list[StoredArray]]:
    """The image and the masks of a case, which may be in one file."""
    image, inside = _single(Path(case.image))
    if inside:
        return image, [inside]
    return image, [_single(Path(mask)).image for mask in case.masks]


def _like(image: StoredArray, channel: StoredArray) -> StoredArray:
    """A further channel, which must be of the shape of its image."""
    if channel.shape != image.shape:
        finding = f"{channel} has the shape {channel.shape}, its image {image} {image.shape}"
        raise DataError(finding, expected="channels of one shape", code="DATA-012")
    return channel


def _with_channels(cases: Sequence[Case], further: Sequence[Sequence[Case]]) -> Iterator[Case]:
    """The same with the channels of further files behind their own."""
    for number, case in enumerate(cases):
        channels = list(case.channels)
        for of_file in further:
            channels += [of_file[number].image, *of_file[number].channels]
        yield replace(case, channels=tuple(channels))


class _Single(NamedTuple):
    """The image of a file that holds one case, and its mask if that is in the same file."""

    image: StoredArray
    mask: StoredArray | None


def _single(path: Path) -> _Single:
    """What a file holds that is one case, or one mask.

    Raises:
        DataError: it has several arrays of other names.
    """
    stored = {key: StoredArray(path, key, header) for key, header in array_headers(path).items()}
    if len(stored) == 1:
        return _Single(next(iter(stored.values())), None)
    images = [stored[key] for key in stored if key in IMAGE_NAMES]
    masks = [stored[key] for key in stored if key in MASK_NAMES]
    if len(images) == 1 and len(masks) <= 1:
        return _Single(images[0], masks[0] if masks else None)
    raise DataError(
        f"{path} has the arrays {', '.join(stored) or '(none)'}",
        expected="a single array, or image and mask",
        remedy="save it again with these names",
        code="DATA-018",
    )
