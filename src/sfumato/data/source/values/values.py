"""What a person says of the values of masks, and values that number objects: both are told before anything is decoded.

    --class-names 1=gland,2=gland        values of one name are one class
    --class-names 0=cup,255=background   a value that is called background becomes 0
    --class-names 0=ignore,1=tumor       a value that is called ignore counts nowhere; alone, others keep their names
    --join-masks                         every value but 0 is one class
    1 to N in each mask, or many values  numbers of objects (`values.objects`): one class, with a note
    1 2 1 3 1 2 ...                      they may come again (`values.recycled`): asked or told

Only a sample is read, and of most sets only the first mask: its only value is 255.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from jaxtyping import Integer

from sfumato.data.formats.image import is_image_name, is_in_red_alone, read_mask
from sfumato.data.formats.joined import ANY, FILL, ON, OUTSIDE, WITHIN, MaskPart, joined_name, mask_parts, renamed
from sfumato.data.formats.locator import Locator
from sfumato.data.formats.scan import is_volume
from sfumato.data.mask import count_values, is_soft
from sfumato.data.source.discovered import DiscoveredDataset, ReadOptions
from sfumato.data.source.values.background import BACKGROUND, IGNORE, doubts
from sfumato.data.source.values.objects import highest_in_pictures, highest_in_volumes, is_stored_whole
from sfumato.data.source.values.palettes import told_palette
from sfumato.data.source.values.recycled import doubt_of_recycled
from sfumato.errors import DataError, UsageError

_SAMPLE = 24
"""Masks that are looked at."""

_FEW = 3
"""Masks of which it is looked at how they are stored."""

NOTHING_IGNORED: Mapping[int, int] = MappingProxyType({})


def with_values(found: DiscoveredDataset, hints: ReadOptions, *, look: bool = True) -> DiscoveredDataset:
    """The cases with masks whose values are those that a person named, or one for all numbers of objects.

    Args:
        found: a source.
        hints: what a person said about it.
        look: whether to look for numbers of objects: what this program wrote has none.

    Raises:
        UsageError: as for `ReadOptions.names_of_classes`; or a value is to be ignored that no file of a mask has alone.
    """
    if not found.has_masks:
        return found
    names, ignored = _without_ignored(hints.names_of_classes)
    if ignored:
        return _with_ignored(found, names, ignored)
    if names and not set(names.values()) <= set(found.mask_names.values()):
        return _as_named(found, names)
    if found.mask_names or any(_is_of_a_class(part) for mask in found.cases[0].masks for part in mask_parts(mask)):
        return found
    if hints.join_masks:
        return _joined_values(found)
    highest = _numbers_of_objects(found) if look else 0
    if not highest:
        return _with_doubts(found) if look else found
    note = (
        f"the values of the masks number objects (up to {highest}, each value one connected area without a place or "
        "size of its own), which are one class here; if each number is a class, name them: --class-names "
        "1=NAME1,2=NAME2"
    )
    return _with_role(found, ANY)._replace(notes=(*found.notes, note))


def _is_of_a_class(part: MaskPart) -> bool:
    """Whether a file is that of a class, whatever its values."""
    return part.role.removeprefix(FILL).isdecimal()


def _without_ignored(names: Mapping[int, str]) -> tuple[dict[int, str], list[int]]:
    """The names of classes, and the values that are called `ignore`."""
    ignored = [value for value, name in names.items() if name.casefold() == IGNORE]
    return {value: name for value, name in names.items() if value not in ignored}, ignored


def _with_ignored(found: DiscoveredDataset, names: Mapping[int, str], ignored: Sequence[int]) -> DiscoveredDataset:
    """The same where some values say nothing; where only these are named, the others keep the names that they have.

    Raises:
        UsageError: masks are put together of several files, whose values are none of the mask.
    """
    if any(not _is_of_one_file(mask) for case in found.cases for mask in case.masks):
        raise UsageError(
            f"--class-names: the value {ignored[0]} cannot be ignored, since masks are put together of several files",
            expected="masks of one file each, whose values are named",
            remedy="leave 'ignore' out of --class-names",
        )
    unsaid = OUTSIDE if found.ignore is None else found.ignore
    names = names or {value: name for value, name in found.mask_names.items() if value not in ignored}
    note = (
        f"pixels of masks that count nowhere, neither in loss nor in metrics: those of {_and(ignored)} (ignore); "
        "evaluate against a dataset that is prepared so, or say it again: evaluate masks --class-names"
    )
    named = _as_named(found._replace(ignore=unsaid, notes=(*found.notes, note)), names, dict.fromkeys(ignored, unsaid))
    return named if names else named._replace(mask_names={})


def _and(values: Sequence[int]) -> str:
    return " and ".join(map(str, sorted(values)))


def _is_of_one_file(mask: str) -> bool:
    """Whether one file says all values of a mask, perhaps within a field of view."""
    return [part.role.removeprefix(FILL) for part in mask_parts(mask) if part.role not in (WITHIN, ON)] == [""]


def _as_named(
    found: DiscoveredDataset, names: Mapping[int, str], ignored: Mapping[int, int] = NOTHING_IGNORED
) -> DiscoveredDataset:
    """Values of one name are one class, the background is 0, and ignored values are that which says nothing."""
    values = _one_for_each(names)
    named = {0: BACKGROUND, **{values[stored]: name for stored, name in names.items()}}
    changed = {stored: value for stored, value in values.items() if stored != value}
    found = _with_role(found, renamed({**changed, **ignored})) if changed or ignored else found
    if not changed:
        return found._replace(mask_names=named)
    told = ", ".join(f"{stored} as {value}" for stored, value in sorted(changed.items()))
    note = f"values of masks, read as others so that each class has one and the background 0: {told}"
    return found._replace(mask_names=named, notes=(*found.notes, note))


def _one_for_each(names: Mapping[int, str]) -> dict[int, int]:
    """The value of each stored one: the first of its name, 0 for the background; what has 0 else takes its place."""
    first: dict[str, int] = {}
    for stored, name in sorted(names.items()):
        first.setdefault(name, stored)
    behind = next((name for name in first if name.casefold() == BACKGROUND), None)
    if behind is not None and first[behind]:
        free = first[behind]
        first = {name: free if value == 0 else value for name, value in first.items()} | {behind: 0}
    return {stored: first[name] for stored, name in names.items()}


def _joined_values(found: DiscoveredDataset) -> DiscoveredDataset:
    """Every value but 0 is one class, where masks of one file have more than black and white."""
    counts = dict[int, int]()
    for raw in sampled_masks(found):
        for value, count in count_values(raw).items():
            counts[value] = counts.get(value, 0) + count
    if len(counts) <= 2 or is_soft(counts):
        return found
    note = "every value of the masks but 0 is one class, as --join-masks says"
    return _with_role(found, ANY)._replace(notes=(*found.notes, note))


def _with_role(found: DiscoveredDataset, role: str) -> DiscoveredDataset:
    """The same with a role for all files that are parts of a reading."""

    def changed(mask: str) -> str:
        return joined_name([part if part.role else MaskPart(role, part.locator) for part in mask_parts(mask)])

    cases = (replace(case, masks=tuple(map(changed, case.masks))) for case in found.cases)
    return found._replace(cases=tuple(cases))


def sampled_masks(found: DiscoveredDataset) -> Iterator[Integer[np.ndarray, "h w"]]:
    """Some of the files of masks, spread over all; what cannot be read is told when it is decoded."""
    return (mask for _, mask in _read(_sampled_files(found)))


def _read(files: Iterable[str]) -> Iterator[tuple[str, Integer[np.ndarray, "h w"]]]:
    """The masks of files that can be read, each with its locator."""
    for locator in files:
        try:
            yield locator, read_mask(locator)
        except DataError:
            continue


def _sampled_files(found: DiscoveredDataset) -> list[str]:
    """The locators of some of the files of masks, spread over all."""
    files = [part.locator for case in found.cases for mask in case.masks for part in mask_parts(mask) if not part.role]
    return files[:: max(1, len(files) // _SAMPLE)][:_SAMPLE]


def _numbers_of_objects(found: DiscoveredDataset) -> int:
    """The highest value where the values of masks number objects; 0 where they do not."""
    files = [part.locator for case in found.cases for mask in case.masks for part in mask_parts(mask)]
    first = Locator.parse(files[0]).path
    if not is_volume(first):
        return highest_in_pictures(_read(_sampled_files(found)))
    volumes = dict.fromkeys(str(Locator.parse(file).path) for file in files)
    return highest_in_volumes(list(volumes)) if all(map(is_stored_whole, volumes)) else 0


def _pictures(found: DiscoveredDataset) -> Iterator[Integer[np.ndarray, "h w"]]:
    """The same of masks that are pictures; none of planes of volumes, which hold few objects each."""
    files = (file for file in _sampled_files(found) if not is_volume(Locator.parse(file).path))
    return (mask for _, mask in _read(files))


def _are_in_red(found: DiscoveredDataset) -> bool:
    """Whether a few of the masks are pictures in colours of which red alone is used."""
    targets = map(Locator.parse, _sampled_files(found)[:_FEW])
    pictures = [at.path for at in targets if not at.member and is_image_name(at.path.name)]
    try:
        return any(map(is_in_red_alone, pictures))
    except DataError:  # told when they are decoded
        return False


def _with_doubts(found: DiscoveredDataset) -> DiscoveredDataset:
    """The same with what is to be asked or told of values that may be the background, or nothing."""
    problem, note = doubts(sampled_masks(found), lambda: told_palette(_sampled_files(found)))
    if problem is None and not note:
        problem, note = doubt_of_recycled(_pictures(found), in_red=lambda: _are_in_red(found))
    problems = (*found.problems, problem) if problem else found.problems
    return found._replace(problems=problems, notes=(*found.notes, note) if note else found.notes)
