"""Images whose channels are a file each: `p1_t1.nii.gz` and `p1_flair.nii.gz`, `case_0000.png` and `case_0001.png`.

Beside masks they are found by `source.pairing`. A model remembers how the names of its files ended, and new cases are
put together by these endings.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import permutations
from typing import NamedTuple

from sfumato.data.manifest import folded
from sfumato.data.order import natural
from sfumato.data.source.listing import PathParts, SourceFile, ending_among
from sfumato.data.source.patterns import common_start
from sfumato.data.source.picture import Picture
from sfumato.data.source.words import DATATYPES
from sfumato.errors import DataError, listed
from sfumato.wording import counted


def channel_of(stem: str) -> str:
    """What the name of a channel's file says of it: what stands behind the last separator."""
    return re.split(r"[ _.-]", stem)[-1]


def called_after(files: Sequence[Picture]) -> tuple[str, ...]:
    """What the names of the files of an image say of its channels: their ends, or all that differs if these do not.

    Nor do they where one name begins another: of `image` and `image_contrast` the whole names are the channels.
    """
    ends, whole = [channel_of(file.stem) for file in files], [file.stem for file in files]
    if len(set(ends)) == len(ends) and not _begin_one_another(whole):
        return tuple(ends)
    start = re.sub(r"[^ _.-]+$", "", common_start(whole))
    return tuple(stem.removeprefix(start) for stem in whole)


def _begin_one_another(names: Sequence[str]) -> bool:
    """Whether a name is the beginning of another, up to a separator."""
    return any(other.startswith(tuple(one + mark for mark in " _.-")) for one, other in permutations(names, 2))


def channel_names(images: Sequence[Picture], channels: Mapping[str, tuple[Picture, ...]]) -> tuple[str, ...]:
    """The names of the channels, the same for all images; empty where each image is a file.

    Raises:
        DataError: images lack channels (all are listed).
    """
    if not channels:
        return ()
    found = {image.entry.where: called_after(channels.get(image.entry.locator, (image,))) for image in images}
    names = sorted({name for of_image in found.values() for name in of_image}, key=natural)
    if uneven := [f"{where}: {', '.join(has)}" for where, has in found.items() if sorted(has, key=natural) != names]:
        ending = ending_among(image.entry.name for image in images)
        raise _lack(
            uneven,
            names,
            f"name the files that are meant: --images 'PLACE/{{id}}_{{channel}}{ending}' "
            f"--masks 'PLACE/{{id}}_seg{ending}'",
        )
    return tuple(names)


def _lack(uneven: Sequence[str], names: Sequence[str], remedy: str) -> DataError:
    return DataError(
        f"{counted(len(uneven), 'image lacks channels, or has others', 'images lack channels, or have others')}:\n"
        f"{listed(uneven)}",
        expected=f"a file for each of the channels {', '.join(names)}",
        remedy=f"complete these images, take them away, or {remedy}",
        code="DATA-065",
    )


def _known_end(stem: str, known: Collection[str]) -> str:
    """The longest end of a name that is that of a channel; what stands behind the last separator where none is."""
    ends = (stem[mark.end() :] for mark in re.finditer(r"^|[ _.-]", stem))
    return next((end for end in ends if folded(end) in known), channel_of(stem))


def put_together(entries: Sequence[SourceFile], names: Sequence[str]) -> list[tuple[str, tuple[SourceFile, ...]]]:
    """Files by image, each with the common part of its names and its files in the order of the channels.

    Args:
        entries: files of images.
        names: how the names of the channels' files end.

    Returns:
        Nothing where no file is called after a channel.

    Raises:
        DataError: images lack channels, or files are called after none (all are listed).
    """
    known = {folded(name): name for name in names}
    images, strange = defaultdict[_Place, dict[str, SourceFile]](dict), list[str]()
    for entry in entries:
        end = _known_end(entry.stem, known)
        if folded(end) in known:
            images[_place(entry, end)][known[folded(end)]] = entry
        else:
            strange.append(f"{entry.where}: called after no channel")
    if not images:
        return []
    uneven = list[str]()
    for place, files in images.items():
        if len(files) < len(names):
            uneven.append(f"{'/'.join((*place.folder, place.stem))}: {', '.join(files)}")
    if uneven or strange:
        remedy = "give a folder that holds all files of each image, named as the model was taught"
        raise _lack([*uneven, *strange], names, remedy)
    found = list[tuple[str, tuple[SourceFile, ...]]]()
    for place, files in images.items():
        in_order = tuple(files[name] for name in names)
        found.append((_called(place, in_order[0]), in_order))
    return found


class _Place(NamedTuple):
    """Where the files of an image lie, and what their names have in common."""

    folder: PathParts
    stem: str


def _place(entry: SourceFile, end: str) -> _Place:
    """The place of a file whose name ends in a channel; folders that say how it was made are none, as in BIDS."""
    folder = entry.parts[:-1]
    if folder and folder[-1] in DATATYPES:
        folder = folder[:-1]
    return _Place(folder, entry.stem[: len(entry.stem) - len(end)].rstrip(" _-."))


def _called(place: _Place, first: SourceFile) -> str:
    """What an image is called: after what its files have in common, its folder, or its first file."""
    if place.stem:
        return place.stem
    return place.folder[-1] if place.folder else first.stem
