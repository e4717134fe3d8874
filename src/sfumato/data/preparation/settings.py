"""How a source is prepared."""

from dataclasses import dataclass
from typing import Literal

from sfumato.data.placement import Canvas


@dataclass(frozen=True, kw_only=True)
class PreparationSettings:
    """How a source is prepared.

    Attributes:
        size: height and width of all images in pixels; None: each keeps its own, and so do volumes.
        dimensions: 2: every plane of a volume is an image; 3: volumes stay whole.
        keep_aspect: fit images in undistorted, with a dark margin.
        crop: fill the canvas with the centre of each image, undistorted.
        neighbours: planes before and behind each that the cases have as channels.
        spacing: millimetres per pixel to bring images to, before they are padded or cut to the size; for sources that
            have one. Of whole volumes between planes, rows and columns.
        grey: colours become grey (`sfumato.data.channels`), else a set with some coloured images is all RGB.
        intensity: which numbers become black and white; see `sfumato.data.intensity`.
        window: black and white in stored numbers, for the rule `window`.
        modality: "ct", "mr", "xray" ...; None: what the source says, or a guess.
        keep_empty: share of the slices without foreground that are kept, of volumes with masks.
        fractions: shares of train, validation and test where the source has no split of its own.
        seed: of the split.
        folds: number of folds for cross-validation; 0 for a single division.
        fold: the fold to validate on.
        keep_split: keep a split of the source that has one picture in several parts.
        workers: processes; None for as many as there are processors and work for.
    """

    size: tuple[int, int] | None
    dimensions: Literal[2, 3] = 2
    neighbours: int = 0
    keep_aspect: bool = False
    crop: bool = False
    spacing: float | tuple[float, float, float] | None = None
    grey: bool = False
    intensity: Literal["auto", "unit", "window", "percentile", "zscore"] = "auto"
    window: tuple[float, float] | None = None
    modality: str | None = None
    keep_empty: float = 1.0
    fractions: tuple[float, float, float] = (0.7, 0.15, 0.15)
    seed: int = 0
    folds: int = 0
    fold: int = 0
    keep_split: bool = False
    workers: int | None = None

    @property
    def canvas(self) -> Canvas:
        """How images get to the model's size."""
        return Canvas(self.size, self.keep_aspect, self.crop, self.spacing)
