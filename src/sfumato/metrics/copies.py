"""Is an image a copy of another one, though it may be mirrored, moved, turned a little or windowed anew?

For two images with all the pixels of a centre crop in one vector, freed of the mean of each channel,

    ncc(x, y) = x . y / (|x| |y|)                                                                          (1)

is their normalised cross-correlation: 1 for the same image, also after a change of contrast and brightness. Aligned, it
is the largest value over what may have been done to the query,

    score(q, r) = max over poses p and shifts s of  ncc(crop(shift_s(p(q))), crop(r)).                     (2)

Poses are mirroring, quarter turns where they make sense, and small rotations; shifts are whole pixels. Nearest
neighbours in pixels or in features of a network miss most of the copies that were mirrored or moved by two pixels.

Where all images are much alike a high score means little. The lead says how much nearer the nearest reference is than
those after it, with the distance d = 1 - score and the mean over the next `NEXT` references (the idea of Carlini et
al., 2023):

    lead(q) = 1 - d_1 / mean(d_2, d_3, ...).                                                               (3)

It tells a blurred or windowed copy from mere likeness, and is blind where references have copies among themselves.

All pairs are compared on a coarse grid first; (2) is computed for the few best references of each query. It is always
the query that is moved: its score depends on nothing but itself and the references, which a threshold relies on.
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample, interpolate

Images = Float[Tensor, "n c h w"]

_Others = Float[Tensor, "m _ _ _"]

SIDE = 64
"""Images are compared at this many pixels on their longer side at most."""

SHIFT = 0.07
"""Largest shift, as a share of the shorter side; at least `LEAST_SHIFT` pixels, of tiny images a quarter."""

LEAST_SHIFT = 2

ANGLES = (-5.0, -2.5, 0.0, 2.5, 5.0)
"""Small rotations in degrees."""

_COARSE = 16
"""Cells on the shorter side of the coarse grid, about."""

SHORTLIST = 32
"""References of each query for which equation (2) is computed."""

NEXT = 4
"""References after the nearest one that the lead is over."""

SOFT = 1e-4
"""Added to their distance in equation (3): what rounding leaves of 0."""

QUERIES_AT_ONCE = 256
"""Queries at a time on the coarse grid."""

WINDOWS, WINDOWS_ON_GPU = 2**22, 2**27
"""Numbers held at once while equation (2) is computed: what a processor's cache holds, what keeps a GPU busy."""

_PLAIN = 1e-3
"""A crop of one value has no pattern: its length is below this, for images in [-1, 1]."""


class View(NamedTuple):
    """What was done to a query to bring it onto its nearest reference, in this order.

    Attributes:
        turns: quarter turns against the clock.
        mirrored: left and right exchanged, after the turns.
        angle: small rotation against the clock in degrees.
        down: rows between the query's crop and the reference's, in pixels of the compared size.
        right: columns between them.
    """

    turns: int = 0
    mirrored: bool = False
    angle: float = 0.0
    down: int = 0
    right: int = 0

    def __str__(self) -> str:
        words = []
        if self.turns:
            words.append(f"turned {90 * self.turns}")
        if self.mirrored:
            words.append("mirrored")
        if self.angle:
            words.append(f"tilted {self.angle:+g}")
        if self.down or self.right:
            words.append(f"moved {self.down:+d} {self.right:+d}")
        return "; ".join(words) or "as it is"


class Matches(NamedTuple):
    """The nearest reference of each query.

    Attributes:
        score: equation (2), in [-1, 1]; 0 for an image of one value, which has no pattern.
        nearest: row of the reference.
        view: how the query was brought onto it; `str(view)` in words.
        lead: equation (3), in [0, 1]; over no other reference as if those had the score 0.
    """

    score: Float[np.ndarray, " n"]
    nearest: Integer[np.ndarray, " n"]
    view: tuple[View, ...]
    lead: Float[np.ndarray, " n"]


def nearest(
    queries: Images,
    references: _Others,
    *,
    shifts: int | None = None,
    angles: Sequence[float] = ANGLES,
    flips: bool = True,
    turns: bool = False,
    device: torch.device | str = "cpu",
    exclude_self: bool = False,
    exclude: Sequence[int] | None = None,
    shortlist: int = SHORTLIST,
) -> Matches:
    """The reference that each query is most alike by equation (2).

    Args:
        queries: images in [-1, 1]; gain and offset do not matter.
        references: images of the same size and channels.
        shifts: pixels of the compared size in each direction; by default 7 % of the shorter side, at least 2.
        angles: rotations in degrees that are tried.
        flips: also try mirrored images (left-right).
        turns: also try quarter turns (half turns of images that are not square); together with `flips` all eight
            symmetries. For pictures without an upright position, such as skin or tissue.
        device: where to compute.
        exclude_self: queries are the references, and none is compared with itself.
        exclude: for each query the row of a reference that it is not compared with.
        shortlist: how many references of each query are compared exactly.

    Raises:
        ValueError: sizes differ, there is nothing to compare with, or shifts leave no crop.
    """
    exclude = range(len(queries)) if exclude_self else exclude
    usable = len(references) - (exclude is not None)
    if queries.shape[1:] != references.shape[1:] or usable < 1:
        raise ValueError(f"no comparison of {tuple(queries.shape)} with {tuple(references.shape)}")
    queries, references = compared(queries), compared(references)
    margin = _margin(references) if shifts is None else shifts
    if 2 * margin >= min(references.shape[2:]):
        raise ValueError(f"shifts of {margin} pixels leave nothing of {tuple(references.shape[2:])}")
    poses = _poses(angles, flips=flips, turns=turns, square=references.shape[2] == references.shape[3])
    search = _Search(references.to(device), margin, poses, min(shortlist, usable))
    found = []
    for start in range(0, len(queries), QUERIES_AT_ONCE):
        block = queries[start : start + QUERIES_AT_ONCE].to(device)
        found.append(search.of(block, exclude=None if exclude is None else exclude[start : start + QUERIES_AT_ONCE]))
    return _joined(found, poses, margin)


def compared(images: Images) -> _Others:
    """Images at the size at which they are compared: at most `SIDE` pixels on the longer side."""
    height, width = images.shape[2:]
    if max(height, width) <= SIDE:
        return images
    factor = SIDE / max(height, width)
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    return interpolate(images, size=size, mode="area")


def aligned(images: Images, view: View) -> _Others:
    """Images in the pose and at the place in which they were compared; their own size, edges continued."""
    posed = _posed(images, view)
    height, width = posed.shape[2:]
    factor = max(1.0, max(height, width) / SIDE)
    rows = (torch.arange(height) + round(view.down * factor)).clamp(0, height - 1)
    columns = (torch.arange(width) + round(view.right * factor)).clamp(0, width - 1)
    return posed[:, :, rows][..., columns]


def _margin(images: Tensor) -> int:
    side = min(images.shape[2:])
    return min(max(LEAST_SHIFT, round(SHIFT * side)), (side - 1) // 4)


def _poses(angles: Sequence[float], *, flips: bool, turns: bool, square: bool) -> tuple[View, ...]:
    quarters = (0, 1, 2, 3) if turns and square else (0, 2) if turns else (0,)
    mirrored = (False, True) if flips else (False,)
    return tuple(
        View(quarter, mirror, angle) for quarter, mirror, angle in itertools.product(quarters, mirrored, angles)
    )


def _posed(images: Images, view: View) -> _Others:
    if view.turns:
        images = images.rot90(view.turns, (2, 3))
    if view.mirrored:
        images = images.flip(3)
    return _rotated(images, view.angle) if view.angle else images


def _rotated(images: Images, angle: float) -> Images:
    """Rotated against the clock about the centre, bilinear, edges continued."""
    height, width = images.shape[2:]
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    matrix = images.new_tensor([[cosine, -sine * height / width, 0.0], [sine * width / height, cosine, 0.0]])
    grid = affine_grid(matrix.expand(len(images), 2, 3), list(images.shape), align_corners=False)
    return grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


class _Found(NamedTuple):
    """For each query: score, row of the reference, lead, pose and place of the crop as one number."""

    score: Tensor
    row: Tensor
    lead: Tensor
    place: Tensor


class _Search:
    """References made ready once, and the search for each block of queries."""

    def __init__(self, references: Tensor, margin: int, poses: Sequence[View], shortlist: int) -> None:
        self.margin, self.poses, self.shortlist = margin, poses, shortlist
        height, width = references.shape[2:]
        crop = references[:, :, margin : height - margin, margin : width - margin]
        self.exact = _normalised(crop)
        self.cell = max(1, min(round(min(height, width) / _COARSE), *crop.shape[2:]))
        self.grid = (crop.shape[2] // self.cell, crop.shape[3] // self.cell)
        self.coarse = _normalised(avg_pool2d(crop, self.cell)).T.contiguous()

    def of(self, block: Tensor, *, exclude: Sequence[int] | None) -> _Found:
        """The nearest reference of each query."""
        candidates = self._candidates(block, exclude)
        size = self.exact.shape[1] * len(self.poses) * (2 * self.margin + 1) ** 2
        few = max(1, (WINDOWS if block.device.type == "cpu" else WINDOWS_ON_GPU) // size)
        parts = [slice(start, start + few) for start in range(0, len(block), few)]
        found = [self._exactly(block[part], candidates[part]) for part in parts]
        return _Found(*(torch.cat(column) for column in zip(*found, strict=True)))

    def _candidates(self, block: Tensor, exclude: Sequence[int] | None) -> Tensor:
        """The references that are most alike on the coarse grid, over all poses and shifts."""
        best = block.new_full((len(block), self.coarse.shape[1]), -math.inf)
        product = torch.empty_like(best)
        steps = range(0, 2 * self.margin + 1, max(1, self.cell // 2))
        for pose in self.poses:
            cells = avg_pool2d(_posed(block, pose), self.cell, stride=1)
            for down, right in itertools.product(steps, steps):
                torch.matmul(_normalised(self._sampled(cells, down, right)), self.coarse, out=product)
                torch.maximum(best, product, out=best)
        if exclude is not None:
            best[range(len(block)), list(exclude)] = -math.inf
        return best.topk(self.shortlist, dim=1).indices

    def _sampled(self, cells: Tensor, down: int, right: int) -> Tensor:
        """Every cell of the grid whose corner lies at this place."""
        height, width = (size * self.cell for size in self.grid)
        return cells[:, :, down : down + height : self.cell, right : right + width : self.cell]

    def _exactly(self, queries: Tensor, rows: Tensor) -> _Found:
        """Equation (2) for the candidates of each query; of equals the first."""
        posed = torch.stack([_posed(queries, pose) for pose in self.poses], dim=1)
        posed = posed - posed.mean((3, 4), keepdim=True)
        height, width = (size - 2 * self.margin for size in posed.shape[3:])
        windows = posed.unfold(3, height, 1).unfold(4, width, 1).permute(0, 1, 3, 4, 2, 5, 6)
        windows = windows.reshape(len(queries), -1, self.exact.shape[1])
        products = torch.bmm(windows, self.exact[rows].transpose(1, 2))
        products /= _lengths(posed, height, width).clamp_min(_PLAIN)
        scores, places = products.max(dim=1)
        scores, order = scores.sort(dim=1, descending=True)
        first = order[:, :1]
        return _Found(scores[:, 0], rows.gather(1, first)[:, 0], _lead(scores), places.gather(1, first)[:, 0])


def _lead(scores: Tensor) -> Tensor:
    """Equation (3) from the scores of each query, the highest first."""
    distance = (1 - scores).clamp_min(0)
    others = distance[:, 1 : 1 + NEXT].mean(1) if scores.shape[1] > 1 else torch.ones_like(distance[:, 0])
    return 1 - distance[:, 0] / (others + SOFT)


def _lengths(posed: Tensor, height: int, width: int) -> Tensor:
    """Length of each window after its channels are freed of their means: (n, poses x places, 1)."""
    flat = posed.flatten(0, 1)
    mean, square = (avg_pool2d(x, (height, width), stride=1) for x in (flat, flat**2))
    variance = (square - mean**2).clamp_min(0).sum(1) * (height * width)
    return variance.sqrt().reshape(len(posed), -1, 1)


def _normalised(images: Tensor) -> Tensor:
    """One row for each image: channels of mean 0, length 1."""
    flat = (images - images.mean((2, 3), keepdim=True)).flatten(1)
    normalised: Tensor = flat / torch.linalg.vector_norm(flat, dim=1, keepdim=True).clamp_min(_PLAIN)
    return normalised


def _joined(found: Sequence[_Found], poses: Sequence[View], margin: int) -> Matches:
    if not found:
        return Matches(np.zeros(0, np.float32), np.zeros(0, np.int64), (), np.zeros(0, np.float32))
    score, row, lead, place = (torch.cat(column).cpu().numpy() for column in zip(*found, strict=True))
    views, side = [], 2 * margin + 1
    for number in place.tolist():
        pose, down, right = number // side**2, number // side % side - margin, number % side - margin
        views.append(poses[pose]._replace(down=down, right=right))
    return Matches(score.clip(-1, 1), row, tuple(views), lead.clip(0, 1))
