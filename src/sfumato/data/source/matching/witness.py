"""What the pixels say where names do not: files of few values, named like others, are their masks.

Files are sorted into series: by folder, by ending, by the word behind their names, and, of volumes, by the name that
comes again in the folder of each case. Of a series that has the names of another one a few files are read. A series of
few values beside one of many is taken for the masks of that one, or of several that have its names together
(`scans_01-05`, `scans_06-10`). A class folder of nothing but such pictures, beside classes of real images, is no class:
it is refused until a person says what it is.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from sfumato.data.formats.image import read_image
from sfumato.data.formats.locator import Locator
from sfumato.data.formats.scan import is_volume, read_volume
from sfumato.data.source.listing import SourceFile, divided, place_among
from sfumato.data.source.matching.caseways import ways_in_cases
from sfumato.data.source.matching.proposed import flag_for_all, flags_for_pairs
from sfumato.data.source.patterns import told_files
from sfumato.data.source.picture import Picture
from sfumato.errors import DataError, listed

_SAMPLE = 4
"""Files of a series that are read."""

_SERIES = 48
"""Series that are looked at; where there are more, they are no habit of naming."""

_FEW = 8
"""Up to so many whole numbers are values of a picture of masks; of a label volume, four times as many."""

_STRUCTURES = 1024
"""Up to so many whole numbers are those of the structures of an atlas, where these are in patches."""

IN_PATCHES = 0.5
"""Share of the neighbours of one value among all that are not background; of images it is a tenth of that."""

_SOFT = 0.98
"""Share of the pixels near black and white in masks that were blurred by JPEG."""

LAST_WORD = re.compile(r"(.+)[ _.-]([^\W_]*[^\W\d_][^\W_]*)")
"""A name, and the word at its end, which may have digits: `C0`."""

_Key = TypeVar("_Key")


class _Seen(NamedTuple):
    """Images, masks, and the patterns of the masks."""

    images: list[Picture]
    masks: list[Picture]
    told: str = ""


class _Series(NamedTuple):
    """Files that are called alike; `stems` are what their names have in common with those of other series."""

    pictures: dict[str, Picture]

    def begins(self, other: "_Series") -> bool:
        """Whether most of its files are called like files of another series."""
        return 2 * len(self.pictures.keys() & other.pictures.keys()) > len(self.pictures)


def masks_by_pixels(pictures: Sequence[Picture]) -> _Seen:
    """Sort pictures into images and masks where their names say nothing.

    Raises:
        DataError: a class folder holds pictures of few values alone, and none is called like an image; or files of
            one name, each in a folder of its own, have few values, and others have many.
    """
    for ways in (_by_ending, _by_word, _by_name, _by_folder, _by_last_word):
        series = ways(pictures)
        masks = _masks_among(series) if 1 < len(series) <= _SERIES else []
        if masks:
            seen = _sorted(pictures, masks, nameless=ways is _by_name)
            return seen if ways is not _by_last_word else seen._replace(masks=list(map(_without_last_word, seen.masks)))
    _refuse_masks_as_class(pictures)
    _refuse_masks_by_name(pictures)
    return _Seen(list(pictures), [])


def masks_of_every_image(pictures: Sequence[Picture]) -> _Seen | None:
    """Images each of which has one picture called after it, by the same word, of few values; None for any others."""
    series = _by_word(pictures)
    images = series.get("")
    if images is None or len(series) != 2 or len(images.pictures) < 2:
        return None
    (masks,) = (one for word, one in series.items() if word)
    if masks.pictures.keys() != images.pictures.keys() or masks not in _masks_among(series):
        return None
    return _sorted(pictures, [masks], nameless=False)


def without_drawn(pictures: Sequence[Picture]) -> tuple[list[Picture], list[Picture]]:
    """Images, and the masks among them that are called like these but for the ending, by their pixels."""
    names = {(picture.entry.parts[:-1], picture.stem) for picture in pictures}
    if len(names) == len(pictures):
        return list(pictures), []
    series = _by_ending(pictures)
    masks = _masks_among(series) if 1 < len(series) <= _SERIES else []
    seen = _sorted(pictures, masks, nameless=False)
    return seen.images, seen.masks


def _sorted(pictures: Sequence[Picture], masks: Sequence[_Series], *, nameless: bool) -> _Seen:
    chosen = {picture.entry.locator for series in masks for picture in series.pictures.values()}
    images, drawn = list[Picture](), list[Picture]()
    for picture in pictures:
        if picture.entry.locator in chosen:
            drawn.append(_as_mask(picture, nameless=nameless))
        else:
            images.append(picture._replace(nested=picture.nested or nameless))  # a folder for each case is a patient's
    return _Seen(images, drawn, told_files([picture.entry for picture in drawn]))


def _as_mask(picture: Picture, *, nameless: bool) -> Picture:
    """A picture as a mask, whose own name says which it is of its case where masks are `nameless`."""
    mask = picture._replace(role="mask", below=len(picture.group), folder="")
    return mask._replace(folder=picture.stem, stem="") if nameless else mask


def _masks_among(series: Mapping[object, _Series]) -> list[_Series]:
    """Series of few values whose files are called like those of a series of many."""
    partners = {key: _partners(key, series) for key in series}
    asked = {key for key, found in partners.items() if found}.union(*partners.values())
    looked = {key: looks_like_masks(list(series[key].pictures.values())) for key in series if key in asked}
    masks = list[_Series]()
    for key, one in series.items():
        if looked.get(key) and any(looked[other] is False for other in partners[key]):
            masks.append(one)
    return masks


def _partners(key: object, series: Mapping[object, _Series]) -> list[object]:
    """Series whose names one has: a single one each, or parts that have most of them together."""
    one, others = series[key], {name: other for name, other in series.items() if name != key}
    whole = [name for name, other in others.items() if one.begins(other)]
    if whole:
        return whole
    parts = [name for name, other in others.items() if other.begins(one)]
    together = set[str]().union(*(others[name].pictures for name in parts))
    return parts if 2 * len(one.pictures.keys() & together) > len(one.pictures) else []


def _by_folder(pictures: Sequence[Picture]) -> dict[object, _Series]:
    return _grouped((picture.entry.parts[:-1], picture.stem, picture) for picture in pictures)


def _by_ending(pictures: Sequence[Picture]) -> dict[object, _Series]:
    """By ending, as `a.jpg` and `a.png`: the names of a series are their paths without it."""
    return _grouped(
        (Path(picture.entry.name).suffix.lower(), "/".join((*picture.entry.parts[:-1], picture.stem)), picture)
        for picture in pictures
    )


def _by_word(pictures: Sequence[Picture]) -> dict[object, _Series]:
    """By the word behind the name of another file, as `a` and `a_lesion`; in its folder unless names are unique."""
    alone = len({picture.stem for picture in pictures}) == len(pictures)

    def name(picture: Picture) -> str:
        return picture.stem if alone else "/".join((*picture.entry.parts[:-1], picture.stem))

    paths = set(map(name, pictures))

    def split(picture: Picture) -> tuple[object, str, Picture]:
        path = name(picture)
        found = re.fullmatch(r"(.+)[ _.-]([^\W\d_]+)", path)
        return (found[2].lower(), found[1], picture) if found and found[1] in paths else ("", path, picture)

    return _grouped(map(split, pictures))


def _by_last_word(pictures: Sequence[Picture]) -> dict[object, _Series]:
    """By the last word of names, wherever they lie, as `train/1_C0`, `train/1_T2` and `train_gd/1_gd`."""
    named = ((LAST_WORD.fullmatch(picture.stem), picture) for picture in pictures)
    return _grouped((found[2].lower(), found[1], picture) for found, picture in named if found)


def _without_last_word(picture: Picture) -> Picture:
    found = LAST_WORD.fullmatch(picture.stem)
    return picture._replace(stem=found[1]) if found else picture


def _by_name(pictures: Sequence[Picture]) -> dict[object, _Series]:
    """By the whole name, where it comes again in many folders: a file of each kind in the folder of each case."""
    named = _grouped((picture.stem.lower(), "/".join(picture.entry.parts[:-1]), picture) for picture in pictures)
    return {name: series for name, series in named.items() if len(series.pictures) > 1}


def _grouped(sorted_pictures: object) -> dict[object, _Series]:
    groups: dict[object, dict[str, Picture]] = defaultdict(dict)
    for key, stem, picture in sorted_pictures:  # type: ignore[attr-defined]
        groups[key][stem] = picture
    return {key: _Series(members) for key, members in groups.items()}


def looks_like_masks(pictures: Sequence[Picture]) -> bool | None:
    """Whether a few of the files have few values; None where none can be read, or where all are of one value."""
    decided = [answer for answer in _looked_at(pictures) if answer is not None]
    return all(decided) if decided else None


def hardly_masks(pictures: Sequence[Picture]) -> bool:
    """Whether not one of a few files looks like a mask."""
    return are_photographs([picture.entry for picture in pictures])


def are_photographs(entries: Sequence[SourceFile]) -> bool:
    """Whether a few of the files have many values, and none has few."""
    found = _looked(entries)
    return False in found and True not in found


def have_few_values(entries: Sequence[SourceFile]) -> bool:
    """Whether a few of the files have few values, some of them more than one."""
    decided = [answer for answer in _looked(entries) if answer is not None]
    return bool(decided) and all(decided)


def photographs_and_drawn(entries: Sequence[SourceFile]) -> tuple[list[SourceFile], list[SourceFile]]:
    """Files without those of folders whose files are drawn, where other folders hold photographs; and these."""
    folders = defaultdict[tuple[str, ...], list[SourceFile]](list)
    for entry in entries:
        folders[entry.parts[:-1]].append(entry)
    if not 1 < len(folders) <= _SERIES or not any(map(are_photographs, folders.values())):
        return list(entries), []
    drawn = {folder for folder, files in folders.items() if are_drawn(files)}
    images, masks = divided(entries, lambda entry: entry.parts[:-1] not in drawn)
    return images, masks


def are_drawn(entries: Sequence[SourceFile]) -> bool:
    """Whether a few of the files have few values, or values in patches, as numbers of objects are."""
    decided = [answer for answer in map(_is_drawn, _a_few(entries)) if answer is not None]
    return bool(decided) and all(decided)


def _is_drawn(entry: SourceFile) -> bool | None:
    is_mask = _is_like_a_mask(entry.locator)
    if is_mask is not False or is_volume(Path(entry.locator)):
        return is_mask
    picture = read_image(entry.locator)
    whole = picture.shape[2] == 1 and not _has_fractions(picture)
    return whole and len(np.unique(picture)) <= _STRUCTURES and _is_in_patches(picture[..., 0])


def _looked_at(pictures: Sequence[Picture]) -> list[bool | None]:
    return _looked([picture.entry for picture in pictures])


def _looked(entries: Sequence[SourceFile]) -> list[bool | None]:
    """What a few of the files look like; others, where these are of one value, as the first slices of series are."""
    found = [_is_like_a_mask(entry.locator) for entry in _a_few(entries)]
    if any(answer is not None for answer in found) or len(entries) <= len(found):
        return found
    return [_is_like_a_mask(entry.locator) for entry in _between(entries)]


def _a_few(entries: Sequence[SourceFile]) -> Sequence[SourceFile]:
    return entries[:: max(1, len(entries) // _SAMPLE)][:_SAMPLE]


def _between(entries: Sequence[SourceFile]) -> list[SourceFile]:
    """Files in the middle of parts of all, then at their quarters, other than the first of each part."""
    parts = range(2 * _SAMPLE)
    middle = [entries[(2 * part + 1) * len(entries) // (4 * _SAMPLE)] for part in parts]
    return [*middle, *(entries[(4 * part + 1) * len(entries) // (8 * _SAMPLE)] for part in parts)]


def _is_like_a_mask(locator: str) -> bool | None:
    """Whether a file has few values; None where it cannot be read, or has one value alone."""
    target = Locator.parse(locator)
    try:
        if not target.member and is_volume(target.path):
            return _is_volume_of_few(np.asarray(read_volume(target.path).voxels))
        picture = read_image(locator)
    except DataError:
        return None
    if picture.shape[2] == 3 and (picture.max(2).astype(int) - picture.min(2) > _FEW).any():
        return _has_few_colours(picture)
    return _is_picture_of_few(picture[..., 0] if picture.shape[2] == 3 else picture)


def _is_volume_of_few(values: np.ndarray) -> bool | None:
    """Whether a volume has few values, or those of structures; None where it has one value alone."""
    if _has_fractions(values):
        return False
    distinct = np.unique(values)
    if len(distinct) == 1:
        return None
    if distinct[0] < 0 or len(distinct) > _STRUCTURES:
        return False
    return len(distinct) <= 4 * _FEW or _is_in_patches(values)


def _is_picture_of_few(values: np.ndarray) -> bool | None:
    """Whether a picture has few values, or is black and white but for soft edges; None where it has one value alone."""
    if _has_fractions(values):
        return False
    distinct = np.unique(values)
    if len(distinct) == 1:
        return None
    if distinct[0] >= 0 and len(distinct) <= _FEW:
        return True
    is_white = values >= 240
    near = is_white | (values <= 15)
    return bool(values.dtype == np.uint8 and near.mean() >= _SOFT and is_white.any())


def _has_fractions(values: np.ndarray) -> bool:
    """Whether some values are no whole numbers."""
    return values.dtype.kind == "f" and bool(not np.isfinite(values).all() or (values != np.rint(values)).any())


def _is_in_patches(values: np.ndarray) -> bool:
    """Whether most voxels beside one another that are not both background have one value, as those of structures."""
    numbers, counts = np.unique(values, return_counts=True)
    inside = values != numbers[counts.argmax()]
    same = all_pairs = 0
    for axis in range(values.ndim):
        along, inside_along = np.moveaxis(values, axis, 0), np.moveaxis(inside, axis, 0)
        drawn = inside_along[1:] | inside_along[:-1]
        same += int(((along[1:] == along[:-1]) & drawn).sum())
        all_pairs += int(drawn.sum())
    return same > IN_PATCHES * all_pairs


def _has_few_colours(values: np.ndarray) -> bool:
    """Whether a picture has a colour for each of few classes; a few of its pixels tell most photographs."""
    return all(len(np.unique(some.reshape(-1, 3), axis=0)) <= _FEW for some in (values[::16, ::16], values))


def _refuse_masks_by_name(pictures: Sequence[Picture]) -> None:
    """Refuse files that have one name in the folder of each case, and few values, beside others that have many."""
    named = _by_name(pictures)
    series = {name: list(one.pictures.values()) for name, one in named.items() if len(one.pictures) > 2}
    sides = _sides(series)
    if not sides.images or not sides.masks:
        return
    told = [told_files([one.entry for one in series[name]]) for name in sides.masks]
    images, masks = sides.files(series)
    every = [picture.entry for picture in pictures]
    ways = ways_in_cases(masks, [], every) if len(sides.masks) == 1 else []
    patterns = ", or ".join(ways) or flags_for_pairs(images, masks, every)
    patterns = patterns or "--images '**/{id}/PLACE/{channel}.*' --masks '**/{id}/NAME.*'"
    raise DataError(
        "files that come again in many folders have few values, as masks have, beside others that have many:\n"
        + listed(told),
        expected="masks that are called like their images, or lie beside them",
        remedy=f"say what are images and what masks: {patterns}; for images without masks --images alone",
        code="DATA-068",
    )


def _refuse_masks_as_class(pictures: Sequence[Picture]) -> None:
    """Refuse class folders of which some hold pictures of few values and the others images."""
    folders = _class_folders(pictures)
    sides = _sides(folders)
    if not sides.images or not sides.masks:
        return
    told = list[str]()
    for folder in sides.masks:
        files = told_files([one.entry for one in folders[folder]])
        told.append(f"{'/'.join(folder) or '.'}: {files}")
    images, masks = ([one.locator for one in files] for files in sides.files(folders))
    every = [picture.entry for picture in pictures]
    patterns = flags_for_pairs(*sides.files(folders), every)
    patterns = patterns or f"--images '{place_among(images)}' --masks '{place_among(masks)}'"
    alone = flag_for_all(every)
    otherwise = f"; all are images with {alone} alone" if alone else ""
    raise DataError(
        f"{len(sides.masks)} of {len(folders)} folders hold pictures of few values, as masks have, beside images:\n"
        f"{listed(told)}",
        expected="folders of images, each a class, or masks that are called like their images",
        remedy=f"say what are images and what masks: {patterns}{otherwise}",
        code="DATA-068",
    )


def _class_folders(pictures: Sequence[Picture]) -> Mapping[tuple[str, ...], list[Picture]]:
    """Pictures by the first folder that is not common to all: those that are only wrap."""
    levels = zip(*(picture.group for picture in pictures), strict=False)
    common = sum(1 for _ in takewhile(lambda names: len(set(names)) == 1, levels))
    folders = defaultdict[tuple[str, ...], list[Picture]](list)
    for picture in pictures:
        folders[picture.group[: common + 1]].append(picture)
    return folders


class _Sides(NamedTuple, Generic[_Key]):
    """Groups of pictures of many values, and those of few."""

    images: list[_Key]
    masks: list[_Key]

    def files(self, groups: Mapping[_Key, Sequence[Picture]]) -> tuple[list[SourceFile], list[SourceFile]]:
        """The files of both."""
        images = [picture.entry for key in self.images for picture in groups[key]]
        masks = [picture.entry for key in self.masks for picture in groups[key]]
        return images, masks


def _sides(groups: Mapping[_Key, Sequence[Picture]]) -> _Sides[_Key]:
    """Which of a few groups have many values, and which few; none where there are more groups, or a single one."""
    if not 1 < len(groups) <= _SERIES:
        return _Sides([], [])
    looked = {key: looks_like_masks(members) for key, members in groups.items()}
    images = [key for key, found in looked.items() if found is False]
    return _Sides(images, [key for key, found in looked.items() if found])
