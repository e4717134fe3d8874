"""The flags for cases that are a folder each, whose scans lie in folders below: what is told was tried on the files.

    Utrecht/0/wmh.nii.gz                  --images '**/{id}/pre/{channel}.nii.gz' --masks '**/{id}/wmh.nii.gz'
    Utrecht/0/{pre,orig}/FLAIR.nii.gz     and the same of `orig`: one of several forms of the scans must be chosen
    Utrecht/0/orig/3DT1.nii.gz            on another grid than the mask: it is no channel of these

Cases may lie at several depths (`Utrecht/0`, `Amsterdam/GE3T/100`).
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

from sfumato.data.formats.image import read_image
from sfumato.data.formats.laid import Laid, find_laid
from sfumato.data.formats.scan import is_volume, read_header
from sfumato.data.order import natural
from sfumato.data.source.listing import PathParts, SourceFile
from sfumato.data.source.matching.byhand import as_expression
from sfumato.data.source.matching.pattern_pair import PatternPair
from sfumato.data.source.patterns import channels_in
from sfumato.errors import DataError

_LOOKED_AT = 3
"""Cases whose grids are compared."""

_DEEPEST = 4
"""Folders that tell cases apart at most."""

_Kinds = Mapping[str, SourceFile]
"""The files of a case by their paths in its folder."""


def ways_in_cases(labels: Sequence[SourceFile], masks: Sequence[SourceFile], among: Sequence[SourceFile]) -> list[str]:
    """The flags for each folder of scans and each kind of masks of them, those of the labels first.

    Args:
        labels: a file of one name in the folder of each case.
        masks: other files that may be masks.
        among: all files.

    Returns:
        Nothing where no patterns give them.
    """
    cases = _cases({label.parts[:-1] for label in labels}, among)
    drawn = _kinds_of([*labels, *masks], cases)
    scans = _scans(cases, drawn)
    found = list[str]()
    for mask in drawn:
        for folder, names in scans.items():
            if _folder(mask) in ("", folder):
                channels = [name for name in names if _lie_on_grid(cases, f"{folder}/{name}", mask)]
                found += _tried(cases, folder, channels, mask, among)
    return found


def _cases(folders: set[PathParts], among: Sequence[SourceFile]) -> dict[PathParts, dict[str, SourceFile]]:
    """The files of each case by their paths in its folder."""
    cases = defaultdict[PathParts, dict[str, SourceFile]](dict)
    for entry in among:
        for depth in range(1, len(entry.parts)):
            if entry.parts[:depth] in folders:
                cases[entry.parts[:depth]]["/".join(entry.parts[depth:])] = entry
                break
    return cases


def _kinds_of(files: Sequence[SourceFile], cases: Mapping[PathParts, _Kinds]) -> list[str]:
    """Paths in the folders of cases that some files have."""
    wanted = {entry.locator for entry in files}
    kinds = {kind for inside in cases.values() for kind, entry in inside.items() if entry.locator in wanted}
    return sorted(kinds, key=lambda kind: (kind.count("/"), natural(kind)))


def _scans(cases: Mapping[PathParts, _Kinds], drawn: Sequence[str]) -> dict[str, list[str]]:
    """The names of the scans that all cases have, by the folder in which they lie."""
    every = set.intersection(*(set(inside) for inside in cases.values()))
    scans = defaultdict[str, list[str]](list)
    for kind in sorted(every - set(drawn), key=natural):
        if _folder(kind):
            scans[_folder(kind)].append(kind.rpartition("/")[2])
    return scans


def _folder(kind: str) -> str:
    return kind.rpartition("/")[0]


def _lie_on_grid(cases: Mapping[PathParts, _Kinds], scan: str, mask: str) -> bool:
    """Whether the masks of a few cases lie on the grids of their scans."""
    both = [inside for inside in cases.values() if scan in inside and mask in inside]
    return bool(both) and all(_lies_on(inside[scan], inside[mask]) for inside in both[:_LOOKED_AT])


def _lies_on(scan: SourceFile, mask: SourceFile) -> bool:
    try:
        if is_volume(Path(scan.locator)):
            return isinstance(find_laid(read_header(Path(scan.locator)), read_header(Path(mask.locator))), Laid)
        return read_image(scan.locator).shape[:2] == read_image(mask.locator).shape[:2]
    except DataError:
        return False


def _tried(
    cases: Mapping[PathParts, _Kinds], folder: str, channels: Sequence[str], mask: str, among: Sequence[SourceFile]
) -> list[str]:
    """The flags of these scans and masks, as the first of several ways to say the case; none where none gives them."""
    if not channels:
        return []
    wanted = sum(mask in inside for inside in cases.values())
    beside = {kind.rpartition("/")[2] for inside in cases.values() for kind in inside if _folder(kind) == folder}
    for case in _ways_to_say_case(cases):
        pair = PatternPair(pattern_of_channels(f"{case}{folder}/", channels, beside), case + mask)
        matched = pair.matched(among)
        if matched is None or matched.orphans or len(matched.owned) < wanted:
            continue
        files = {len(matched.channels.get(image, (image,))) for image in matched.owned}
        if files == {len(channels)}:
            return [pair.flags()]
    return []


def _ways_to_say_case(cases: Mapping[PathParts, _Kinds]) -> Iterator[str]:
    """Patterns of the folders of cases, those with the fewest folders first."""
    for depth in range(min(_DEEPEST, *map(len, cases))):
        yield f"{'{id}/' * depth}**/{{id}}/"


def pattern_of_channels(start: str, names: Sequence[str], beside: AbstractSet[str], end: str = "") -> str:
    """A pattern of files of these names, and of no others beside them; an expression where braces cannot say it.

    Args:
        start: the pattern up to the names.
        names: of the channels, or how these end.
        beside: other names that stand in their place too.
        end: the pattern behind the names.
    """
    plain = channels_in(names)
    fits = re.compile(as_expression(plain))
    if not any(fits.fullmatch(name) for name in beside - set(names)):
        return start + plain + end
    before, _, behind = plain.partition("{channel}")
    words = "|".join(re.escape(name.removeprefix(before).removesuffix(behind)) for name in names)
    return f"re:{as_expression(start + before)}(?P<channel>{words}){as_expression(behind + end)}"
