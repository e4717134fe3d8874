"""The process as pictures: a few frames of the way from noise to a result, and of the way from it into noise.

A state is shown at the contrast of the data, whatever its scale. Only the frames that are shown are kept, so memory
does not grow with the number of steps.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.process import Noise, Process, Step
from sfumato.typing import Data

FRAMES = 9
"""Most frames of a film."""


class Frame(NamedTuple):
    """What is shown of a step.

    Attributes:
        step: its number, from 1.
        t: the time after it.
        state: the state then, at the contrast of the data.
        estimate: the estimate that led there.
    """

    step: int
    t: float
    state: Data
    estimate: Data


def chosen(steps: int) -> list[int]:
    """The numbers of the steps that are shown, the first and the last among them."""
    return sorted({round(1 + k * (steps - 1) / (FRAMES - 1)) for k in range(FRAMES)})


def watched(process: Process, steps: Iterable[Step], total: int) -> Iterator[Frame]:
    """The frames of a walk of `total` steps."""
    kept = set(chosen(total))
    for number, step in enumerate(steps, start=1):
        if number in kept:
            yield Frame(number, step.t, visible(process, step.x, step.t), step.x0)


def noised(process: Process, x0: Data, times: Sequence[float], seeds: Sequence[int]) -> Iterator[Data]:
    """Data at each of the times on its way into noise, with the same noise at each."""
    for t in times:
        yield visible(process, process.corrupt(x0, t, Noise(seeds, x0.device)), t) if t > 0 else x0


def visible(process: Process, x_t: Data, t: float) -> Data:
    """The state at the contrast of the data; of a Gaussian process x_t / sqrt(alpha^2 + sigma^2)."""
    if t == 0:
        return x_t
    if not isinstance(process, Gaussian):
        return process.network_input(x_t, t)[0]
    alpha, sigma = (float(each) for each in process.coefficients(t))
    return x_t / math.hypot(alpha, sigma)
