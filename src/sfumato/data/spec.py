"""What a model must know about its data, and the one path from stored numbers to what networks see.

Intensities are stored as they were; the `Intensity` rule maps them to [-1, 1] when a batch is read. A single file that
is segmented later takes the same path: `model_input`, then `to_data`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Shaped

from sfumato.data.mask import MaskRule
from sfumato.data.placement import Placement, fit
from sfumato.errors import DataError
from sfumato.typing import Data

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey. Source: ITU-R BT.601."""

SAMPLE = 4_000_000
"""Pixels that percentiles are taken from."""

Pixels = Shaped[np.ndarray, "h w c"]
Stored = Shaped[np.ndarray, "height width channels"]
Stack = Shaped[np.ndarray, "b h w c"]


class Intensity(NamedTuple):
    """Which stored numbers become -1 and 1; what lies outside is clipped.

    Attributes:
        low: becomes -1.
        high: becomes 1.
        text: why these, in a sentence.
    """

    low: float
    high: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What a model must know about its data; it travels in the model's header.

    Attributes:
        kind: "segment" with masks, "generate" without.
        size: height and width of the model's canvas.
        channels: 1 (grey) or 3 (RGB).
        dtype: stored numbers, e.g. "uint8", "uint16".
        intensity: stored numbers to [-1, 1].
        keep_aspect: images were fitted into the canvas undistorted.
        classes: names of the labels of whole images; empty without labels.
        mask_classes: names of the labels of pixels, background first; empty without masks.
        mask_rule: what stored mask values mean.
        readers: masks per image.
    """

    kind: Literal["segment", "generate"]
    size: tuple[int, int]
    channels: int
    dtype: str
    intensity: Intensity
    keep_aspect: bool = False
    classes: tuple[str, ...] = ()
    mask_classes: tuple[str, ...] = ()
    mask_rule: MaskRule | None = None
    readers: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        plain = {**vars(self), "intensity": self.intensity._asdict()}
        return {**plain, "mask_rule": self.mask_rule.to_dict() if self.mask_rule else None}

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> "Spec":
        """From what `to_dict` wrote, also after a round trip through JSON.

        Raises:
            DataError: entries are missing or unknown.
        """
        try:
            rule = entry["mask_rule"]
            tuples = {name: tuple(entry[name]) for name in ("size", "classes", "mask_classes")}
            intensity = Intensity(**entry["intensity"])
            return cls(**{**entry, **tuples, "intensity": intensity, "mask_rule": rule and MaskRule.from_dict(rule)})
        except (KeyError, TypeError) as error:
            raise DataError(f"the description of the data is incomplete: {error}", code="DATA-021") from error


def with_channels(pixels: Pixels, channels: int) -> Stored:
    """The image in grey or RGB, same dtype. Grey is repeated; colours are weighted (`LUMA`)."""
    if pixels.shape[2] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=2)
    grey = (pixels @ np.asarray(LUMA))[..., None]
    return np.asarray((grey if pixels.dtype.kind == "f" else np.rint(grey)).astype(pixels.dtype))


def has_colour(pixels: Pixels) -> bool:
    """Whether the channels differ anywhere."""
    return pixels.shape[2] == 3 and bool((pixels[..., :1] != pixels[..., 1:]).any())


def model_input(array: Pixels, spec: Spec) -> tuple[Stored, Placement]:
    """A fresh image in the form in which prepared images are stored: same channels, size and numbers.

    Raises:
        DataError: it has other numbers (16 bit instead of 8 bit, say) than the model was trained on.
    """
    if array.dtype != np.dtype(spec.dtype):
        raise DataError(
            f"the image has {array.dtype} pixels",
            expected=f"{spec.dtype}, as the images that the model was trained on",
            remedy="convert the image, minding the range of its intensities",
            code="DATA-009",
        )
    return fit(with_channels(array, spec.channels), spec.size, keep_aspect=spec.keep_aspect, nearest=False)


def to_data(arrays: Stack, spec: Spec, device: torch.device | str = "cpu") -> Data:
    """Stored images to what networks see: float32 in [-1, 1], channels first in shape, last in memory."""
    stored = torch.from_numpy(arrays).to(device, non_blocking=True)
    low, high, _ = spec.intensity
    values = stored.float().sub_(low).mul_(2 / (high - low)).sub_(1)
    return (values if stored.dtype == torch.uint8 and (low, high) == (0, 255) else values.clamp_(-1, 1)).permute(
        0, 3, 1, 2
    )


def decide_intensity(images: Stack, rows: Sequence[int]) -> Intensity:
    """The intensity rule from the training images, which are these rows.

    8-bit images keep their range. Otherwise the smallest and largest value count, unless a few outliers stretch the
    range to more than twice what 99 % of the pixels need: then the 0.5th and 99.5th percentile do.
    """
    if images.dtype == np.uint8:
        return Intensity(0.0, 255.0, "8-bit images: 0 becomes -1, 255 becomes 1")
    stride = max(1, images[0].size * len(rows) // SAMPLE)
    low, high = float(min(images[row].min() for row in rows)), float(max(images[row].max() for row in rows))
    sample = np.concatenate([images[row].reshape(-1)[::stride] for row in rows])
    inner_low, inner_high = (float(value) for value in np.percentile(sample, (0.5, 99.5)))
    if inner_high > inner_low and high - low > 2 * (inner_high - inner_low):
        text = f"{images.dtype} images: percentiles 0.5 and 99.5 of the training images ({inner_low:g}, {inner_high:g})"
        return Intensity(inner_low, inner_high, f"{text}; the full range is {low:g} to {high:g}")
    text = f"{images.dtype} images: smallest and largest value of the training images ({low:g}, {high:g})"
    return Intensity(low, high if high > low else low + 1, text)
