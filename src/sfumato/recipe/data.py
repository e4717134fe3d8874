"""How images reach the network: where they come from, how they are split, sized and varied."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from sfumato.files import is_pattern
from sfumato.recipe.part import Auto, Fraction, NonNegative, Part, Positive, Side, Whole

Modality = Literal["auto", "ct", "mr", "xray", "ultrasound", "photo", "microscopy", "unknown"]

Pairs = Literal["none", "joint", "image_from_mask", "mask"]

LabelKind = Literal["class", "none"]

RepresentationKind = Literal["pixels", "haar"]

NATIVE: Literal["native"] = "native"
"""The size of images that each keep their own."""


class Columns(Part):
    """Names of a table's columns, where they cannot be told from their names."""

    image: str | None = Field(None, description="file or id of the image")
    mask: str | None = Field(None, description="file of the mask")
    label: str | None = Field(None, description="class")
    patient: str | None = Field(None, description="whose image it is; a patient is never in two splits")
    split: str | None = Field(None, description="train, validation or test")


class Source(Part):
    """Where the files of a source leave a choice."""

    masks: str | None = Field(
        None, description="folder of the masks, if they are not below the source; or a pattern of their paths with {id}"
    )
    images: str | None = Field(
        None, description="pattern of the images' paths below the source, such as */images/{id}_training.tif"
    )
    readers_by: Literal["folder", "suffix"] | None = Field(
        None, description="several masks of an image are of readers, told apart by their folder or the end of the name"
    )
    classes_by: Literal["folder", "suffix"] | None = Field(
        None, description="several masks of an image are of classes, told apart likewise"
    )
    join_masks: bool = Field(False, description="several masks of an image, or several values of one, are parts of one")
    fill_outlines: bool = Field(False, description="the masks are closed lines around what is meant, which is filled")
    class_names: tuple[str, ...] = Field(
        (),
        description="names of the values of masks: [liver, tumour] for 1 and 2, or [128=liver, 255=tumour]; what is "
        "called ignore (0=ignore) counts neither in loss nor in metrics",
    )
    table: str | None = Field(None, description="CSV or TSV file about the images of a folder")
    columns: Columns = Columns()
    drop_unpaired: bool = Field(False, description="leave out images without mask and masks without image")
    keep_split: bool = Field(
        False, description="keep a split of the source that has one patient or picture in several parts"
    )
    group_by: str | None = Field(
        None,
        description="what keeps cases in one split: a column, a regular expression with one group on the id, parent "
        "(the folder), PatientID or StudyInstanceUID (DICOM); none: each stands alone",
    )
    class_level: Whole = Field(0, ge=0, description="which folder names the class, from 1; 0: chosen, and told")
    slice_axis: Literal["auto", "axial", "coronal", "sagittal"] = Field(
        "auto", description="along which volumes are cut; auto: across the thickest slices"
    )
    component: Annotated[Whole, Field(ge=0)] | Literal["all", "planes"] | None = Field(
        None,
        description="which component of volumes with several is the image; all: each is a channel; planes: the planes "
        "of a volume are channels of one image",
    )
    pages: Literal["volume", "channels"] | None = Field(
        None, description="what the pages of a TIFF of several are: planes of a volume, or channels of one image"
    )

    @property
    def masks_folder(self) -> str | None:
        """The folder of the masks; None where a pattern says which they are."""
        return None if self.masks is None or is_pattern(self.masks) else self.masks


class SplitShares(Part):
    """Shares of the cases (whole patients); a split that the source has already is kept."""

    train: Fraction = Field(0.7, description="share of the cases to train on")
    validation: Fraction = Field(0.15, description="share to choose the best checkpoint by")
    test: Fraction = Field(0.15, description="share that training never sees")
    seed: Whole = Field(0, description="decides which case goes where")
    folds: Annotated[Whole, Field(ge=0, le=1000)] = Field(
        0, description="divide what is not for testing into folds for cross-validation"
    )
    fold: Annotated[Whole, Field(ge=0)] = Field(0, description="the fold to validate on")


class Augmentation(Part):
    """A preset with some numbers of your own, each drawn between its negative and itself unless said otherwise."""

    base: Literal["none", "light", "medium", "heavy"] = Field("none", description="preset of what is left out below")
    mirror: Fraction | None = Field(None, description="probability of a left-right flip")
    upend: Fraction | None = Field(None, description="probability of an up-down flip")
    flip_depth: Fraction | None = Field(None, description="probability of a front-to-back flip of volumes")
    angle: Annotated[float, Field(ge=0, le=180)] | None = Field(
        None, description="rotation in degrees, of volumes about the axis through their planes"
    )
    tilt: Fraction | None = Field(
        None, description="rotation of volumes about their other two axes, as a share of angle"
    )
    scale: Fraction | None = Field(None, description="logarithm of the magnification")
    aspect: Fraction | None = Field(None, description="logarithm of the ratio of width to height")
    shift: Annotated[float, Field(ge=0, le=0.5)] | None = Field(None, description="shift as a share of the side")
    crop: Annotated[float, Field(ge=0, le=0.9)] | None = Field(
        None, description="largest share of the side that is cut away, from 0; the rest is enlarged"
    )
    elastic: Annotated[float, Field(ge=0, le=64)] | None = Field(
        None, description="elastic displacement in pixels; folds when above an eighth of the side"
    )
    brightness: Annotated[float, Field(ge=0, le=2)] | None = Field(
        None, description="added to the image, which is in [-1, 1]"
    )
    contrast: Annotated[float, Field(ge=0, le=2)] | None = Field(None, description="logarithm of the contrast factor")
    gamma: Annotated[float, Field(ge=0, le=2)] | None = Field(None, description="logarithm of the exponent")
    bias_field: Annotated[float, Field(ge=0, le=2)] | None = Field(
        None,
        description="largest logarithm of a factor that changes smoothly over the image, as near the coils of an MR "
        "scanner, from 0, for half of the images",
    )
    blur: Annotated[float, Field(ge=0, le=8)] | None = Field(
        None, description="largest standard deviation of the blur in pixels, from 0, for half of the images"
    )
    low_resolution: Annotated[float, Field(ge=0, le=8)] | None = Field(
        None,
        description="by how much pixels become larger at most, in their own size, from 0, for half of the images; "
        "resampled to fewer and back",
    )
    noise: Fraction | None = Field(
        None, description="largest standard deviation of the noise, from 0, for half of the images in [-1, 1]"
    )


class NonLeaking(Part):
    """Augmentation of generators that does not appear in what they draw: multiples of a probability, and how far."""

    kind: Literal["non_leaking"] = "non_leaking"
    probability: Fraction | None = Field(None, description="of an operation with multiplier 1; 0.12 if left out")
    mirror: NonNegative | None = Field(None, description="multiplier of left-right flips; 1e8: half of the images; 0")
    upend: NonNegative | None = Field(None, description="multiplier of up-down flips; 0")
    scale: NonNegative | None = Field(None, description="multiplier of magnification; 1")
    angle: NonNegative | None = Field(None, description="multiplier of rotation; 1")
    stretch: NonNegative | None = Field(None, description="multiplier of stretching in one direction; 1")
    shift: NonNegative | None = Field(None, description="multiplier of shifts; 1")
    turn: NonNegative | None = Field(None, description="multiplier of quarter turns, for square images; 0")
    whole_shift: NonNegative | None = Field(None, description="multiplier of shifts by whole pixels; 0")
    brightness: NonNegative | None = Field(None, description="multiplier of brightness; 0")
    contrast: NonNegative | None = Field(None, description="multiplier of contrast; 0")
    inversion: NonNegative | None = Field(None, description="multiplier of black for white; 0")
    hue: NonNegative | None = Field(None, description="multiplier of hue; 0")
    saturation: NonNegative | None = Field(None, description="multiplier of saturation; 0")
    largest_angle: Annotated[float, Field(ge=0, le=180)] | None = Field(None, description="rotation in degrees; 15")


AugmentWord = Literal["auto", "none", "light", "medium", "heavy", "non_leaking"]


def _augment_form(value: object) -> str:
    """Which form of `data.augment` was written: a word, ranges, or the non-leaking pipe."""
    if isinstance(value, Mapping):
        return "non_leaking" if {"kind", "probability"} & value.keys() else "ranges"
    if isinstance(value, Augmentation):
        return "ranges"
    return "non_leaking" if isinstance(value, NonLeaking) else "word"


Augment = Annotated[
    Annotated[AugmentWord, Tag("word")]
    | Annotated[Augmentation, Tag("ranges")]
    | Annotated[NonLeaking, Tag("non_leaking")],
    Discriminator(_augment_form),
]


class DataSection(Part):
    """How images reach the network."""

    source: Source = Source()
    dimensions: Literal[2, 3] | Auto = Field(
        "auto",
        description="2: every plane of a volume is an image; 3: volumes stay whole; auto: 3 of volumes with masks, of "
        "16 planes or more that lie less than 3 pixels apart, unless a size is given",
    )
    neighbours: Annotated[Whole, Field(ge=0, le=8)] = Field(
        0,
        description="planes before and behind each that are channels of it, where volumes are cut into planes (2.5-D)",
    )
    size: tuple[Side, Side] | Auto | Literal["native"] = Field(
        "auto",
        description="height and width in pixels; native: each image keeps its own; auto: a median",
    )
    patch: tuple[Side, Side] | tuple[Side, Side, Side] | Auto | Literal["whole"] = Field(
        "auto",
        description="height and width in pixels (of volumes planes first) of what is cut out of images to train on, "
        "and of the windows in which whole ones are segmented; whole: no patches; auto: of images in their own size",
    )
    keep_aspect: bool = Field(False, description="pad to the size instead of stretching")
    crop: bool = Field(False, description="cut the centre out in the shape of the size, instead of stretching")
    spacing: Positive | tuple[Positive, Positive, Positive] | None = Field(
        None,
        description="resample to so many millimetres per pixel, then pad or cut to the size; whole volumes between "
        "planes, rows and columns, by default to those of most of them",
    )
    grey: bool = Field(False, description="make colours grey; else, where some images have colours, all are RGB")
    modality: Modality = Field("auto", description="what made the images; auto: what the files say, or a guess")
    intensity: Literal["auto", "unit", "window", "percentile", "zscore"] = Field(
        "auto",
        description="which stored numbers become black and white: the full range, the same numbers for all images, "
        "percentiles of each, or mean and deviation of each",
    )
    window: tuple[float, float] | None = Field(
        None, description="black and white in stored numbers, such as Hounsfield units; for intensity window"
    )
    keep_empty: Fraction = Field(1.0, description="share of the volumes' slices without foreground that are kept")
    pairs: Pairs = Field(
        "none",
        description="what a generator makes of images with masks: images alone (none), both at once (joint), images "
        "from masks, or masks alone (mask)",
    )
    labels: LabelKind = Field(
        "class", description="what a generator is told of an image: its class, where the data have classes, or nothing"
    )
    representation: RepresentationKind = Field(
        "pixels",
        description="what a generator diffuses: the pixels, or the bands of a Haar packet, which are exact: fewer and "
        "larger pixels of more channels",
    )
    levels: Annotated[Whole, Field(ge=1, le=3)] = Field(
        1, description="how often the packet halves the sides, which must divide by 2, 4 or 8"
    )
    band_deviations: tuple[Positive, ...] = Field(
        (),
        description="by which the channels of the packet are divided, those of the coarsest band first; none: their "
        "standard deviations on training images",
    )
    augment: Augment = Field(
        "auto",
        description="how much images are varied: a word, ranges of your own, or {kind: non_leaking, ...}; "
        "auto: what suits the modality",
    )
    split: SplitShares = SplitShares()

    @property
    def seen(self) -> tuple[int, ...]:
        """The sides of what the network sees in training: a patch, or a whole image, encoded; every `auto` resolved."""
        if isinstance(self.patch, tuple):
            return self.patch
        assert isinstance(self.size, tuple), "the plan resolves every auto, and chooses a patch of native images"
        return self.encoded(self.size)

    def encoded(self, size: Sequence[int]) -> tuple[int, ...]:
        """The sides of what is diffused of an image of such sides."""
        return tuple(side // 2**self.levels for side in size) if self.representation == "haar" else tuple(size)

    @model_validator(mode="after")
    def _window_opens(self) -> "DataSection":
        if self.window is not None and self.window[0] >= self.window[1]:
            raise ValueError(f"window {self.window[0]:g} to {self.window[1]:g} is empty: black must lie below white")
        return self

    @model_validator(mode="after")
    def _levels_are_of_haar(self) -> "DataSection":
        given = [name for name in ("levels", "band_deviations") if name in self.model_fields_set]
        usual = DataSection.model_fields
        other = [f"data.{name}" for name in given if getattr(self, name) != usual[name].default]
        if self.representation == "pixels" and other:
            raise ValueError(f"{' and '.join(other)} would do nothing: take data.representation=haar")
        return self
