"""Images and masks as a person says, by patterns of paths below the source.

    --images '*/images/{id}_training.tif' --masks '*/1st_manual/{id}_manual{reader}.gif'

`*` and `?` stand for letters of one name, `**` for any folders. A DICOM series goes by the path of its folder, or of
its first file: `{id}/*.dcm`. `{id}` is what an image and its masks have in common, within one name or, where it stands
alone between slashes, a folder; a pattern with several joins them. It ends as soon as the rest fits, or reaches as far
as it can where images and masks agree only so. `{reader}` and `{class}` tell masks of one image apart, `{channel}` the
files of an image. `re:` and a regular expression with the groups `id`, `reader`, `class`, `channel` says the same.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import PurePath
from typing import NamedTuple

from sfumato.data.formats.locator import BETWEEN
from sfumato.data.order import natural
from sfumato.data.source.discovered import ReadOptions
from sfumato.data.source.listing import PathParts, SourceFile, not_read
from sfumato.data.source.matching.pairing import Matched, Owned, Parted, match
from sfumato.data.source.patterns import told_files
from sfumato.data.source.people.dividing import saying_alone, split_in, splitting
from sfumato.data.source.people.labelled import about_cases
from sfumato.data.source.picture import Picture
from sfumato.data.source.words import composed, read_folder, says_mask
from sfumato.errors import DataError, UsageError, listed
from sfumato.wording import counted

_NAMES = ("id", "reader", "class", "channel")
_REACHING = "[^/]+?)"
ID = "(?P<id_{}>" + _REACHING
"""What `{id}` is: it ends as soon as the rest of a pattern fits."""

PLACE = re.compile(r"\{(\w*)\}|(\*\*/?)|(\*)|(\?)|([^{*?]+|\{)")


class Taken(NamedTuple):
    """A file that a pattern fits, what the names in the pattern are in its path, and its name without `{id}`."""

    entry: SourceFile
    id: str
    names: dict[str, str]
    rest: str = ""


def compiled(text: str, flag: str, *, needs_id: bool = True) -> re.Pattern[str]:
    """The regular expression of a pattern.

    Args:
        text: the pattern.
        flag: where a person gave it, for errors.
        needs_id: whether it must say what an image and its masks have in common.

    Raises:
        UsageError: it is no pattern, or lacks `{id}`.
    """
    try:
        found = re.compile(text[3:] if text.startswith("re:") else as_expression(text, flag))
    except re.error as error:
        raise UsageError(f"{flag} '{text}' is no regular expression: {error}") from error
    if needs_id and not any(name == "id" or name.startswith("id_") for name in found.groupindex):
        raise UsageError(
            f"{flag} '{text}' does not say what an image and its masks have in common",
            expected=f"{{id}} in the pattern, such as {flag} '*/images/{{id}}.png'",
        )
    return found


def as_expression(text: str, flag: str = "a pattern") -> str:
    """The regular expression of a pattern with `*`, `?` and names in braces."""
    pieces, ids = list[str](), 0
    for name, folders, star, one, plain in PLACE.findall(text):
        if name and name not in _NAMES:
            raise UsageError(f"{flag} '{text}': {{{name}}} is not known", expected=f"one of {{{'}, {'.join(_NAMES)}}}")
        if name == "id":
            pieces.append(ID.format(ids))
            ids += 1
        elif name:
            pieces.append(f"(?P<{name}>[^/]*?)")
        elif folders:
            pieces.append(r"(?:.*/)?")
        elif star:
            pieces.append("[^/]*")
        elif one:
            pieces.append("[^/]")
        else:
            pieces.append(re.escape(plain))
    return "".join(pieces)


def as_meant(hints: ReadOptions) -> ReadOptions:
    """The same with what `{reader}` and `{class}` in the pattern of the masks say of them.

    Raises:
        UsageError: the pattern has both.
    """
    pattern = hints.masks or ""
    readers, classes = _has(pattern, "reader"), _has(pattern, "class")
    if readers and classes:
        raise UsageError(f"--masks '{pattern}' has a reader and a class", expected="one of the two")
    if hints.is_said_of_masks:
        return hints
    if readers:
        return replace(hints, readers_by="suffix")
    return replace(hints, classes_by="suffix") if classes else hints


def _has(pattern: str, name: str) -> bool:
    """Whether a pattern or a regular expression has a name."""
    return f"{{{name}}}" in pattern or f"(?P<{name}>" in pattern


def by_patterns(entries: Sequence[SourceFile], masks: Sequence[SourceFile] | None, hints: ReadOptions) -> Parted:
    """Images and masks as the patterns say; where one is not given, names say it.

    Files called after a mask, with a word behind its name, are neither: `1_seg_points` beside `1_seg`.

    Args:
        entries: the files.
        masks: those of a folder of masks alone, or what a table of images does not name.
        hints: the patterns.

    Raises:
        UsageError: a pattern is none.
        DataError: a pattern fits no file, or several images have one id (all are listed).
    """
    try:
        parted = _by_patterns(entries, masks, hints)
    except DataError:
        if (far := _by_far_ids(entries, masks, hints)) is None:
            raise
        return _without_called_after_masks(far)
    if not parted.matched.owned:
        parted = _by_far_ids(entries, masks, hints) or parted
    return _without_called_after_masks(parted)


def _by_far_ids(entries: Sequence[SourceFile], masks: Sequence[SourceFile] | None, hints: ReadOptions) -> Parted | None:
    """The same where `{id}` of the images reaches as far as it can: `sub-1_ses-2` of `{id}_{channel}`, as in BIDS.

    None where images and masks do not agree so either.
    """
    if hints.images is None or hints.masks is None or hints.images.startswith("re:"):
        return None
    far = "re:" + as_expression(hints.images).replace(_REACHING, "[^/]+)")
    try:
        parted = _by_patterns(entries, masks, replace(hints, images=far))
    except DataError:
        return None
    if not parted.matched.owned:
        return None
    note = "{id} in --images reaches as far as it can in each name, as only so images and masks have it in common"
    return parted._replace(notes=[note, *parted.notes])


def _without_called_after_masks(parted: Parted) -> Parted:
    """The same without the images without a mask whose names are those of masks and a word, and a note on these."""
    drawn = {_path(mask.entry) for masks in parted.matched.owned.values() for mask in masks}
    bare = set(parted.matched.bare)
    left = dict[str, SourceFile]()
    for image in parted.images:
        if image.entry.locator in bare and _continues(_path(image.entry), drawn):
            left[image.entry.locator] = image.entry
    if not left:
        return parted
    matched = parted.matched._replace(bare=[name for name in parted.matched.bare if name not in left])
    images = [image for image in parted.images if image.entry.locator not in left]
    note = f"files called after a mask, with a word behind, not used: {told_files(list(left.values()))}"
    return parted._replace(images=images, matched=matched, notes=[*parted.notes, note])


def _path(entry: SourceFile) -> str:
    """The path of a file without its ending."""
    return "/".join((*entry.parts[:-1], composed(entry.stem)))


class _Image(NamedTuple):
    """The files of an image that patterns find, channels where several."""

    files: tuple[Picture, ...]

    @property
    def first(self) -> str:
        """The locator of its first file."""
        return self.files[0].entry.locator


def _by_patterns(entries: Sequence[SourceFile], masks: Sequence[SourceFile] | None, hints: ReadOptions) -> Parted:
    if hints.images is None:
        return _masks_by_pattern([*entries, *(masks or ())], hints)
    by_id = _images(_without_masks(entries, hints), hints.images)
    rest = {entry.locator: entry for entry in (*entries, *(masks or ()))}
    for one in chain.from_iterable(by_id.values()):
        del rest[one.entry.locator]
    splits = saying_alone(splitting([*entries, *(masks or ())]))
    images = {name: _Image(tuple(_picture(name, one, splits) for one in found)) for name, found in by_id.items()}
    if hints.masks is None:
        notes = [] if masks else not_read(rest.values(), "that no pattern fits")
        return _masks_by_name(images.values(), masks, splits)._replace(notes=notes)
    found = list(_with_ids_of(images, _fitting(list(rest.values()), hints.masks, "--masks"), hints.masks))
    for mask in found:
        del rest[mask.entry.locator]
    parted = _by_ids(images, found)
    return parted._replace(notes=[*parted.notes, *not_read(rest.values(), "that no pattern fits")])


def _by_ids(images: Mapping[str, _Image], masks: Sequence[Taken]) -> Parted:
    """Images by their ids, and the masks of the same ids; what is called after an image that has some is none."""
    owned = defaultdict[str, list[Owned]](list)
    for mask in masks:
        if mask.id in images:
            owned[images[mask.id].first].append(
                Owned(mask.entry, "", _says(mask) or mask.rest, mask.names.get("class", ""))
            )
    drawn = {name for name, image in images.items() if image.first in owned}
    further, orphans = 0, list[str]()
    for mask in masks:
        if mask.id in images:
            continue
        if _continues(mask.id, drawn):
            further += 1
        else:
            orphans.append(mask.entry.locator)
    notes = [f"files that fit --masks, beside the mask of their image, not used: {further}"] if further else []
    bare = [image.first for image in images.values() if image.first not in owned]
    matched = Matched(dict(owned), _channels(images.values()), bare, orphans)
    return Parted([image.files[0] for image in images.values()], matched, notes, has_masks=True)


def _channels(images: Iterable[_Image]) -> dict[str, tuple[Picture, ...]]:
    """The files of the images of several, by the locator of the first."""
    return {image.first: image.files for image in images if len(image.files) > 1}


def _without_masks(entries: Sequence[SourceFile], hints: ReadOptions) -> list[SourceFile]:
    """The files without those that fit the pattern of the masks with the id of an image: `{id}.png`, `{id}_gt.png`."""
    if hints.masks is None or hints.images is None:
        return list(entries)
    ids = {one.entry: one.id for one in _fits(entries, hints.images, "--images")}
    both = [one for one in _fits(entries, hints.masks, "--masks") if one.entry in ids]
    known = set(ids.values())
    masks = _with_ids_of(known, both, hints.masks)
    drawn = {mask.entry for mask in masks if mask.id in known and mask.id != ids[mask.entry]}
    return [entry for entry in entries if entry not in drawn]


def _continues(name: str, names: Collection[str]) -> bool:
    """Whether a name is another one and a word behind it, without a number: `1_binary` beside `1`."""
    return any(name[: found.start()] in names for found in re.finditer(r"[ _.-](?=[^\d]+$)", name))


def _with_ids_of(images: Collection[str], found: Sequence[Taken], pattern: str) -> Iterator[Taken]:
    """Masks with the longest id that an image has, where their pattern leaves open how far `{id}` reaches."""
    expression = compiled(pattern, "--masks").pattern
    is_open = ID.format(0) in expression and ID.format(1) not in expression
    for one in found:
        longest = _with_longest(images, one, expression) if is_open else None
        yield longest or one


def _with_longest(images: Collection[str], one: Taken, expression: str) -> Taken | None:
    where = composed(one.entry.where)
    hit = re.fullmatch(expression, where)
    if hit is None:
        return None
    start = hit.start("id_0")
    for stop in range(len(where), start, -1):
        name = where[start:stop]
        if name in images:
            fixed = expression.replace(ID.format(0), f"(?P<id_0>{re.escape(name)})")
            if again := re.fullmatch(fixed, where):
                return _as_taken(one.entry, again)
    return None


def _masks_by_name(
    images: Collection[_Image], masks: Sequence[SourceFile] | None, splits: frozenset[PathParts]
) -> Parted:
    """Images by a pattern, and the masks of a folder by their names; without one all are images."""
    first, channels = [image.files[0] for image in images], _channels(images)
    if not masks:
        return Parted(first, Matched({}, channels, [], []), [], has_masks=False)
    matched = match(first, [_mask(entry, splits) for entry in masks], {})
    every = matched._replace(channels={**matched.channels, **channels})
    return Parted(first, every, [*matched.notes], has_masks=True)


def _masks_by_pattern(entries: Sequence[SourceFile], hints: ReadOptions) -> Parted:
    """Masks by a pattern, and all other files that are no masks by their names are images."""
    assert hints.masks is not None
    chosen = {one.entry: one for one in _fitting(entries, hints.masks, "--masks", needs_id=False)}
    silent, splits = about_cases(entries), saying_alone(splitting(entries))
    images, left = list[Picture](), list[SourceFile]()
    for entry in entries:
        if entry in chosen:
            continue
        if is_called_a_mask(entry, silent):
            left.append(entry)
        else:
            images.append(_picture(composed(entry.stem), Taken(entry, "", {}), splits))
    masks = [_mask(one.entry, splits)._replace(stem=one.id or composed(one.entry.stem)) for one in chosen.values()]
    matched = match(images, masks, {})
    owned = {image: [_as_said(mask, chosen[mask.entry]) for mask in found] for image, found in matched.owned.items()}
    notes = [*not_read(left, "called masks that do not fit --masks"), *matched.notes]
    return Parted(images, matched._replace(owned=owned), notes, has_masks=True)


def _as_said(mask: Owned, taken: Taken) -> Owned:
    """A mask with the reader or class that its pattern finds, where it does."""
    said = _says(taken)
    return Owned(mask.entry, "", said, taken.names.get("class", "")) if said else mask


def _says(mask: Taken) -> str:
    """The reader or class that a pattern finds in the name of a mask."""
    return mask.names.get("reader") or mask.names.get("class") or ""


def is_called_a_mask(entry: SourceFile, silent: frozenset[PathParts] = frozenset(), anywhere: bool = False) -> bool:
    """Whether the folders or the name of a file say that it is a mask.

    Args:
        entry: the file.
        silent: folders that say nothing of it (`source.labelled`).
        anywhere: a word for masks counts wherever it stands in a name.
    """
    for depth in range(1, len(entry.parts)):
        said = read_folder(entry.parts[depth - 1])
        if said.role == "mask" and said.certain and entry.parts[:depth] not in silent:
            return True
    return says_mask(composed(entry.stem), anywhere=anywhere)


def _mask(entry: SourceFile, splits: frozenset[PathParts]) -> Picture:
    group, split = _group(entry, splits)
    folder = next((part for part in reversed(entry.parts[:-1]) if read_folder(part).role == "mask"), "")
    return Picture(entry, composed(entry.stem), split, group, "mask", len(group), folder, nested=False, is_marked=True)


def _picture(name: str, file: Taken, splits: frozenset[PathParts]) -> Picture:
    """An image, called after its id and its channel: of `image{channel}` by the whole name, as it goes on a word."""
    group, split = _group(file.entry, splits)
    channel = file.names.get("channel", "")
    if "channel" in file.names and not channel[:1].isalnum():
        channel = composed(file.entry.stem)
    stem = f"{name}_{channel}" if channel else name
    return Picture(file.entry, stem, split, group, "image", 0, "", nested=False, is_marked=False)


def _group(entry: SourceFile, splits: frozenset[PathParts]) -> tuple[tuple[str, ...], str | None]:
    """The folders of a file that say neither a role nor a split, and the split.

    Args:
        entry: the file.
        splits: folders that are splits by those beside them (`source.dividing`).
    """
    group, split = list[str](), None
    for depth, name in enumerate(entry.parts[:-1], 1):
        said = read_folder(name)
        is_split = entry.parts[:depth] in splits
        split = (split_in(name) if is_split else said.split) or split
        if not (is_split or said.role or said.split):
            group.append(name)
    return tuple(group), split


def _images(entries: Sequence[SourceFile], pattern: str) -> dict[str, list[Taken]]:
    """The files of each image by its id, channels in the order of their names."""
    found = defaultdict[str, list[Taken]](list)
    for file in _fitting(entries, pattern, "--images"):
        found[file.id].append(file)
    doubles = list[str]()
    for name, files in found.items():
        if len({one.names.get("channel") for one in files}) < len(files):
            doubles.append(f"{name}: {', '.join(one.entry.where for one in files)}")
    if doubles:
        raise DataError(
            f"--images '{pattern}' gives {len(doubles)} ids to several images:\n{listed(doubles)}",
            expected="an {id} for each image",
            remedy="put {id} for the folder that tells them apart too: --images '{id}/{id}.png'; or {channel}",
            code="DATA-061",
        )
    return {name: sorted(files, key=lambda one: natural(one.names.get("channel", ""))) for name, files in found.items()}


def _paths(entry: SourceFile) -> tuple[str, ...]:
    """The paths that a pattern may fit: of a DICOM series that of its folder, and of its first file."""
    file = PurePath(entry.locator).name
    if file == entry.name or BETWEEN in entry.locator:
        return (entry.where,)
    return entry.where, f"{entry.where}/{file}"


def _fitting(entries: Sequence[SourceFile], pattern: str, flag: str, *, needs_id: bool = True) -> list[Taken]:
    """The files that a pattern fits, at least one; a DICOM series by its folder, or by its first file."""
    found = _fits(entries, pattern, flag, needs_id=needs_id)
    if not found:
        among = f":\n{listed([entry.where for entry in entries])}" if entries else " that no other pattern fits"
        raise DataError(
            f"{flag} '{pattern}' fits none of {counted(len(entries), 'file')}{among}",
            expected="a pattern of paths below the source; * stands for letters of one name, ** for folders",
            remedy="mend the pattern by the paths above",
            code="DATA-061",
        )
    return found


def images_by(entries: Sequence[SourceFile], pattern: str) -> Mapping[str, Sequence[Taken]]:
    """The files of each image that a pattern finds; none where it gives one id to several images, or fits no file."""
    try:
        return _images(entries, pattern)
    except DataError:
        return {}


def fitting_images(entries: Sequence[SourceFile], pattern: str | None) -> list[SourceFile]:
    """The files that a pattern of images fits; none without one."""
    return [one.entry for one in _fits(entries, pattern, "--images")] if pattern is not None else []


def _fits(entries: Sequence[SourceFile], pattern: str, flag: str, *, needs_id: bool = True) -> list[Taken]:
    """The files that a pattern fits."""
    expression, found = compiled(pattern, flag, needs_id=needs_id), list[Taken]()
    for entry in entries:
        for where in _paths(entry):
            if hit := expression.fullmatch(composed(where)):
                found.append(_as_taken(entry, hit))
                break
    return found


def _as_taken(entry: SourceFile, hit: re.Match[str]) -> Taken:
    """A file with what the names of a pattern are in its path."""
    groups = {name: text for name, text in hit.groupdict().items() if text is not None}
    ids = [name for name in groups if name == "id" or name.startswith("id_")]
    names = {name: groups[name] for name in _NAMES[1:] if name in groups}
    return Taken(entry, "_".join(dict.fromkeys(groups[name] for name in ids)), names, _without(entry, hit, ids))


def _without(entry: SourceFile, hit: re.Match[str], ids: Sequence[str]) -> str:
    """The name of a file without the ids in it."""
    start, rest = len(composed(entry.where)) - len(composed(entry.name)), composed(entry.stem)
    for name in sorted(ids, key=hit.start, reverse=True):
        if hit.start(name) >= start:
            rest = rest[: hit.start(name) - start] + rest[hit.end(name) - start :]
    return rest
