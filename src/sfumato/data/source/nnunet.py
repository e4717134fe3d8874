"""nnU-Net raw data sets.

    Dataset004_Hippocampus/dataset.json
                           imagesTr/case_0000.nii.gz, case_0001.nii.gz (a file for each channel)
                           labelsTr/case.nii.gz
                           imagesVa, labelsVa (or imagesVal, labelsVal), imagesTs, labelsTs
    splits_final.json      in the folder or beside it: `sfumato.data.folds`

In `dataset.json`, `labels` maps names to values; a list of values is a region (a union of labels), and `ignore` is the
value of voxels that say nothing. Read too: the older form of the Medical Segmentation Decathlon (values to names,
images without `_0000`, channels as values of a voxel), and files named by a `dataset` entry. Lists of labelled cases
(`training`, `validation`, `test`) are splits, where no folds divide the cases.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from sfumato.data.folds import SPLITS_NAME
from sfumato.data.folds import read_splits as read_splits
from sfumato.data.folds import write_splits as write_splits
from sfumato.data.formats.joined import mask_parts
from sfumato.data.formats.locator import Locator
from sfumato.data.formats.scan import is_volume
from sfumato.data.manifest import Case
from sfumato.data.order import natural
from sfumato.data.source.discovered import DiscoveredDataset, ReadOptions, finalise_dataset
from sfumato.data.source.layout import Arranged
from sfumato.data.source.listing import SourceFile, files_below, is_hidden, not_read
from sfumato.data.source.patterns import told_files
from sfumato.data.source.volumes import cut_volumes
from sfumato.data.source.words import SPLIT_WORDS
from sfumato.errors import DataError, listed
from sfumato.files import read_file
from sfumato.shortage import raise_shortage
from sfumato.wording import counted

NAME = "dataset.json"
"""What describes a data set of nnU-Net."""

_PARTS = {"train": ("Tr",), "validation": ("Va", "Val"), "test": ("Ts",)}
"""How the names of the folders of a split end, behind `images` and `labels`."""
_LABELS = frozenset(f"labels{end}" for ends in _PARTS.values() for end in ends)
CHANNEL = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")
_MODALITIES = {
    "ct": "CT",
    "mr": "MR",
    "mri": "MR",
    "t1": "MR",
    "t1w": "MR",
    "t2": "MR",
    "t2w": "MR",
    "flair": "MR",
    "t1c": "MR",
    "t1ce": "MR",
    "t1gd": "MR",
    "adc": "MR",
    "dwi": "MR",
    "us": "US",
    "pet": "PT",
}


class _Words(NamedTuple):
    """What `dataset.json` says about the values of masks."""

    names: dict[int, str]
    regions: dict[str, tuple[int, ...]]
    ignore: int | None


class _Part(NamedTuple):
    """The files of a part of the data set: images by case and channel, labels by case."""

    images: dict[str, dict[int, Path]]
    labels: dict[str, Path]


def is_nnunet(folder: Path) -> bool:
    """Whether a folder is an nnU-Net raw data set."""
    path = folder / NAME
    if not path.is_file():
        return False
    try:
        content = json.loads(read_file(path))
    except (OSError, ValueError, RecursionError) as error:
        raise_shortage(error, reading=path)
        return (folder / "imagesTr").is_dir()
    named = isinstance(content, dict) and isinstance(content.get("labels"), dict)
    return named and ("dataset" in content or (folder / "imagesTr").is_dir())


def nnunet_root(folder: Path) -> Path | None:
    """The nnU-Net raw data set that a folder is, or that is all there is in it."""
    if is_nnunet(folder):
        return folder
    inside = [path for path in folder.iterdir() if not is_hidden(path.name)]
    return inside[0] if len(inside) == 1 and inside[0].is_dir() and is_nnunet(inside[0]) else None


def read_label_words(folder: Path) -> _Words | None:
    """What the `dataset.json` of a folder of labels says about their values; None without one of nnU-Net.

    The file lies in the folder (predictions of nnU-Net), or above `labelsTr` and `labelsTs`.

    Raises:
        DataError: its labels are not as expected.
    """
    above = [folder.resolve().parent] * (folder.resolve().name in _LABELS)
    for path in (place / NAME for place in (folder, *above)):
        try:
            content = json.loads(read_file(path))
        except (OSError, ValueError, RecursionError) as error:
            raise_shortage(error, reading=path)
            continue
        if isinstance(content, dict) and isinstance(content.get("labels"), dict):
            return _words(path, content)
    return None


def with_label_words(found: DiscoveredDataset, *, told: bool = False) -> DiscoveredDataset:
    """The same with what `dataset.json` says of the values of its masks, where all of these are labels of nnU-Net.

    Args:
        found: what a person's patterns, or a table, say of a source.
        told: whether to tell where nothing of that file is used.
    """
    named = _with_label_words(found)
    if told and named is found:
        return found._replace(notes=(*found.notes, f"{NAME} is not used: it names the values of labels in labelsTr"))
    return named


def _with_label_words(found: DiscoveredDataset) -> DiscoveredDataset:
    if not found.has_masks or found.mask_names:
        return found
    masks = (part.locator for case in found.cases for mask in case.masks for part in mask_parts(mask))
    folders = set[Path]()
    for folder in (Locator.parse(mask).path.parent for mask in masks):
        if folder.name not in _LABELS:
            return found
        folders.add(folder)
    said = [read_label_words(folder) for folder in sorted(folders)]
    words = said[0]
    if words is None or any(others != words for others in said):
        return found
    note = f"{NAME} names the values of the masks"
    return found._replace(
        mask_names=words.names, regions=words.regions, ignore=words.ignore, notes=(*found.notes, note)
    )


def find_in_nnunet(folder: Path, hints: ReadOptions) -> DiscoveredDataset:
    """The cases of an nnU-Net raw data set.

    Raises:
        DataError: `dataset.json` is not as expected; channels or labels are missing (all are listed); the folds do not
            fit.
    """
    folder = folder.absolute()
    content = _content(folder / NAME)
    words = _words(folder / NAME, content)
    ending = str(content.get("file_ending", ""))
    parts = _parts(folder, ending)
    if isinstance(content.get("dataset"), dict):
        parts["train"] = _listed_part(folder, content["dataset"])
    arranged = _arranged(parts, hints)
    folds = _folds(folder, arranged.cases, arranged.notes)
    arranged = arranged if folds else _with_lists(arranged, content, ending)
    expected, there = content.get("numTraining"), sum(case.split == "train" for case in arranged.cases)
    if isinstance(expected, int) and expected != there:
        arranged.notes.append(f"{NAME} says numTraining {expected}, {there} cases are there")
    cases = _divided(arranged.cases, folds, hints.fold, arranged.notes)
    found = _expanded(arranged._replace(cases=cases), hints, _named_channels(content, parts["train"]))
    return found._replace(
        channels=_channels(parts["train"]),
        notes=(*_told(folder, content, parts), *_beside(folder, parts), *found.notes),
        mask_names=words.names,
        regions=words.regions,
        ignore=words.ignore,
        modality=_modality(content) or found.modality,
        folds=folds,
    )


def _channels(part: _Part) -> tuple[str, ...]:
    """How the files of an image of several end."""
    count = max(len(channels) for channels in part.images.values())
    return tuple(f"{number:04d}" for number in range(count)) if count > 1 else ()


def _named_channels(content: Mapping[str, Any], part: _Part) -> int:
    """How many channels `dataset.json` names where each image is a single file; 0 for none, or a file for each."""
    given = content.get("channel_names") or content.get("modality")
    return len(given) if isinstance(given, dict) and not _channels(part) else 0


def _told(folder: Path, content: Mapping[str, Any], parts: Mapping[str, _Part]) -> Iterator[str]:
    """The pairing, in a line."""

    def entries(paths: Iterable[Path]) -> list[SourceFile]:
        return [SourceFile(str(path), path.relative_to(folder).parts) for path in paths if path.is_relative_to(folder)]

    images = [path for part in parts.values() for channels in part.images.values() for path in channels.values()]
    masks = [path for part in parts.values() for path in part.labels.values()]
    given = content.get("channel_names") or content.get("modality") or {}
    numbered = given.items() if isinstance(given, dict) else ()
    names = [f"{int(number):04d} is {name}" for number, name in numbered if str(number).isdecimal()]
    named = f"; channels: {', '.join(names)}" if len(names) > 1 else ""
    yield f"images: {told_files(entries(images))}{named}; masks: {told_files(entries(masks))}"


def _beside(folder: Path, parts: Mapping[str, _Part]) -> list[str]:
    """A note about files in other folders than those of nnU-Net."""
    read = {str(path) for part in parts.values() for files in part.images.values() for path in files.values()}
    read |= {str(path) for part in parts.values() for path in part.labels.values()}
    return not_read([entry for entry in files_below(folder).entries if entry.locator not in read], "in other folders")


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_file(path))
    except (OSError, ValueError, RecursionError) as error:
        raise_shortage(error, reading=path)
        raise _malformed(path, f"cannot be read ({error})") from error
    if not isinstance(content, dict) or not isinstance(content.get("labels"), dict):
        raise _malformed(path, "has no labels by name")
    return content


def _malformed(path: Path, what: str) -> DataError:
    return DataError(
        f"{path} {what}",
        expected='{"channel_names": {"0": "CT"}, "labels": {"background": 0, "tumour": 1}, "file_ending": ".png"}',
        remedy="write it as the documentation of nnU-Net says",
        code="DATA-065",
    )


def _words(path: Path, content: Mapping[str, Any]) -> _Words:
    names: dict[int, str] = {}
    regions: dict[str, tuple[int, ...]] = {}
    ignore = None
    for key, value in content["labels"].items():
        if isinstance(value, list) and value and all(_is_value(number) for number in value):
            regions[key] = tuple(value)
        elif _is_value(value) and key == "ignore":
            ignore = value
        elif _is_value(value):
            names[value] = key
        elif isinstance(value, str) and key.isdecimal():  # the Decathlon's order
            names[int(key)] = value
        else:
            raise _malformed(path, f"has the label '{key}' with the value {value!r}")
    for number in sorted({number for values in regions.values() for number in values}):
        names.setdefault(number, f"label {number}")
    return _Words(dict(sorted(names.items())), regions, ignore)


def _is_value(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _modality(content: Mapping[str, Any]) -> str | None:
    """What made the images, by the names of the channels, where they agree."""
    channels = content.get("channel_names") or content.get("modality") or {}
    names = channels.values() if isinstance(channels, dict) else ()
    known = {_MODALITIES.get(str(name).lower()) for name in names}
    return known.pop() if len(known) == 1 else None


def _parts(folder: Path, ending: str) -> dict[str, _Part]:
    """The files of all folders. Where a label is called as an image is, numbers are those of cases: `amos_0001`."""
    stems = {
        split: [
            {_stem(path, ending): path for end in ends for path in _files(folder / f"{kind}{end}", ending)}
            for kind in ("images", "labels")
        ]
        for split, ends in _PARTS.items()
    }
    are_channels = not any(images.keys() & labels.keys() for images, labels in stems.values())
    return {split: _Part(_by_case(images, are_channels), labels) for split, (images, labels) in stems.items()}


def _by_case(images: Mapping[str, Path], are_channels: bool) -> dict[str, dict[int, Path]]:
    by_case: dict[str, dict[int, Path]] = defaultdict(dict)
    for stem, path in images.items():
        found = CHANNEL.fullmatch(stem) if are_channels else None
        by_case[found["case"] if found else stem][int(found["channel"]) if found else 0] = path
    return dict(by_case)


def _files(folder: Path, ending: str) -> list[Path]:
    if not folder.is_dir():
        return []
    paths = [path for path in folder.iterdir() if not is_hidden(path.name) and _ends(path, ending)]
    return sorted((path for path in paths if path.is_file()), key=lambda path: natural(path.name))


def _stem(path: Path, ending: str) -> str:
    return path.name[: -len(ending)] if ending else re.sub(r"(\.nii)?\.[^.]+$", "", path.name, flags=re.IGNORECASE)


def _ends(path: Path, ending: str) -> bool:
    return path.name.lower().endswith(ending.lower())


def _listed_part(folder: Path, listing: Mapping[str, Any]) -> _Part:
    """The files that `dataset.json` names itself; they must lie below its folder."""
    images: dict[str, dict[int, Path]] = {}
    labels: dict[str, Path] = {}
    for case, entry in listing.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("images"), list) or "label" not in entry:
            raise _malformed(folder / NAME, f"has the case '{case}' without images and label")
        images[case] = {number: _below(folder, str(name)) for number, name in enumerate(entry["images"])}
        labels[case] = _below(folder, str(entry["label"]))
    return _Part(images, labels)


def _below(folder: Path, name: str) -> Path:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise DataError(
            f"{folder / NAME}: '{name}' lies outside its folder",
            expected="files below the folder of the data set",
            code="DATA-017",
        )
    if not path.is_file():
        raise DataError(f"{folder / NAME}: '{name}' does not exist", expected="a file of the case", code="DATA-001")
    return path


def _arranged(parts: Mapping[str, _Part], hints: ReadOptions) -> Arranged:
    """Cases of all parts; those that are not for training count only when they have labels."""
    train = parts["train"]
    if not train.images:
        raise DataError("imagesTr holds no images", expected="imagesTr/case_0000.nii.gz ...", code="DATA-002")
    _check_channels({name: files for part in (*parts.values(), train) for name, files in part.images.items()})
    notes, unpaired = list[str](), list[str]()
    bare = [name for name in train.images if name not in train.labels]
    orphans = [name for part in parts.values() for name in part.labels if name not in part.images]
    if hints.images_only:
        everyone = [_case(name, part, split) for split, part in parts.items() for name in part.images]
        return Arranged([replace(case, masks=()) for case in everyone], notes, unpaired)
    if bare or orphans:
        text = [
            f"{len(names)} {what}:\n{listed(names)}"
            for what, names in (("cases of imagesTr have no label", bare), ("labels have no image", orphans))
            if names
        ]
        if not hints.drop_unpaired:
            raise DataError(
                "\n  ".join(text),
                expected="labelsTr/case.nii.gz for each imagesTr/case_0000.nii.gz",
                remedy="complete the data set"
                + (", or leave these cases out with --drop-unpaired" if len(bare) < len(train.images) else ""),
                code="DATA-010",
            )
        notes.append(f"left out because they have no partner: {len(bare)} images, {len(orphans)} labels")
        unpaired = [*bare, *orphans]
    for split, part in parts.items():
        unlabelled = [files for name, files in part.images.items() if name not in part.labels]
        if split != "train" and unlabelled:
            notes.append(f"cases of {unlabelled[0][0].parent.name} without labels, not used: {len(unlabelled)}")
    cases = [_case(name, part, split) for split, part in parts.items() for name in part.images if name in part.labels]
    return Arranged(cases, notes, unpaired)


def _check_channels(images: Mapping[str, Mapping[int, Path]]) -> None:
    count = max(len(channels) for channels in images.values())
    if uneven := [
        f"{name}: {', '.join(f'{channel:04d}' for channel in sorted(channels))}"
        for name, channels in images.items()
        if sorted(channels) != list(range(count))
    ]:
        raise DataError(
            f"{counted(len(uneven), 'case lacks', 'cases lack')} channels:\n{listed(uneven)}",
            expected=f"the channels 0000 to {count - 1:04d} of each case",
            remedy="complete the data set, or take these cases out of it",
            code="DATA-065",
        )


def _case(name: str, part: _Part, split: str) -> Case:
    image, *channels = (str(path) for _, path in sorted(part.images[name].items()))
    masks = (str(part.labels[name]),) if name in part.labels else ()
    return Case(id=name, image=image, channels=tuple(channels), masks=masks, split=split)


def _folds(folder: Path, cases: Sequence[Case], notes: list[str]) -> tuple[Mapping[str, str], ...]:
    """The folds of the file in the folder, or of one beside it that names these cases."""
    names = {case.id for case in cases if case.split == "train"}
    for path in (folder / SPLITS_NAME, folder.parent / SPLITS_NAME):
        if not path.is_file():
            continue
        folds = read_splits(path)
        foreign = sorted({name for fold in folds for name in fold} - names, key=natural)
        if not foreign:
            notes.append(f"{path} divides the cases into {len(folds)} folds")
            return folds
        if path.parent == folder or len(foreign) < len({name for fold in folds for name in fold}):
            raise DataError(
                f"{path}: {len(foreign)} cases are not in the data set:\n{listed(foreign)}",
                expected="cases of labelsTr",
                remedy="put the file of this data set there, or take it away",
                code="DATA-066",
            )
        notes.append(f"{path} is of another data set: not used")
    return ()


def _with_lists(arranged: Arranged, content: Mapping[str, Any], ending: str) -> Arranged:
    """The same with the splits that lists of labelled cases say, unless one is in several."""
    listed = [
        (SPLIT_WORDS[key.lower()], _stem(Path(entry["label"]), ending))
        for key, entries in content.items()
        if key.lower() in SPLIT_WORDS and isinstance(entries, list)
        for entry in entries
        if isinstance(entry, dict) and isinstance(entry.get("label"), str)
    ]
    there = {case.id for case in arranged.cases if case.split == "train"}
    splits = {name: split for split, name in listed if name in there}
    if set(splits.values()) <= {"train"}:
        return arranged
    if twice := {name for split, name in listed if splits.get(name, split) != split}:
        note = f"{NAME} lists cases of splits, not followed: {counted(len(twice), 'case')} would be in several"
        return arranged._replace(notes=[*arranged.notes, note])
    cases = [replace(case, split=splits.get(case.id, case.split)) for case in arranged.cases]
    sizes = Counter(splits.values())
    told = ", ".join(f"{split} {sizes[split]}" for split in _PARTS if sizes[split])
    return arranged._replace(cases=cases, notes=[*arranged.notes, f"{NAME} lists the cases of splits: {told}"])


def _divided(cases: Sequence[Case], folds: Sequence[Mapping[str, str]], fold: int, notes: list[str]) -> list[Case]:
    """Cases with the split of a fold; what it does not mention is kept for testing, since nnU-Net trains not on it."""
    if not folds:
        return list(cases)
    if not 0 <= fold < len(folds):
        finding = f"fold {fold} was asked for, {SPLITS_NAME} has {len(folds)}"
        raise DataError(finding, expected=f"0 to {len(folds) - 1}", remedy="give another --fold", code="DATA-066")
    divided = [replace(case, split=folds[fold].get(case.id, "test")) for case in cases]
    held = sum(case.split == "train" and case.id not in folds[fold] for case in cases)
    if held:
        notes.append(f"cases that fold {fold} does not mention, kept for testing: {held}")
    return divided


def _expanded(arranged: Arranged, hints: ReadOptions, channels: int) -> DiscoveredDataset:
    if is_volume(Path(arranged.cases[0].image)):
        return cut_volumes(arranged, hints, form="nnU-Net raw", channels=channels)
    return finalise_dataset(arranged.cases, arranged.notes, form="nnU-Net raw", unpaired=arranged.unpaired)
