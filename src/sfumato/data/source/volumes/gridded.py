"""Channels of an image that are a volume each: all must lie on one grid, or one of them is the image.

Sequences of one examination have grids of their own (T2 of 0.5 mm, ADC of 2 mm), and a mask was drawn on one of them.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from sfumato.data.formats.grid import grid_differences
from sfumato.data.formats.laid import Laid, find_laid
from sfumato.data.formats.scan import FILES
from sfumato.data.formats.volume import VolumeHeader, grid_of
from sfumato.data.source.matching.caseways import pattern_of_channels
from sfumato.data.source.patterns import common_start
from sfumato.errors import DataError


def check_channels(channels: Mapping[str, VolumeHeader], masks: Mapping[str, VolumeHeader]) -> None:
    """Refuse channels on different grids, with the patterns of that one on which the masks lie.

    Args:
        channels: headers of the files of an image by their locators.
        masks: those of its masks.

    Raises:
        DataError: the grids differ, and in what.
    """
    first, *others = channels
    for channel in others:
        if found := grid_differences(grid_of(channels[channel]), grid_of(channels[first])):
            raise DataError(
                f"{channel} and {first} are channels of one image, and lie on different grids: {'; '.join(found)}",
                expected="channels on one grid: as many voxels, at the same places",
                remedy=_remedy(channels, masks),
                code="DATA-012",
            )


def _remedy(channels: Mapping[str, VolumeHeader], masks: Mapping[str, VolumeHeader]) -> str:
    """What to type for the image of the sequences on one grid: that on which the masks lie, if they do on one."""
    drawn_on = [
        channel
        for channel, header in channels.items()
        if masks and all(isinstance(find_laid(header, mask), Laid) for mask in masks.values())
    ]
    if masks and not drawn_on:
        return "resample all of them onto the grid of the masks, on which none lies"
    chosen, why = (drawn_on, ", on whose grid the masks lie") if drawn_on else ([next(iter(channels))], "")
    if _are_told_by_folders(list(channels)):
        case = Path(os.path.commonpath([*channels, *masks]))
        names = [_place(one, case) for one in chosen]
        image, mask = _of_folders(names, list(channels), case), _in_case(list(masks), case)
    elif len(chosen) == 1 and not _beginning(list(channels)) and (folder := _case_of([*channels, *masks])):
        names = [_place(one, folder) for one in chosen]
        image, mask = f"**/{{id}}/{names[0]}", _in_case(list(masks), folder)
    else:
        names = [Path(one).name for one in chosen]
        image, mask = _of_files(chosen, list(channels), list(masks)), _of_mask(list(masks), list(channels))
    flags = f"--images '{image}'" + (f" --masks '{mask}'" if masks else "")
    alone = " alone" if len(names) == 1 else ""
    return f"take those like {' and '.join(names)}{alone}{why}: {flags}; or resample all channels onto one grid"


def _case_of(files: Sequence[str]) -> Path | None:
    """The folder of a case that holds all of its files, or whose folders do; None where they lie further apart."""
    case = Path(os.path.commonpath(files))
    return case if all(len(Path(file).relative_to(case).parts) <= 2 for file in files) else None


def _of_folders(names: Sequence[str], channels: Sequence[str], case: Path) -> str:
    """The pattern of channels by their places in the folder of the case, where one folder of these tells them apart."""
    places = [tuple(name.split("/")) for name in names]
    levels = [level for level, parts in enumerate(zip(*places, strict=False)) if len(set(parts)) > 1]
    if len(levels) != 1 or len(set(map(len, places))) > 1:
        return f"**/{{id}}/{names[0]}"
    (level,) = levels
    every = [tuple(_place(channel, case).split("/")) for channel in channels]
    before, behind = places[0][:level], places[0][level + 1 :]
    beside = {place[level] for place in every if len(place) > level}
    end = "".join(f"/{part}" for part in behind)
    return pattern_of_channels("/".join(("**/{id}", *before, "")), [place[level] for place in places], beside, end)


def _of_files(chosen: Sequence[str], channels: list[str], masks: Sequence[str]) -> str:
    """The pattern of channels by the names of their files, in their folder where that is another one than of others."""
    if len(chosen) == 1:
        return _pattern(chosen[0], channels)
    others = [Path(other) for other in (*channels, *masks) if other not in chosen]
    places = {Path(one).parent for one in chosen}
    apart = len(places) == 1 and not any(other.parent.name == next(iter(places)).name for other in others)
    folder = f"{places.pop().name}/" if apart else ""
    common = _beginning(channels)
    start = f"**/{folder}{{id}}" if common else "**/{id}/"
    beside = set[str]() if apart else {other.name.removeprefix(common) for other in others}
    return pattern_of_channels(start, [Path(one).name.removeprefix(common) for one in chosen], beside)


def _of_mask(masks: Sequence[str], channels: list[str]) -> str:
    return _pattern(masks[0], channels) if masks else ""


def _are_told_by_folders(channels: Sequence[str]) -> bool:
    """Whether folders tell channels apart: those of DICOM series, and those of files of one name."""
    paths = list(map(Path, channels))
    apart = len({path.parent for path in paths}) == len(paths)
    return apart and (len({path.name for path in paths}) == 1 or not any(map(_is_whole, paths)))


def _is_whole(path: Path) -> bool:
    """Whether a file is a volume by itself, and no part of a DICOM series."""
    return path.name.lower().endswith(FILES)


def _place(locator: str, case: Path) -> str:
    """Where a file lies in the folder of its case; of a DICOM series the folder."""
    path = Path(locator).relative_to(case)
    return (path if _is_whole(path) else path.parent).as_posix()


def _in_case(locators: Sequence[str], case: Path) -> str:
    """The pattern of files of one name by their place in the folder of the case, with {class} for what differs."""
    places = [_place(locator, case) for locator in locators] or [""]
    start = common_start(places)
    end = common_start([place[len(start) :][::-1] for place in places])[::-1]
    return f"**/{{id}}/{places[0]}" if len(places) == 1 else f"**/{{id}}/{start}{{class}}{end}"


def _pattern(locator: str, channels: list[str]) -> str:
    """The pattern of files like one: what the names of the channels have in common is {id}, else their folder is."""
    path, common = Path(locator), _beginning(channels)
    if not common or not path.name.startswith(common):
        return f"**/{{id}}/{path.name}"
    folder = "" if path.parent.name in Path(channels[0]).parts else f"{path.parent.name}/"
    return f"**/{folder}{{id}}{path.name[len(common) :]}"


def _beginning(channels: Sequence[str]) -> str:
    """What the names of all channels begin with, up to a separator."""
    common = common_start([Path(channel).name for channel in channels])
    return common[: max(common.rfind("_"), common.rfind("-"), common.rfind("."), 0)]
