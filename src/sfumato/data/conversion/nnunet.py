"""A source as a raw data set of nnU-Net (version 2).

    DatasetNNN_Name/
        dataset.json              channel_names, labels (with regions and ignore), numTraining, file_ending
        imagesTr/{case}_0000.png  training and validation cases; one file per channel, but RGB stays one file
        labelsTr/{case}.png       class indices without gaps
        imagesTs/ labelsTs/       test cases, where the source has them
        splits_final.json         the folds, where the source has training and validation cases

Images become PNG (TIFF where PNG cannot hold the numbers), volumes `.nii.gz` with their voxels in stored order and
their place in the patient. nnU-Net knows one mask per image: the first reader's.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sfumato.data.conversion.setting import (
    Conversion,
    ConversionStep,
    MaskMeaning,
    fits_png,
    one_channel_count,
    with_progress,
)
from sfumato.data.folds import SPLITS_NAME, write_splits
from sfumato.data.formats.image import Pixels, Plane, encode_png
from sfumato.data.formats.tiff import encode_tiff
from sfumato.data.manifest import Case
from sfumato.data.mask import IGNORED
from sfumato.errors import DataError, UsageError, listed

_NAME = re.compile(r"Dataset\d{3}_\w+")

_RGB = ("R", "G", "B")
"""Names of colour channels, by which nnU-Net knows how to scale them."""


def write_nnunet(conversion: Conversion, folder: Path) -> Iterator[ConversionStep]:
    """Write images and masks below an empty folder.

    Raises:
        DataError: there are no masks, or images differ in their channels.
    """
    refuse_without_masks(conversion.cases)
    meaning = conversion.meaning
    assert meaning is not None
    channels, coloured = _channels(conversion)
    ending = ".png" if all(map(fits_png, conversion.stock.dtypes)) else ".tif"
    encode = encode_png if ending == ".png" else encode_tiff
    splits: dict[str, str] = {}
    for case, name, step in with_progress(conversion):
        part = open_part(folder, case.split)
        images = [conversion.image(case, channels=3)] if coloured else _planes(conversion.parts(case))
        for number, image in enumerate(images):
            (part.images / f"{name}_{number:04d}{ending}").write_bytes(encode(image))
        if case.masks:
            (part.labels / f"{name}{ending}").write_bytes(encode(_consecutive(conversion.masks(case)[0], meaning)))
        splits[name] = case.split or ""
        yield step
    describe(folder, conversion, splits, channels=channels, ending=ending)


def refuse_name(folder: Path) -> None:
    """Refuse a name by which nnU-Net would not find the data set.

    Raises:
        UsageError: it is not like Dataset001_Name.
    """
    if not _NAME.fullmatch(folder.name):
        raise UsageError(
            f"nnU-Net does not find a data set in a folder called {folder.name}",
            expected="Dataset, three digits, an underline and a name",
            remedy=f"--out {folder.with_name('Dataset001_Name')}",
        )


@dataclass(frozen=True)
class _Part:
    """The two folders of training or test cases."""

    images: Path
    labels: Path


def open_part(folder: Path, split: str | None) -> _Part:
    """The folders of the cases of a split, which now exist."""
    end = "Ts" if split == "test" else "Tr"
    part = _Part(folder / f"images{end}", folder / f"labels{end}")
    for path in (part.images, part.labels):
        path.mkdir(parents=True, exist_ok=True)
    return part


def refuse_without_masks(cases: Sequence[Case]) -> None:
    """Refuse training cases without masks."""
    bare = [case.id for case in cases if not case.masks and case.split != "test"]
    if bare:
        raise DataError(
            f"{len(bare)} of {len(cases)} cases have no mask:\n{listed(bare)}",
            expected="a mask for every case: nnU-Net learns to segment",
            remedy="give the folder of the masks with --masks, or convert to another form",
            code="DATA-023",
        )


def _channels(conversion: Conversion) -> tuple[tuple[str, ...], bool]:
    """Names of the channels, and whether they are the colours of one file."""
    count = one_channel_count(conversion)
    if all(len(parts) == 1 for parts in conversion.stock.channels) and count in (1, 3):
        return (_RGB, True) if count == 3 else ((conversion.found.modality or "image",), False)
    return tuple(f"channel {number}" for number in range(count)), False


def _planes(parts: Sequence[Pixels]) -> list[Plane]:
    """Every channel by itself."""
    return [part[..., channel] for part in parts for channel in range(part.shape[2])]


def describe(
    folder: Path, conversion: Conversion, splits: Mapping[str, str], *, channels: Sequence[str], ending: str
) -> None:
    """Write `dataset.json`, and `splits_final.json` where cases have splits; `splits` has the split of each case."""
    assert conversion.meaning is not None
    labels, order = label_names(conversion.meaning)
    entry = {
        "channel_names": {str(number): name for number, name in enumerate(channels)},
        "labels": labels,
        **({"regions_class_order": order} if order else {}),
        "numTraining": sum(split != "test" for split in splits.values()),
        "file_ending": ending,
    }
    (folder / "dataset.json").write_text(json.dumps(entry, indent=1, ensure_ascii=False), encoding="utf-8")
    if folds := _folds(conversion, splits):
        write_splits(folder / SPLITS_NAME, folds)


def _folds(conversion: Conversion, splits: Mapping[str, str]) -> Sequence[Mapping[str, str]]:
    """The folds of the source, or one that is its split; none where nothing is for validation."""
    folds = conversion.found.folds
    if folds and all(set(fold) <= set(splits) for fold in folds):
        return folds
    return [splits] if {"train", "validation"} <= set(splits.values()) else []


def label_indices(raw: Plane, meaning: MaskMeaning) -> Plane:
    """Class indices of a mask as nnU-Net wants them."""
    return _consecutive(meaning.rule.apply(raw), meaning)


def _consecutive(classes: Plane, meaning: MaskMeaning) -> Plane:
    """Pixels to ignore get the index after the last class."""
    return np.where(classes == IGNORED, np.uint8(len(meaning.names)), classes)


def label_names(meaning: MaskMeaning) -> tuple[dict[str, int | list[int]], list[int]]:
    """The entries `labels` and `regions_class_order` of `dataset.json`.

    nnU-Net paints regions one over the other in the order in which they are named, each in the class index that stands
    at its place in `regions_class_order`: larger ones come first, and each gets a class that no later region has.
    """
    labels: dict[str, int | list[int]] = {"background": 0}
    order: list[int] = []
    if meaning.regions:
        regions = sorted(meaning.regions.items(), key=lambda region: -len(region[1]))
        for number, (name, members) in enumerate(regions):
            later = {index for _, others in regions[number + 1 :] for index in others}
            labels[name] = list(members) if len(members) > 1 else members[0]
            order.append(min(set(members) - later, default=members[0]))
    else:
        labels |= {name: index for index, name in enumerate(meaning.names) if index}
    return labels | ({"ignore": len(meaning.names)} if meaning.rule.ignore is not None else {}), order
