"""The images on whose grid a mask lies, where names give it to another one: the flags were tried on the files.

sub-1/dwi/sub-1_rec-TRACE_dwi.nii.gz                    2 mm, as the mask
sub-1/anat/sub-1_FLAIR.nii.gz                           1 mm
derivatives/masks/sub-1_space-TRACE_desc-lesion_mask.nii.gz
"""

from collections.abc import Sequence
from pathlib import Path

from sfumato.data.formats.laid import Laid, find_laid
from sfumato.data.formats.scan import FILES, read_header
from sfumato.data.source.listing import SourceFile
from sfumato.data.source.matching.byhand import is_called_a_mask
from sfumato.data.source.matching.pattern_pair import PatternPair
from sfumato.data.source.patterns import channels_in, common_start
from sfumato.data.source.words import MASKS, tokens
from sfumato.errors import DataError

_MOST = 24
"""Files of a case that are looked at; where there are more, they are of many cases."""


def ways_on_grid(images: Sequence[str], mask: str, entries: Sequence[SourceFile]) -> str:
    """The flags of the images on whose grid masks like one lie; empty where its own is one, or patterns give none.

    Args:
        images: locators of the image that names give to the mask, and of its channels.
        mask: locator of the mask.
        entries: the files of the source.
    """
    if not all(file.lower().endswith(FILES) for file in (*images, mask)):
        return ""
    if any(_lies_on(image, mask) for image in images):
        return ""
    start = _beginning(Path(images[0]).name, Path(mask).name)
    beside = [entry for entry in entries if entry.name.startswith(start) and not _goes_on(entry.name, start)]
    others = [entry for entry in beside if entry.locator != mask and not is_called_a_mask(entry, anywhere=True)]
    if not start or len(others) > _MOST:
        return ""
    found = [entry for entry in others if _lies_on(entry.locator, mask)]
    said = _words(Path(mask).name, start) - MASKS
    called = [entry for entry in found if _words(entry.name, start) & said] or found
    behind = Path(mask).name[len(start) :]
    ends = sorted({entry.name[len(start) :] for entry in called})
    drawn = {entry.name[len(start) :] for entry in beside if is_called_a_mask(entry, anywhere=True)}
    ways = [PatternPair(f"**/{{id}}{end}", f"**/{{id}}{behind}") for end in ends]
    if len(ends) > 1 or len(drawn) > 1:
        ways.insert(0, PatternPair(f"**/{{id}}{channels_in(ends)}", f"**/{{id}}{_with_reader(sorted(drawn), behind)}"))
    return ", or ".join(way.flags() for way in ways if _gives(way, entries))


def _with_reader(ends: Sequence[str], own: str) -> str:
    """What stands behind the names of the masks of an image, with {reader} where they differ by a number alone."""
    start, end = common_start(ends), common_start([end[::-1] for end in ends])[::-1]
    between = [one[len(start) : len(one) - len(end)] for one in ends]
    return f"{start}{{reader}}{end}" if len(ends) > 1 and all(map(str.isdecimal, between)) else own


def _beginning(image: str, mask: str) -> str:
    """What the names of an image and its mask begin with, up to a separator."""
    common = common_start([image, mask])
    return common[: max(common.rfind("_"), common.rfind("-"), common.rfind("."), 0)]


def _goes_on(name: str, start: str) -> bool:
    """Whether a name is of another case, whose number goes on: `sub-10` for `sub-1`."""
    return name[len(start) : len(start) + 1].isalnum()


def _words(name: str, start: str) -> frozenset[str]:
    """The words behind the beginning of a name, without its ending."""
    stem = name[len(start) :].partition(".")[0]
    return frozenset(token.text for token in tokens(stem) if token.number is None)


def _lies_on(image: str, mask: str) -> bool:
    """Whether a mask lies on the grid of an image, voxel by voxel; a damaged file is told elsewhere."""
    try:
        laid = find_laid(read_header(Path(image)), read_header(Path(mask)))
    except DataError:
        return False
    return isinstance(laid, Laid) and laid.box is None


def lies_on(image: str, mask: str) -> bool:
    """Whether a mask lies on an image, perhaps as a box of it; of pictures nothing is asked."""
    if not all(file.lower().endswith(FILES) for file in (image, mask)):
        return True
    try:
        return isinstance(find_laid(read_header(Path(image)), read_header(Path(mask))), Laid)
    except DataError:
        return False


def _gives(way: PatternPair, entries: Sequence[SourceFile]) -> bool:
    """Whether patterns give images their masks, and leave few masks without."""
    matched = way.matched(entries)
    return matched is not None and len(matched.orphans) < len(matched.owned)
