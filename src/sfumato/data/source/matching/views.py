"""Masks of the field of view: all that is drawn lies in them, and pixels outside say nothing."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from itertools import combinations

from sfumato.data.formats.joined import OUTSIDE, WITHIN, MaskPart, joined_name, mask_parts
from sfumato.data.source.matching.kinds import mask_kind
from sfumato.data.source.matching.mask_files import MaskFiles, all_masks
from sfumato.data.source.matching.overlap import are_views
from sfumato.data.source.matching.pairing import Owned
from sfumato.data.source.matching.readings import Readings
from sfumato.data.source.matching.undecided import competing, place_of


def without_views(owned: MaskFiles) -> tuple[MaskFiles, MaskFiles, tuple[str, ...]]:
    """The masks without those of the field of view, those, and a sentence.

    Raises:
        DataError: masks of two kinds compete.
    """
    family = _family_of_views(owned)
    if not family:
        return owned, {}, ()
    views, rest = dict[str, list[Owned]](), dict[str, list[Owned]]()
    for image, masks in owned.items():
        if of_view := [mask for mask in masks if _is_view(mask, family)]:
            views[image] = of_view
        if others := [mask for mask in masks if not _is_view(mask, family)]:
            rest[image] = others
    where = sorted({place_of(mask) for masks in views.values() for mask in masks})
    note = (
        f"masks of the field of view, in which all that is drawn lies: {', '.join(where[:3])} ({len(views)}); pixels "
        "outside do not count. If that is wrong, name the masks that are meant with --masks"
    )
    return rest, views, (note,)


def _is_view(mask: Owned, family: tuple[str, ...]) -> bool:
    kind = mask_kind(mask)
    return kind.view or (kind.family == family and not kind.name and not kind.reads)


def _family_of_views(owned: MaskFiles) -> tuple[str, ...]:
    """The words of the masks that show the field of view; empty where there are none."""
    for mask in all_masks(owned):
        if mask_kind(mask).view:
            return mask_kind(mask).family
    for pairs in _pairs_of_families(owned):
        kinds = [mask_kind(mask) for mask in pairs[0]]
        if all(kind.reads for kind in kinds):
            continue
        found = are_views(pairs)
        if found is None:
            raise competing(owned, pairs)
        return kinds[found].family
    return ()


def _pairs_of_families(owned: MaskFiles) -> Iterable[list[tuple[Owned, Owned]]]:
    """For two families each, the masks of these of each image that has both, but for those with names."""
    pairs = defaultdict[tuple[tuple[str, ...], tuple[str, ...]], list[tuple[Owned, Owned]]](list)
    for masks in owned.values():
        first = dict[tuple[str, ...], Owned]()
        for mask in masks:
            if not mask_kind(mask).name:
                first.setdefault(mask_kind(mask).family, mask)
        for one, other in combinations(sorted(first), 2):
            pairs[one, other].append((first[one], first[other]))
    return pairs.values()


def within_views(readings: Readings, views: MaskFiles) -> Readings:
    """The same where pixels outside of the field of view say nothing."""
    if not views:
        return readings
    masks = dict[str, tuple[str, ...]]()
    for image, of_image in readings.masks.items():
        field_of_view = [MaskPart(WITHIN, view.entry.locator) for view in views.get(image, ())]
        masks[image] = tuple(joined_name([*mask_parts(mask), *field_of_view]) for mask in of_image)
    return replace(readings, masks=masks, ignore=OUTSIDE)
