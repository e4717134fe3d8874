"""What the non-leaking augmentation of generators does how often; `nonleaking` says what the operations are."""

from collections.abc import Sequence
from typing import NamedTuple

from sfumato.errors import UsageError

GEOMETRIC_LABELS, WHOLE_LABELS, COLOUR_LABELS = 9, 4, 6
"""How many labels the equations (1), (2) and (3) of `nonleaking` have."""


class Pipe(NamedTuple):
    """How often, in multiples of `probability`, and how far.

    The defaults are for medical images: no flips, as left and right, up and down are anatomy, and a small angle. For
    skin or cells `mirror=1, upend=1, largest_angle=180`. Karras et al. 2022 have that with `mirror=1e8`: a flip is
    drawn with probability 1/2 and then done with `probability * mirror`, so half of the images are flipped.

    Attributes:
        probability: of an operation with the multiplier 1.
        mirror: left-right flip.
        upend: up-down flip.
        scale: by 2^(w/5), w unit normal.
        angle: rotation, uniform up to `largest_angle`.
        stretch: one direction longer, the other shorter, by 2^(w/5).
        shift: by w/8 of the side.
        turn: quarter turns; images must be square.
        whole_shift: by whole pixels, up to 1/8 of the side.
        brightness: by w/5.
        contrast: by 2^(w/2).
        inversion: black for white, keeping colours.
        hue: turned by any angle.
        saturation: by 2^w.
        largest_angle: degrees.
    """

    probability: float = 0.12
    mirror: float = 0.0
    upend: float = 0.0
    scale: float = 1.0
    angle: float = 1.0
    stretch: float = 1.0
    shift: float = 1.0
    turn: float = 0.0
    whole_shift: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    inversion: float = 0.0
    hue: float = 0.0
    saturation: float = 0.0
    largest_angle: float = 15.0

    @property
    def whole(self) -> bool:
        """Whether there are labels of whole pixels."""
        return self.turn > 0 or self.whole_shift > 0

    @property
    def coloured(self) -> bool:
        """Whether there are labels of colour."""
        return max(self.brightness, self.contrast, self.inversion, self.hue, self.saturation) > 0

    @property
    def labels(self) -> int:
        """How many numbers the network is told."""
        return GEOMETRIC_LABELS + WHOLE_LABELS * self.whole + COLOUR_LABELS * self.coloured

    def check(self, *, channels: int, size: Sequence[int]) -> None:
        """Whether images of this form can be treated.

        Raises:
            UsageError: colours of images that are neither grey nor RGB, quarter turns of oblong ones.
        """
        if self.coloured and channels not in {1, 3}:
            raise UsageError(
                f"colours cannot be varied in images of {channels} channels",
                expected="1 (grey) or 3 (RGB) channels",
                remedy="set brightness, contrast, inversion, hue and saturation of data.augment to 0",
            )
        if self.turn and len(set(size)) > 1:
            raise UsageError(
                f"images of {' x '.join(map(str, size))} pixels change their shape when turned by 90 degrees",
                remedy="set turn of data.augment to 0, or train on square images",
            )
