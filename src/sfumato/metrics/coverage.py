"""Do generated images lie where real ones lie, and everywhere where they lie?

B(x) is the ball around an image x of one set whose radius is the distance to its k-th nearest neighbour in that set.

    precision   share of generated y that lie in some B(real)             are they like real ones?              (1)
    recall      share of real x that lie in some B(generated)             is all that is real also made?        (2)
    density     mean over generated y of the number of B(real) around it, divided by k                          (3)
    coverage    share of real x whose B(x) holds a generated y            is all that is real also made?        (4)

(1) and (2) are of Kynkäänniemi et al. (NeurIPS 2019), (3) and (4) of Naeem et al. (ICML 2020), who show that one odd
real image inflates (1) and one odd generated image (2), and that (3) and (4) mend that. All depend on the number of
images: compare only numbers of equally large sets. For two sets of one distribution (1) to (4) are below 1, except (3),
which is 1 in the mean.

An image is not its own neighbour: radii are those of the package `prdc` of Naeem et al. with the same k, which asks for
k + 1 neighbours and counts the image itself as the first.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped

from sfumato.metrics.fidelity import Features

NEIGHBOURS = 5
"""k, as in both papers' experiments with small sets."""

_Others = Float[np.ndarray, "m d"]


class Coverage(NamedTuple):
    """One number for each image, whose means are the four metrics.

    Attributes:
        precision: for each generated image, whether it lies among real ones.
        recall: for each real image, whether it lies among generated ones.
        density: for each generated image, the real balls around it divided by k.
        coverage: for each real image, whether its ball holds a generated one.
    """

    precision: Float[np.ndarray, " m"]
    recall: Float[np.ndarray, " n"]
    density: Float[np.ndarray, " m"]
    coverage: Float[np.ndarray, " n"]


def coverage(real: Features, generated: _Others, *, neighbours: int = NEIGHBOURS) -> Coverage:
    """Equations (1) to (4), image by image.

    Raises:
        ValueError: a side has not more images than `neighbours`.
    """
    if min(len(real), len(generated)) <= neighbours:
        raise ValueError(f"{neighbours} neighbours need more images than {len(real)} real and {len(generated)} others")
    between = _distances(real, generated)
    of_real, of_generated = _radii(real, neighbours), _radii(generated, neighbours)
    in_real: np.ndarray = between < of_real[:, None]
    in_generated: np.ndarray = between < of_generated[None, :]
    return Coverage(
        precision=np.asarray(in_real.any(axis=0), np.float64),
        recall=np.asarray(in_generated.any(axis=1), np.float64),
        density=in_real.sum(0) / neighbours,
        coverage=(between.min(1) < of_real).astype(np.float64),
    )


def _distances(x: Features, y: _Others) -> Float[np.ndarray, "n m"]:
    """Euclidean distances, in double precision."""
    wide, other = x.astype(np.float64), y.astype(np.float64)
    squares = (wide**2).sum(1)[:, None] + (other**2).sum(1)[None, :] - 2 * wide @ other.T
    distances: np.ndarray = np.sqrt(squares.clip(min=0))
    return distances


def _radii(features: Shaped[np.ndarray, "n d"], neighbours: int) -> Float[np.ndarray, " n"]:
    distances = _distances(features, features)
    np.fill_diagonal(distances, np.inf)
    radii: np.ndarray = np.partition(distances, neighbours - 1, axis=1)[:, neighbours - 1]
    return radii
