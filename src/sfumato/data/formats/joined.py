"""A mask that is drawn in several files: how it is named, and how its files become one mask.

    //=a_mask.png//=a_mask_1.png             parts of one reading: the larger value of each pixel
    //1=liver.nii.gz//2=spleen.nii.gz        a file for each class: its object has this value
    //=21_manual1.gif//within=21_mask.gif    where the last is 0, nothing is said (`OUTSIDE`)
    //=rs.dcm::axial/17//on=ct/1.dcm         contours (RTSTRUCT) on the image that they are laid on
    //any=nuclei.png                         numbers of objects, which are one class: 1 where it is not 0
    //as2.1-255.0=map.png                    other values for stored ones: 1 for 2, 0 for 255; `OUTSIDE` where ignored
    //fill=a_outline.png//fill1=b.png        outlines, with what they enclose; before any role but the field of view

No path has `//` in it, so these are no names of files. Where classes overlap, the smaller object is on top: a cup that
is drawn in its disc stays visible, whichever is read first. The files of a volume are put together once for all planes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Integer, Shaped

from sfumato.data.formats.locator import PART_MARK, Locator
from sfumato.data.formats.scan import FILES, is_volume, read_contour_plane, read_volume
from sfumato.data.formats.volume import Axis, PlaneAddress, flat_axis, named_place
from sfumato.errors import DataError

OUTSIDE = 2**31 - 1
"""The stored value of pixels that say nothing, as outside of what the camera sees: one that no file has."""

WITHIN, ON, ANY, AS, FILL = "within", "on", "any", "as", "fill"

LARGEST_CLASS = 254

GREYS = 8
"""More values than this in a picture of outlines are the greys of one line."""

NUMBERS = 63
"""Values up to this one are numbers of parts, and no greys."""

_ARRAYS = (".npy", ".npz")
"""What holds numbers, and no greys."""

_Raw = Shaped[np.ndarray, "..."]
Read = Callable[[str], _Raw]


class MaskPart(NamedTuple):
    """One of the files.

    Attributes:
        role: the value of its class, "" for a part of one reading, "within" for the field of view, "on" for the image
            of the contours that stand before it, "any" for numbers of objects, `renamed` for other values. Before these
            stands "fill" where the lines of a file enclose what is meant.
        locator: where it is read.
    """

    role: str
    locator: str


def is_joined(mask: str) -> bool:
    """Whether the name of a mask is that of several files."""
    return PART_MARK.match(mask) is not None


def joined_name(parts: Sequence[MaskPart]) -> str:
    """The name of a mask of these files; of a single part of a reading its own."""
    if len(parts) == 1 and not parts[0].role:
        return parts[0].locator
    return "".join(f"//{part.role}={part.locator}" for part in parts)


def mask_parts(mask: str) -> list[MaskPart]:
    """The files of a mask; a mask of one file is its only part."""
    if not is_joined(mask):
        return [MaskPart("", mask)]
    _, *pieces = PART_MARK.split(mask)
    return [MaskPart(role, locator) for role, locator in zip(pieces[::2], pieces[1::2], strict=True)]


def each_part(mask: str, change: Callable[[str], str]) -> str:
    """A mask with the locators of its files changed."""
    return joined_name([part._replace(locator=change(part.locator)) for part in mask_parts(mask)])


def mask_words(mask: str) -> str:
    """A mask for people: its files, with the class of each."""
    parts = mask_parts(mask)
    roles = [part.role.removeprefix(FILL) for part in parts]
    names = [
        part.locator if role == ANY or role.startswith(AS) else f"{role} {part.locator}".strip()
        for part, role in zip(parts, roles, strict=True)
    ]
    return " + ".join(names)


def at_member(mask: str, member: str) -> str:
    """The same files at another place, such as `axial/17`."""
    return each_part(mask, lambda locator: str(Locator(Locator.parse(locator).path, member)))


def read_joined(mask: str, read: Read) -> Shaped[np.ndarray, "h w"]:
    """One mask from its files.

    Args:
        mask: its name.
        read: reads a mask of one file.

    Raises:
        DataError: a file cannot be read, or the files have different sizes.
    """
    parts = mask_parts(mask)
    if any(part.role == ON for part in parts):
        return _painted(mask, _on_images(parts, read))
    targets = [Locator.parse(part.locator) for part in parts]
    if not all(is_volume(target.path) for target in targets):
        return _painted(mask, ((part, read(part.locator)) for part in parts))
    places = [named_place(target.member) for target in targets]
    are_dicom = not all(target.path.name.lower().endswith(FILES) for target in targets)
    own = any(place and (place.window or place.values or place.component is not None) for place in places)
    if are_dicom or own:  # each has planes of its own
        return _painted(mask, ((part, read(part.locator)) for part in parts))
    volume = read_volume(targets[0].path)
    axis = places[0].axis if places[0] else flat_axis(volume.voxels.shape, volume.affine)
    firsts = [
        part._replace(locator=str(Locator(target.path, _first(axis, place))))
        for part, target, place in zip(parts, targets, places, strict=True)
    ]
    times = tuple(target.path.stat().st_mtime_ns for target in targets)
    whole = _painted_volume(joined_name(firsts), times, read)
    return np.asarray(whole[places[0].number if places[0] else 0])


def _on_images(parts: Sequence[MaskPart], read: Read) -> Iterator[tuple[MaskPart, _Raw]]:
    """The files of a mask with contours among them, each with the image behind it."""
    for part, behind in zip(parts, [*parts[1:], None], strict=True):
        if part.role != ON:
            image = behind.locator if behind is not None and behind.role == ON else ""
            target = Locator.parse(part.locator)
            yield part, read_contour_plane(target, Locator.parse(image).path) if image else read(part.locator)


def _first(axis: Axis, place: PlaneAddress | None) -> str:
    """The first plane of a volume that is laid as another of its planes is."""
    return f"{axis}/0{f'@{place.codes}' if place and place.codes else ''}"


@lru_cache(maxsize=2)
def _painted_volume(mask: str, _changed: tuple[int, ...], read: Read) -> _Raw:
    """All planes of the files of a mask, put together; the latest are remembered: planes come in turn."""

    def planes(part: MaskPart) -> _Raw:
        path, member = Locator.parse(part.locator)
        place = named_place(member)
        assert place is not None, "it is the first plane"
        count = len(read_volume(path).planes(place.axis, place.codes))
        return np.stack([read(str(Locator(path, member.replace("/0", f"/{number}", 1)))) for number in range(count)])

    return _painted(mask, ((part, planes(part)) for part in mask_parts(mask)))


def _painted(mask: str, parts: Iterable[tuple[MaskPart, _Raw]]) -> _Raw:
    """What is put together, file by file."""
    whole: Integer[np.ndarray, "..."] | None = None
    sizes, outside = np.zeros(LARGEST_CLASS + 1, np.int64), list[Bool[np.ndarray, "..."]]()
    for part, raw in parts:
        whole = np.zeros(raw.shape, np.uint8) if whole is None else whole
        if raw.shape != whole.shape:
            raise _other_size(mask, part, raw.shape, whole.shape)
        role = part.role.removeprefix(FILL)
        if role != part.role:
            raw = with_insides(part.locator, raw)
        if role == WITHIN:
            outside.append(raw == 0)
        elif role == ANY or role.startswith(AS):
            whole = np.maximum(whole, _revalued(role, raw))
        elif role:
            _paint(whole, sizes, int(role), object_mask(part.locator, raw))
        else:
            whole = np.maximum(whole, raw)
    assert whole is not None
    if outside:
        whole = np.where(np.logical_or.reduce(outside), OUTSIDE, whole.astype(np.int32))
    return whole


def renamed(values: Mapping[int, int]) -> str:
    """The role of a file whose stored values have others; what is not among them stays as it is."""
    return AS + "-".join(f"{stored}.{value}" for stored, value in sorted(values.items()))


def _revalued(role: str, raw: _Raw) -> _Raw:
    """The values that a file has in its mask."""
    if role == ANY:
        return np.asarray(raw != 0, np.uint8)
    pairs = [tuple(map(int, pair.split("."))) for pair in role.removeprefix(AS).split("-")]
    holds_all = np.result_type(raw, np.min_scalar_type(max(value for _, value in pairs)))
    changed: _Raw = raw.astype(holds_all)
    for stored, value in pairs:
        changed[raw == stored] = value
    return changed


def with_insides(locator: str, raw: _Raw) -> _Raw:
    """Outlines with what they enclose, value by value and plane by plane; a smaller object lies on a larger one."""
    from scipy import ndimage

    values = [value for value in np.unique(raw).tolist() if value]
    if len(values) > GREYS:
        values = [max(values)]
        raw = np.where(object_mask(locator, raw), np.asarray(values[0], raw.dtype), np.asarray(0, raw.dtype))
    planes = raw.reshape(-1, *raw.shape[-2:])
    filled = np.zeros_like(planes)
    for lines, plane in zip(planes, filled, strict=True):
        areas = [(ndimage.binary_fill_holes(lines == value), value) for value in values]
        for area, value in sorted(areas, key=lambda one: -int(one[0].sum())):
            plane[area] = value
    return filled.reshape(raw.shape)


def _paint(whole: _Raw, sizes: _Raw, value: int, area: Bool[np.ndarray, "..."]) -> None:
    """Give an area its value, but for where a smaller one lies."""
    sizes[value] = area.sum()
    whole[area & ((whole == 0) | (sizes[whole] > sizes[value]))] = value


def object_mask(locator: str, raw: _Raw) -> Bool[np.ndarray, "..."]:
    """What a file with one object shows: all but 0; where a picture has greys, what is above the middle."""
    if Locator.parse(locator).path.suffix.lower() in _ARRAYS:
        return np.asarray(raw != 0)
    top = int(raw.max(initial=0))
    if locator.lower().endswith((".jpg", ".jpeg")):
        return np.asarray(raw >= 128)
    return np.asarray(raw > (top // 2 if top > NUMBERS else 0))


def _other_size(mask: str, part: MaskPart, found: Sequence[int], first: Sequence[int]) -> DataError:
    return DataError(
        f"{part.locator} is {found[-1]} x {found[-2]} (width x height), the first file of its mask "
        f"{mask_parts(mask)[0].locator} is {first[-1]} x {first[-2]}",
        expected="files of the size of their image",
        remedy="export them again at the size of their image",
        code="DATA-012",
    )
