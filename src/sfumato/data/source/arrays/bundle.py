"""EDM-style data sets: a ZIP archive or a folder with images and a `dataset.json`.

    {"labels": [["00000/img00000000.png", 0], ...],
     "class_names": ["benign", ...],
     "file_names": {"00000/img00000000.png": "ISIC_0001.png"}}

`labels` may be null. A label is a class number, or a list of numbers of which one is 1 and the others are 0. The two
other keys are ours and may be missing: the programs that made this form lose the names of classes and files. Without
`dataset.json`, an archive is read like a folder: classes are its top folders.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from sfumato.data.formats.image import IMAGE_SUFFIXES
from sfumato.data.formats.locator import Locator
from sfumato.data.formats.zipped import read_zip_member, zip_members
from sfumato.data.manifest import Case, is_safe_id
from sfumato.data.source.discovered import DiscoveredDataset, ReadOptions, finalise_dataset
from sfumato.data.source.listing import (
    Listing,
    SourceFile,
    divided,
    files_below,
    is_picture_file,
    left_out,
    members_below,
)
from sfumato.data.source.matching.layout import match_masks
from sfumato.errors import DataError, listed
from sfumato.files import read_file
from sfumato.shortage import raise_shortage

_NAME = "dataset.json"
_MAX_BYTES = 2**30


def is_bundle(folder: Path) -> bool:
    """Whether a folder has a `dataset.json` of this form."""
    path = folder / _NAME
    if not path.is_file() or path.stat().st_size > _MAX_BYTES:
        return False
    try:
        content = json.loads(read_file(path))
    except (OSError, ValueError, RecursionError) as error:
        raise_shortage(error, reading=path)
        return False
    return isinstance(content, dict) and "labels" in content and isinstance(content["labels"], list | None)


def find_in_bundle(path: Path, hints: ReadOptions) -> DiscoveredDataset:
    """The cases of an archive or folder of this form.

    Raises:
        DataError: the archive is damaged or refused; labels do not fit the images or are no classes.
    """
    listing = files_below(path) if path.is_dir() else members_below(str(path.absolute()), zip_members(path))
    pictures, others = divided(listing.entries, is_picture_file)
    described = [entry for entry in others if entry.name == _NAME]
    if not pictures:
        raise DataError(f"{path} holds no images", expected="images, and a dataset.json", code="DATA-002")
    if not described:
        arranged = match_masks(pictures, hints=hints)
        return arranged._replace(notes=[*arranged.notes, *left_out(listing, others)]).found("zip")
    if len(described) > 1:
        names = listed([entry.where for entry in described])
        raise DataError(f"{path} has {len(described)} files {_NAME}:\n{names}", expected="one", code="DATA-058")
    return _found(described[0], listing._replace(entries=pictures), [e for e in others if e.name != _NAME], path)


def _found(described: SourceFile, listing: Listing, others: Sequence[SourceFile], path: Path) -> DiscoveredDataset:
    above = described.parts[:-1]
    images = {
        "/".join(entry.parts[len(above) :]): entry for entry in listing.entries if entry.parts[: len(above)] == above
    }
    content = _content(described)
    labels = _labels(described.locator, content.get("labels"), images)
    names = _class_names(described.locator, content, labels.values())
    original = content.get("file_names") or {}
    if not isinstance(original, dict):
        raise _malformed(described.locator, "file_names", '{"00000/img00000000.png": "name.png"}')
    notes = [] if labels else [f"{_NAME} has no labels: the images have no classes"]
    notes += (
        [f"images outside of the folder of {_NAME}, not used: {left}"]
        if (left := len(listing.entries) - len(images))
        else []
    )
    cases = [
        Case(
            id=name,
            image=entry.locator,
            label=names[labels[key]] if labels else None,
            source=str(original.get(key, "")),
        )
        for name, (key, entry) in zip(_ids(images, original), images.items(), strict=True)
    ]
    form = "EDM zip" if path.is_file() else "EDM folder"
    return finalise_dataset(cases, [*notes, *left_out(listing, others)], form=form)


def _content(described: SourceFile) -> dict[str, Any]:
    target = Locator.parse(described.locator)
    try:
        content = json.loads(read_zip_member(target.path, target.member) if target.member else read_file(target.path))
    except (OSError, ValueError, RecursionError) as error:
        raise_shortage(error, reading=described.locator)
        raise DataError(
            f"{described.locator} is no JSON: {error}", expected="a whole JSON file", code="DATA-058"
        ) from error
    if not isinstance(content, dict):
        raise _malformed(described.locator, "the file", '{"labels": ...}')
    return content


def _labels(where: str, given: object, images: Mapping[str, SourceFile]) -> dict[str, int]:
    """The class number of each image; empty where there are no labels.

    Raises:
        DataError: labels of files that are not there, images without a label, or labels that are no classes.
    """
    if given is None:
        return {}
    if not isinstance(given, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in given):
        raise _malformed(where, "labels", '[["name", 0], ...] or null')
    labels = {str(name).replace("\\", "/"): label for name, label in given}
    foreign, bare = [name for name in labels if name not in images], [name for name in images if name not in labels]
    twice = len(given) - len(labels)
    if foreign or bare or twice:
        parts = [
            f"{len(names)} {what}:\n{listed(names)}"
            for what, names in (("labels are of files that are not there", foreign), ("images have no label", bare))
            if names
        ] + ([f"{twice} labels name a file again"] if twice else [])
        raise DataError(
            f"{where}: " + "\n  ".join(parts),
            expected="one label for each image, by its path beside dataset.json",
            remedy="make the archive again, or mend dataset.json",
            code="DATA-058",
        )
    return {name: _class_number(where, name, label) for name, label in labels.items()}


def _class_number(where: str, name: str, label: object) -> int:
    if isinstance(label, int) and not isinstance(label, bool) and label >= 0:
        return label
    if isinstance(label, list) and label.count(1) == 1 and label.count(0) == len(label) - 1:
        return label.index(1)
    raise DataError(
        f"{where}: the label of {name} is {str(label)[:80]}",
        expected="a class number from 0, or a list with a single 1 and otherwise 0",
        remedy="sfumato learns one class per image; other vectors of numbers are not read",
        code="DATA-059",
    )


def _class_names(where: str, content: Mapping[str, Any], numbers: Any) -> dict[int, str]:
    """The name of each class number: the number itself where the file has no names."""
    given = content.get("class_names")
    if given is None:
        return {number: str(number) for number in numbers}
    if isinstance(given, dict) and all(str(key).isdecimal() for key in given):
        named = {int(key): str(name) for key, name in given.items()}
    elif isinstance(given, list):
        named = dict(enumerate(map(str, given)))
    else:
        raise _malformed(where, "class_names", '["benign", "malignant"]')
    if missing := sorted(set(numbers) - set(named)):
        finding = f"{where}: class_names has no name for {', '.join(map(str, missing))}"
        raise DataError(finding, expected="a name for each class", code="DATA-058")
    return {number: named[number] for number in numbers}


def _ids(images: Mapping[str, SourceFile], original: Mapping[str, Any]) -> list[str]:
    """The names that the files once had, if all differ and are safe; else their own; else with the folders."""
    for names in (
        [_without_ending(str(original.get(key, entry.name))) for key, entry in images.items()],
        [entry.stem for entry in images.values()],
        ["_".join((*PurePosixPath(key).parts[:-1], entry.stem)) for key, entry in images.items()],
    ):
        if len({name.casefold() for name in names}) == len(names) and all(map(is_safe_id, names)):
            return names
    return [key.replace("/", "_") for key in images]


def _without_ending(name: str) -> str:
    path = PurePosixPath(name.replace("\\", "/"))
    return path.stem if path.suffix.lower() in IMAGE_SUFFIXES else path.name


def _malformed(where: str, what: str, expected: str) -> DataError:
    return DataError(f"{where}: {what} is not of the expected form", expected=expected, code="DATA-058")
