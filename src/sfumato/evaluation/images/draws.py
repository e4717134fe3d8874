"""Which images are compared with which: equally many on every side, drawn several times.

Each draw takes, without replacement, n real images A, n other real images B and n generated images G. A distance of G
to A is read beside those of B to A, its *floor*: what two sets of n real images are apart by chance alone. The z-score

    z = (mean over the draws of d(G, A) - mean of d(B, A)) / standard deviation of d(B, A)                        (1)

counts how far above its floor a distance lies. n is at most half of the real images, all generated ones, and
`MOST_EACH`: the draws together take all.
Where the real images were held out, n training images T are drawn too: no model can be expected to come nearer than the
images that it learned from.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Integer

from sfumato.metrics.table import MATCHED, POOLED

DRAWS = 20
"""Draws behind a floor and its standard deviation."""

FEWEST_EACH = 8
"""Images on each side below which a group is not measured: neighbourhoods of 5 need more than 5."""

MOST_EACH = 1000
"""Images on each side of a draw, at most: enough for all but the faintest differences, and the cost is its square."""

CLEARLY = 0.05
"""Shares of a class that differ by more are different proportions."""

_Rows = Integer[np.ndarray, " _"]

_Labels = Sequence[str]
"""The class of each image; an empty string without one."""


class Sets(NamedTuple):
    """The classes of real, generated and training images; of training images there may be none."""

    real: _Labels
    generated: _Labels
    training: _Labels = ()


class _Draw(NamedTuple):
    """Rows of one comparison: A, B and G of equation (1), and T."""

    reference: _Rows
    other: _Rows
    generated: _Rows
    training: _Rows


class Group(NamedTuple):
    """A part of both sets that is compared.

    Attributes:
        name: a class, `POOLED` or `MATCHED`.
        draws: the comparisons.
    """

    name: str
    draws: tuple[_Draw, ...]

    @property
    def size(self) -> int:
        """n, the images on each side of a draw."""
        return len(self.draws[0].reference)


class Groups(NamedTuple):
    """All comparisons, and in words what cannot be compared."""

    groups: tuple[Group, ...]
    notes: tuple[str, ...]


class _Stratum(NamedTuple):
    """Images of which each draw takes `size` on each side; of training images as many as there are."""

    real: _Rows
    generated: _Rows
    training: _Rows
    size: int


def plan_groups(labels: Sets, *, seed: int) -> Groups:
    """The comparisons of two sets by the classes of their images: pooled, with matched classes, class by class."""
    rng = np.random.default_rng(seed)
    real, generated, _ = labels
    shared = [name for name in sorted(set(real) & set(generated)) if name]
    strata = {POOLED: [_stratum(*(np.arange(len(side)) for side in labels))]}
    if shared and proportions_differ(real, generated):
        strata[MATCHED] = _matched([_of_class(name, labels) for name in shared])
    if len(set(real) | set(generated)) > 1:
        strata |= {name: [_of_class(name, labels)] for name in shared}
    groups, too_few = list[Group](), list[str]()
    for name, parts in strata.items():
        if sum(part.size for part in parts) >= FEWEST_EACH:
            groups.append(Group(name, tuple(_draws(parts, rng))))
        else:
            too_few.append(_too_few(name, parts))
    return Groups(tuple(groups), (*_strangers(real, generated), *too_few))


def proportions_differ(real: _Labels, generated: _Labels) -> bool:
    """Whether a class has clearly another share of the generated images than of the real ones."""
    names = set(real) | set(generated)
    return any(abs(_share(name, real) - _share(name, generated)) > CLEARLY for name in names)


def _share(name: str, labels: _Labels) -> float:
    return float(np.mean(np.asarray(labels) == name))


def _of_class(name: str, labels: Sets) -> _Stratum:
    return _stratum(*(np.flatnonzero(np.asarray(side, dtype=str) == name) for side in labels))


def _stratum(real: _Rows, generated: _Rows, training: _Rows) -> _Stratum:
    return _Stratum(real, generated, training, size=min(len(real) // 2, len(generated), MOST_EACH))


def _matched(strata: Sequence[_Stratum]) -> list[_Stratum]:
    """The strata with counts in the proportions of the generated images."""
    whole = sum(len(part.generated) for part in strata)
    shrink = min(MOST_EACH / whole, *(part.size / len(part.generated) for part in strata))
    return [part._replace(size=int(shrink * len(part.generated) + 1e-9)) for part in strata]


def _draws(strata: Sequence[_Stratum], rng: np.random.Generator) -> Iterator[_Draw]:
    for _ in range(DRAWS):
        real = [rng.permutation(part.real) for part in strata]
        generated = [rng.permutation(part.generated)[: part.size] for part in strata]
        training = [rng.permutation(part.training)[: part.size] for part in strata]
        yield _Draw(
            reference=np.concatenate([rows[: part.size] for rows, part in zip(real, strata, strict=True)]),
            other=np.concatenate([rows[part.size : 2 * part.size] for rows, part in zip(real, strata, strict=True)]),
            generated=np.concatenate(generated),
            training=np.concatenate(training),
        )


def _strangers(real: _Labels, generated: _Labels) -> Iterator[str]:
    """Classes that only one side has."""
    ours, theirs = set(generated) - {""}, set(real) - {""}
    if theirs and not ours:
        yield "the samples have no classes: only the whole sets are compared"
        return
    missing, unknown = sorted(theirs - ours), sorted(ours - theirs)
    if missing:
        yield f"classes of the real images that the samples lack: {', '.join(missing)}"
    if unknown:
        yield f"classes of the samples that the real images lack: {', '.join(unknown)}"


def _too_few(name: str, strata: Sequence[_Stratum]) -> str:
    generated = sum(len(part.generated) for part in strata)
    real = sum(len(part.real) for part in strata)
    return f"{name}: {generated} generated and {real} real images are too few to be compared"
