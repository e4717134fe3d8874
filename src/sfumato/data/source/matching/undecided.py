"""What is said where nobody can know what several masks of an image are, with the flags that decide it."""

from collections.abc import Sequence
from pathlib import PurePath

from sfumato.data.source.listing import ending_among
from sfumato.data.source.matching.kinds import name_by
from sfumato.data.source.matching.mask_files import MaskFiles
from sfumato.data.source.matching.pairing import Owned
from sfumato.data.source.matching.ways import ways_of_kinds
from sfumato.errors import DataError, listed
from sfumato.wording import counted


def flags_for(owned: MaskFiles, ways: Sequence[str] = ()) -> str:
    """The flags that say what several masks of an image are, with the patterns of each kind, as tried on the files.

    Args:
        owned: the masks of each image.
        ways: patterns that are told in place of those.
    """
    ending = ending_among(mask.entry.name for masks in owned.values() for mask in masks)
    ways = ways or list(ways_of_kinds(owned)) or [f"--masks 'PLACE/{{id}}_mask{ending}'"]
    return (
        "say what they are: --join-masks (parts of one mask), --readers-by folder or suffix (readers), --classes-by "
        f"folder or suffix (a class each), or which files are meant ({', or '.join(ways)})"
    )


def refuse_copies(owned: MaskFiles) -> None:
    """Refuse masks of one image that differ in their ending alone: nothing says which is meant.

    Raises:
        DataError: there are such masks (all are listed).
    """
    copies = list[str]()
    for masks in owned.values():
        seen: dict[tuple[tuple[str, ...], str], Owned] = {}
        for mask in masks:
            first = seen.setdefault((mask.entry.parts[:-1], mask.entry.stem), mask)
            if first is not mask:
                copies.append(f"{first.entry.where} and {mask.entry.name}")
    if copies:
        raise DataError(
            f"{counted(len(copies), 'image has', 'images have')} two masks of one name:\n{listed(copies)}",
            expected="one mask per image and reader",
            remedy="keep one of them, or say which are meant by their ending: --masks "
            f"'PLACE/{{id}}{ending_among(mask.entry.name for masks in owned.values() for mask in masks)}'",
            code="DATA-011",
        )


def place_of(mask: Owned) -> str:
    """The pattern of the paths of masks of a kind."""
    return "/".join(("*", mask.folder, f"*{mask.rest}")) if mask.folder else f"*{mask.rest}"


def competing(owned: MaskFiles, both: Sequence[tuple[Owned, Owned]]) -> DataError:
    """The error about masks of two kinds of which nobody can know which is meant."""
    one, other = both[0]
    shown = listed(
        [f"{a.entry.where} and {PurePath(b.entry.where).name} in {PurePath(b.entry.where).parent}" for a, b in both]
    )
    return DataError(
        f"{counted(len(both), 'image has', 'images have')} masks of two kinds, {place_of(one)} and {place_of(other)}:\n"
        f"{shown}",
        expected="one mask per image and reader",
        remedy=f"{flags_for(owned)}; or take one of them away",
        code="DATA-011",
    )


def unclear(several: MaskFiles, why: str, ways: Sequence[str] = ()) -> DataError:
    """The error about several masks of which nobody can know what they are."""
    shown = [f"{image}: {', '.join(mask.entry.name for mask in masks)}" for image, masks in several.items()]
    return DataError(
        f"{counted(len(several), 'image has', 'images have')} several masks, and what they are is not clear: {why}\n"
        f"{listed(shown)}",
        expected="readers, who draw the same, or parts that lie beside one another, or names of classes",
        remedy=flags_for(several, ways),
        code="DATA-064",
    )


def nameless(owned: MaskFiles, by: str, what: str) -> DataError:
    """The error about masks that a person tells apart by a name, and some have none."""
    bare = [mask.entry.where for masks in owned.values() for mask in masks if not name_by(mask, by)]
    return DataError(
        f"{counted(len(bare), 'mask has', 'masks have')} no {what} in the {by}:\n{listed(bare)}",
        expected=f"a {what} in every {by}",
        remedy=flags_for(owned),
        code="DATA-064",
    )
