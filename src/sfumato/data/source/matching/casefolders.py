"""Cases that are a folder each, with files of the same names in all of them: images are channels, and masks are theirs.

    Patient_01/Preprocessed_Data/FLAIR_preprocessed.nii.gz, T1_preprocessed.nii.gz
    Patient_01/Masks/ManualSegmentation_1.nii.gz, ManualSegmentation_2.nii.gz

No name of a mask has anything in common with that of an image: only the folder of the case has.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from sfumato.data.order import natural
from sfumato.data.source.picture import Picture

_Place = tuple[str | None, tuple[str, ...]]
"""A split, and the folder of a case."""


def channels_beside(images: Sequence[Picture], masks: Sequence[Picture]) -> Mapping[str, tuple[Picture, ...]]:
    """The channels of the image of each mask by its locator; nothing where folders are no cases of this kind.

    Args:
        images: all images; each must lie in the folder of a case, or all of a case in one folder below it.
        masks: masks without an image, in folders of masks.
    """
    homes = {mask.entry.locator: _case_of(mask) for mask in masks if mask.role == "mask"}
    cases, inside = set(homes.values()), defaultdict[_Place, list[Picture]](list)
    for image in images:
        for group in (image.group, image.group[:-1]):
            if group and (image.split, group) in cases:
                inside[image.split, group].append(image)
                break
    if len(inside) < 2 or sum(map(len, inside.values())) < len(images) or not _are_channels(list(inside.values())):
        return {}
    channels = {place: tuple(sorted(found, key=lambda image: natural(image.stem))) for place, found in inside.items()}
    return {locator: channels[place] for locator, place in homes.items() if place in channels}


def _case_of(mask: Picture) -> _Place:
    return mask.split, mask.group[: len(mask.group) - mask.below]


def _are_channels(cases: Sequence[Sequence[Picture]]) -> bool:
    """Whether each case has several images in one folder, and most cases have an image of each name."""
    names = Counter(image.stem for case in cases for image in case)
    return all(
        len(case) > 1 and len({image.group for image in case}) == 1 and len({image.stem for image in case}) == len(case)
        for case in cases
    ) and all(2 * count > len(cases) for count in names.values())
