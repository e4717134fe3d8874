"""What `convert` writes: cases as they are stored, with masks as classes, at another size only where that is asked for.

There are two passes. *Taking stock* reads every file once, so that all problems are told before anything is written,
and so that what belongs to the whole set is known: what mask values mean, whether there is one size, one kind of
numbers. Then the writers (`folder_form`, `zip_form`, `npz_form`, `nnunet_form`) read case after case again and hold one
in memory at a time.
"""

from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from sfumato.data.channels import with_channels
from sfumato.data.formats.image import Pixels, Plane, encode_png, ending_of, read_image, read_mask
from sfumato.data.formats.tiff import encode_tiff
from sfumato.data.manifest import Case, file_names
from sfumato.data.mask import MaskRule, class_names, count_values, mask_rule
from sfumato.data.placement import Canvas, fit_canvas
from sfumato.data.source import DiscoveredDataset
from sfumato.errors import DataError, collected, raise_together


class ConversionStep(NamedTuple):
    """Progress: `done` of `total` steps, the latest with the case `name`."""

    done: int
    total: int
    name: str


class MaskMeaning(NamedTuple):
    """What mask values mean.

    Attributes:
        rule: stored values to class indices.
        names: of the classes, background first.
        regions: names of unions of classes, by class indices.
    """

    rule: MaskRule
    names: tuple[str, ...]
    regions: Mapping[str, tuple[int, ...]] = {}


@dataclass
class _Stock:
    """What is known after every file was read once, over all cases. Images are counted by their parts (files)."""

    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    dtypes: Counter[str] = field(default_factory=Counter)
    channels: Counter[tuple[int, ...]] = field(default_factory=Counter)
    values: Counter[int] = field(default_factory=Counter)
    first: dict[int, str] = field(default_factory=dict)

    def add_mask(self, locator: str, raw: Plane) -> None:
        """Remember the values of a mask."""
        counts = count_values(raw)
        self.values.update(counts)
        for value in counts:
            self.first.setdefault(value, locator)


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """A source, and how its cases are to be written.

    Attributes:
        found: the source.
        stock: what all its files together are like.
        meaning: what mask values mean; None without masks.
        size: height and width to bring images and masks to; None leaves each as it is.
        crop: cut the centre out at the shape of `size` first; otherwise images are stretched.
    """

    found: DiscoveredDataset
    stock: _Stock
    meaning: MaskMeaning | None
    size: tuple[int, int] | None = None
    crop: bool = False

    @property
    def cases(self) -> tuple[Case, ...]:
        """The cases of the source."""
        return self.found.cases

    def parts(self, case: Case) -> list[Pixels]:
        """The image files of a case."""
        return [self._sized(read_image(locator), nearest=False) for locator in (case.image, *case.channels)]

    def image(self, case: Case, *, channels: int | None = None) -> Pixels:
        """The image of a case as one array; grey is repeated where all shall have three `channels`."""
        joined = np.concatenate(self.parts(case), axis=2)
        return joined if channels is None else with_channels(joined, channels)

    def masks(self, case: Case) -> list[Plane]:
        """The masks of a case as class indices."""
        assert self.meaning is not None
        return [self._sized(self.meaning.rule.apply(read_mask(locator)), nearest=True) for locator in case.masks]

    def _sized(self, array: np.ndarray, *, nearest: bool) -> np.ndarray:
        if self.size is None:
            return array
        placement = Canvas(self.size, crop=self.crop).place((array.shape[0], array.shape[1]))
        return fit_canvas(array, placement, nearest=nearest)


def take_stock(
    found: DiscoveredDataset, *, meaning: MaskMeaning | None, size: tuple[int, int] | None, crop: bool
) -> Generator[ConversionStep, None, Conversion]:
    """Read every file once.

    Args:
        found: the source.
        meaning: what mask values mean, where that was decided before.
        size: as in `Conversion`.
        crop: as in `Conversion`.

    Raises:
        DataError: files that cannot be used; all are listed.
    """
    stock, problems = _Stock(), [*found.problems]
    for done, case in enumerate(found.cases, start=1):
        _read_once(case, stock, problems)
        yield ConversionStep(done, 2 * len(found.cases), case.id)
    if stock.values:
        with collected(problems):
            meaning = meaning or decide_meaning(found, stock.values)
            problems += strange_values(meaning, stock)
    raise_together(problems)
    return Conversion(found=found, stock=stock, meaning=meaning if stock.values else None, size=size, crop=crop)


def _read_once(case: Case, stock: _Stock, problems: list[DataError]) -> None:
    """Take stock of a case; each of its files that cannot be used is a problem."""
    parts, size = list[Pixels](), None
    for locator in (case.image, *case.channels):
        with collected(problems):
            parts.append(read_image(locator))
            size = size or (parts[0].shape[0], parts[0].shape[1])
            refuse_other_size(case, locator, parts[-1], size)
    for locator in case.masks:
        with collected(problems):
            raw = read_mask(locator)
            stock.add_mask(locator, raw)
            if size is not None:
                refuse_other_size(case, locator, raw, size)
    if size is None or len(parts) <= len(case.channels):
        return
    stock.sizes[size] += 1
    stock.dtypes.update({str(part.dtype) for part in parts})
    stock.channels[tuple(part.shape[2] for part in parts)] += 1


def refuse_other_size(case: Case, locator: str, array: np.ndarray, size: tuple[int, ...]) -> None:
    """Refuse a mask or channel that is not of the size of its image."""
    if array.shape[: len(size)] != size:
        found, wanted = (" x ".join(map(str, shape)) for shape in (array.shape[: len(size)], size))
        raise DataError(
            f"{locator} has the size {found}, its image {case.image} {wanted}",
            expected="masks and channels of the size of their image",
            remedy="export it again at the size of the image",
            code="DATA-012",
        )


def decide_meaning(found: DiscoveredDataset, values: Mapping[int, int]) -> MaskMeaning:
    """What the values of all masks mean: as the source names them, or by the rule for masks without names."""
    rule = mask_rule(values, found.mask_names, found.ignore, said=found.names_are_said)
    index = {value: number for number, value in enumerate(rule.values)}
    regions = {name: tuple(index[value] for value in members) for name, members in found.regions.items()}
    if regions:  # beside unions, a class that has a name of its own is a region too
        own = {value: name for value, name in found.mask_names.items() if value and name != f"label {value}"}
        regions |= {name: (index[value],) for value, name in own.items()}
    return MaskMeaning(rule, class_names(rule, found.mask_names), regions)


def strange_values(meaning: MaskMeaning, stock: _Stock) -> list[DataError]:
    """Mask values that no class has."""
    if meaning.rule.threshold is not None:
        return []
    return [
        DataError(
            f"{stock.first[value]}: the mask has the value {value}, which no class has",
            expected=meaning.rule.text,
            remedy="correct the mask, or name the value where the source names its classes",
            code="DATA-014",
        )
        for value in sorted(set(stock.values) - {*meaning.rule.values, meaning.rule.ignore})
    ]


class Encoded(NamedTuple):
    """The content of an image file and how its name ends."""

    suffix: str
    content: bytes


def encode(pixels: Pixels) -> Encoded:
    """An image without loss: PNG, or TIFF for what PNG cannot hold (negative numbers, fractions, many channels)."""
    if fits_png(str(pixels.dtype), channels=pixels.shape[2]):
        return Encoded(".png", encode_png(pixels))
    return Encoded(".tif", encode_tiff(pixels))


def fits_png(dtype: str, *, channels: int = 1) -> bool:
    """Whether PNG holds so many channels of numbers of this kind."""
    return dtype in ("uint8", "uint16") and ending_of(channels) == ".png"


def with_progress(conversion: Conversion) -> Iterator[tuple[Case, str, ConversionStep]]:
    """Each case of the second pass with its file name and the progress to report after it."""
    count = len(conversion.cases)
    names = file_names([case.id for case in conversion.cases])
    for row, (case, name) in enumerate(zip(conversion.cases, names, strict=True), start=1):
        yield case, name, ConversionStep(count + row, 2 * count, case.id)


def one_channel_count(conversion: Conversion) -> int:
    """How many channels the images have together; grey among colours counts as colour.

    Raises:
        DataError: images differ otherwise.
    """
    counts = {sum(parts) for parts in conversion.stock.channels}
    if len(counts) > 1 and not counts <= {1, 3}:
        shown = ", ".join(map(str, sorted(counts)))
        raise DataError(
            f"the images have {shown} channels", expected="as many channels in every image", code="DATA-009"
        )
    return max(counts)
