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
from itertools import chain
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
from sfumato.data.source.listing import SourceFile, files_below, is_hidden, not_read
from sfumato.data.source.matching.layout import Arranged
from sfumato.data.source.patterns import told_files
from sfumato.data.source.volumes.volumes import cut_volumes
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

    def image_files(self) -> Iterator[Path]:
        """The files of all images."""
        for channels in self.images.values():
            yield from channels.values()


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
    is_all = len(inside) == 1 and inside[0].is_dir() and is_nnunet(inside[0])
    return inside[0] if is_all else None


def read_label_words(folder: Path) -> _Words | None:
    """What the `dataset.json` of a folder of labels says about their values; None without one of nnU-Net.

    The file lies in the folder (predictions of nnU-Net), or above `labelsTr` and `labelsTs`.

    Raises:
        DataError: its labels are not as expected.
    """
    places, real = [folder], folder.resolve()
    if real.name in _LABELS:
        places.append(real.parent)
    for place in places:
        path = place / NAME
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
    folders = _folders_of_labels(found)
    said = [read_label_words(folder) for folder in sorted(folders)]
    if not said or said[0] is None or any(others != said[0] for others in said):
        return found
    return found._replace(
        mask_names=said[0].names,
        regions=said[0].regions,
        ignore=said[0].ignore,
        notes=(*found.notes, f"{NAME} names the values of the masks"),
    )


def _folders_of_labels(found: DiscoveredDataset) -> set[Path]:
    """The folders of masks, all of which are those of labels of nnU-Net; none where one is another."""
    folders = set[Path]()
    for case in found.cases:
        for part in chain.from_iterable(map(mask_parts, case.masks)):
            folder = Locator.parse(part.locator).path.parent
            if folder.name not in _LABELS:
                return set()
            folders.add(folder)
    return folders


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
    if not folds:
        arranged = _with_lists(arranged, content, ending)
    arranged.notes.extend(_about_number(content, arranged.cases))
    cases = _divided(arranged.cases, folds, hints.fold, arranged.notes)
    found = _expanded(arranged._replace(cases=cases), hints, _named_channels(content, parts["train"]))
    return found._replace(
        channels=_channels(parts["train"]),
        notes=(_told(folder, content, parts), *_beside(folder, parts), *found.notes),
        mask_names=words.names,
        regions=words.regions,
        ignore=words.ignore,
        modality=_modality(content) or found.modality,
        folds=folds,
    )


def _about_number(content: Mapping[str, Any], cases: Sequence[Case]) -> Iterator[str]:
    """What is to be said where `dataset.json` counts other cases."""
    expected, there = content.get("numTraining"), sum(case.split == "train" for case in cases)
    if isinstance(expected, int) and expected != there:
        yield f"{NAME} says numTraining {expected}, {there} cases are there"


def _channels(part: _Part) -> tuple[str, ...]:
    """How the files of an image of several end."""
    count = max(len(channels) for channels in part.images.values())
    return tuple(f"{number:04d}" for number in range(count)) if count > 1 else ()


def _named_channels(content: Mapping[str, Any], part: _Part) -> int:
    """How many channels `dataset.json` names where each image is a single file; 0 for none, or a file for each."""
    given = content.get("channel_names") or content.get("modality")
    return len(given) if isinstance(given, dict) and not _channels(part) else 0


def _told(folder: Path, content: Mapping[str, Any], parts: Mapping[str, _Part]) -> str:
    """The pairing, in a line."""
    images = [path for part in parts.values() for path in part.image_files()]
    masks = [path for part in parts.values() for path in part.labels.values()]
    given = content.get("channel_names") or content.get("modality") or {}
    names = list[str]()
    for number, name in given.items() if isinstance(given, dict) else ():
        if str(number).isdecimal():
            names.append(f"{int(number):04d} is {name}")
    named = f"; channels: {', '.join(names)}" if len(names) > 1 else ""
    return f"images: {told_files(_below_root(images, folder))}{named}; masks: {told_files(_below_root(masks, folder))}"


def _below_root(paths: Iterable[Path], folder: Path) -> list[SourceFile]:
    """The files that lie below the folder of the data set."""
    return [SourceFile(str(path), path.relative_to(folder).parts) for path in paths if path.is_relative_to(folder)]


def _beside(folder: Path, parts: Mapping[str, _Part]) -> list[str]:
    """A note about files in other folders than those of nnU-Net."""
    read = set[str]()
    for part in parts.values():
        read.update(map(str, part.image_files()))
        read.update(map(str, part.labels.values()))
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
    """What `dataset.json` says about the values of masks.

    Raises:
        DataError: a label is neither a value nor a list of values.
    """
    names, regions, ignore = dict[int, str](), dict[str, tuple[int, ...]](), None
    for key, value in content["labels"].items():
        if isinstance(value, list) and value and all(map(_is_value, value)):
            regions[key] = tuple(value)
        elif _is_value(value) and key == "ignore":
            ignore = value
        elif _is_value(value):
            names[value] = key
        elif isinstance(value, str) and key.isdecimal():  # the Decathlon's order
            names[int(key)] = value
        else:
            raise _malformed(path, f"has the label '{key}' with the value {value!r}")
    for number in sorted(set(chain.from_iterable(regions.values()))):
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
    images = {split: _by_stem(folder, "images", split, ending) for split in _PARTS}
    labels = {split: _by_stem(folder, "labels", split, ending) for split in _PARTS}
    are_channels = all(images[split].keys().isdisjoint(labels[split]) for split in _PARTS)
    return {split: _Part(_by_case(images[split], are_channels), labels[split]) for split in _PARTS}


def _by_stem(folder: Path, kind: str, split: str, ending: str) -> dict[str, Path]:
    """The images or labels of a split by their names without ending."""
    found = dict[str, Path]()
    for end in _PARTS[split]:
        for path in _files(folder / f"{kind}{end}", ending):
            found[_stem(path, ending)] = path
    return found


def _by_case(images: Mapping[str, Path], are_channels: bool) -> dict[str, dict[int, Path]]:
    """The files of each image by their channel."""
    by_case = defaultdict[str, dict[int, Path]](dict)
    for stem, path in images.items():
        found = CHANNEL.fullmatch(stem) if are_channels else None
        if found:
            by_case[found["case"]][int(found["channel"])] = path
        else:
            by_case[stem][0] = path
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
    cases = [_case(name, part, split) for split, part in parts.items() for name in part.images]
    if hints.images_only:
        return Arranged([replace(case, masks=()) for case in cases], [], [])
    bare = [name for name in train.images if name not in train.labels]
    orphans = [name for part in parts.values() for name in part.labels if name not in part.images]
    notes = list[str]()
    if bare or orphans:
        if not hints.drop_unpaired:
            raise _without_partners(bare, orphans, len(train.images))
        notes.append(f"left out because they have no partner: {len(bare)} images, {len(orphans)} labels")
    notes += _about_unlabelled(parts)
    return Arranged([case for case in cases if case.masks], notes, [*bare, *orphans])


def _without_partners(bare: Sequence[str], orphans: Sequence[str], images: int) -> DataError:
    """The error that lists the cases for training without a label, and the labels without an image."""
    lists, remedy = list[str](), "complete the data set"
    if bare:
        lists.append(f"{len(bare)} cases of imagesTr have no label:\n{listed(bare)}")
    if orphans:
        lists.append(f"{len(orphans)} labels have no image:\n{listed(orphans)}")
    if len(bare) < images:
        remedy += ", or leave these cases out with --drop-unpaired"
    return DataError(
        "\n  ".join(lists),
        expected="labelsTr/case.nii.gz for each imagesTr/case_0000.nii.gz",
        remedy=remedy,
        code="DATA-010",
    )


def _about_unlabelled(parts: Mapping[str, _Part]) -> Iterator[str]:
    """What is to be said of images without labels that are not for training."""
    for split, part in parts.items():
        unlabelled = [files for name, files in part.images.items() if name not in part.labels]
        if split != "train" and unlabelled:
            yield f"cases of {unlabelled[0][0].parent.name} without labels, not used: {len(unlabelled)}"


def _check_channels(images: Mapping[str, Mapping[int, Path]]) -> None:
    """Refuse cases that lack channels which others have.

    Raises:
        DataError: some do (all are listed).
    """
    count = max(len(channels) for channels in images.values())
    uneven = list[str]()
    for name, channels in images.items():
        if sorted(channels) != list(range(count)):
            numbers = ", ".join(f"{channel:04d}" for channel in sorted(channels))
            uneven.append(f"{name}: {numbers}")
    if uneven:
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
    there = {case.id for case in cases if case.split == "train"}
    for path in (folder / SPLITS_NAME, folder.parent / SPLITS_NAME):
        if not path.is_file():
            continue
        folds = read_splits(path)
        names = set(chain.from_iterable(folds))
        foreign = sorted(names - there, key=natural)
        if not foreign:
            notes.append(f"{path} divides the cases into {len(folds)} folds")
            return folds
        if path.parent == folder or len(foreign) < len(names):
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
    there = {case.id for case in arranged.cases if case.split == "train"}
    listed_splits = defaultdict[str, list[str]](list)
    for name, split in _listed_cases(content, ending):
        if name in there:
            listed_splits[name].append(split)
    splits = {name: of_case[-1] for name, of_case in listed_splits.items()}
    if set(splits.values()) <= {"train"}:
        return arranged
    if twice := sum(len(set(of_case)) > 1 for of_case in listed_splits.values()):
        note = f"{NAME} lists cases of splits, not followed: {counted(twice, 'case')} would be in several"
        return arranged._replace(notes=[*arranged.notes, note])
    cases = [replace(case, split=splits.get(case.id, case.split)) for case in arranged.cases]
    sizes = Counter(splits.values())
    told = ", ".join(f"{split} {sizes[split]}" for split in _PARTS if sizes[split])
    return arranged._replace(cases=cases, notes=[*arranged.notes, f"{NAME} lists the cases of splits: {told}"])


class _ListedCase(NamedTuple):
    """A case that `dataset.json` lists for a split."""

    id: str
    split: str


def _listed_cases(content: Mapping[str, Any], ending: str) -> Iterator[_ListedCase]:
    """The cases with a label in the lists of `dataset.json` that are called after splits."""
    for key, entries in content.items():
        split = SPLIT_WORDS.get(key.lower())
        if split is None or not isinstance(entries, list):
            continue
        for entry in entries:
            if isinstance(entry, dict) and isinstance(entry.get("label"), str):
                yield _ListedCase(_stem(Path(entry["label"]), ending), split)


def _divided(cases: Sequence[Case], folds: Sequence[Mapping[str, str]], fold: int, notes: list[str]) -> list[Case]:
    """Cases with the split of a fold; what it does not mention is kept for testing, since nnU-Net trains not on it."""
    if not folds:
        return list(cases)
    if not 0 <= fold < len(folds):
        finding = f"fold {fold} was asked for, {SPLITS_NAME} has {len(folds)}"
        raise DataError(finding, expected=f"0 to {len(folds) - 1}", remedy="give another --fold", code="DATA-066")
    splits = folds[fold]
    held = sum(case.split == "train" and case.id not in splits for case in cases)
    if held:
        notes.append(f"cases that fold {fold} does not mention, kept for testing: {held}")
    return [replace(case, split=splits.get(case.id, "test")) for case in cases]


def _expanded(arranged: Arranged, hints: ReadOptions, channels: int) -> DiscoveredDataset:
    if is_volume(Path(arranged.cases[0].image)):
        return cut_volumes(arranged, hints, form="nnU-Net raw", channels=channels)
    return finalise_dataset(arranged.cases, arranged.notes, form="nnU-Net raw", unpaired=arranged.unpaired)
