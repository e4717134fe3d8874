"""TIFF files of several pages, where a person says what these are: planes of a volume, or channels of one image.

    volume      stack.tif::page/0, stack.tif::page/1 ...    a case each, with the same page of its masks
    channels    stack.tif::page/:                           all pages behind one another; masks have one page

Files say nothing of it that could be relied on, so nothing is guessed: without a word they are refused.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from sfumato.data.formats.image import pages_of
from sfumato.data.formats.joined import WITHIN, MaskPart, joined_name, mask_parts
from sfumato.data.formats.locator import Locator
from sfumato.data.formats.tiff import ALL_PAGES, PAGE
from sfumato.data.manifest import Case
from sfumato.data.source.matching.layout import Arranged
from sfumato.errors import DataError, raise_together
from sfumato.wording import counted

_ENDINGS = (".tif", ".tiff")

What = Literal["volume", "channels"]


def paged(arranged: Arranged, what: What | None) -> Arranged:
    """The cases of images, with those of several pages taken for what a person says they are.

    Raises:
        DataError: files of one case have different numbers of pages; all are listed.
    """
    if what is None:
        return arranged
    cases, counts, problems = list[Case](), Counter[int](), list[DataError]()
    for case in arranged.cases:
        try:
            count = _count(case.image)
            cases += [case] if count == 1 else [_as_channels(case)] if what == "channels" else _planes(case, count)
        except DataError as error:
            problems.append(error)
        else:
            counts[count] += 1
    raise_together(problems)
    return arranged._replace(cases=cases, notes=[*arranged.notes, _note(counts, what)])


def _note(counts: Counter[int], what: What) -> str:
    stacks = {pages: files for pages, files in counts.items() if pages > 1}
    if not stacks:
        return f"--pages {what}: no TIFF has several pages"
    each = f"{min(stacks)} pages" if len(stacks) == 1 else f"{min(stacks)} to {max(stacks)} pages"
    meant = "planes of a volume" if what == "volume" else "channels of one image"
    single = f"; others of one page: {counts[1]}" if counts[1] else ""
    return f"TIFF files of {each}, taken for {meant} as asked: {sum(stacks.values())}{single}"


def _count(locator: str) -> int:
    """How many pages a file has.

    Raises:
        DataError: they are channels and planes at once.
    """
    target = Locator.parse(locator)
    if target.member or target.path.suffix.lower() not in _ENDINGS:
        return 1
    pages = pages_of(target.path)
    if pages.channels > 1:
        raise DataError(
            f"{target.path}: its {pages.total} pages are {pages.channels} channels of "
            f"{counted(pages.total // pages.channels, 'plane')} each",
            expected="pages that are planes, or channels",
            remedy="save each channel, or each plane, as a file of its own",
            code="DATA-008",
        )
    return pages.total


def _as_channels(case: Case) -> Case:
    return replace(case, image=f"{case.image}::{ALL_PAGES}")


def _planes(case: Case, count: int) -> list[Case]:
    """A case for each page; all files of a case must have as many."""
    masks = [mask_parts(mask) for mask in case.masks]
    parts = [part for of_reader in masks for part in of_reader]
    views = {part.locator for part in parts if part.role == WITHIN and _count(part.locator) == 1}
    for file in (*case.channels, *(part.locator for part in parts if part.locator not in views)):
        if (found := _count(file)) != count:
            raise _other_count(case, file, (found, count))
    digits = max(3, len(str(count - 1)))
    return [
        replace(
            case,
            id=f"{case.id}_{number:0{digits}d}",
            image=f"{case.image}::{PAGE}{number}",
            channels=tuple(f"{channel}::{PAGE}{number}" for channel in case.channels),
            masks=tuple(joined_name([_at(part, number, views) for part in of_reader]) for of_reader in masks),
            volume=case.id,
            patient=case.patient or case.id,
        )
        for number in range(count)
    ]


def _at(part: MaskPart, number: int, views: set[str]) -> MaskPart:
    """A page of a mask's file; a field of view of one page holds for all."""
    return part if part.locator in views else part._replace(locator=f"{part.locator}::{PAGE}{number}")


def _other_count(case: Case, file: str, counts: Sequence[int]) -> DataError:
    found, wanted = counts
    return DataError(
        f"{file} has {counted(found, 'page')}, its image {Path(case.image).name} has {wanted}",
        expected="as many pages in a mask as in its image, in the same order",
        remedy="export it again, or say --pages channels if the pages are channels of one image",
        code="DATA-012",
    )
