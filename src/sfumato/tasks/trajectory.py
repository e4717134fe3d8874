"""The process as pictures: a few frames of the way from noise to a result, and of the way from it into noise.

A state is shown at the contrast of the data, whatever its scale. Only the frames that are shown are kept, so memory
does not grow with the number of steps.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from torch import Tensor

from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.process import Process, Step
from sfumato.randomness import Noise
from sfumato.typing import Data

FRAMES = 9
"""Most frames of a trajectory."""


class TrajectoryFrame(NamedTuple):
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


class Trajectory(NamedTuple):
    """The way of one result, in both directions; every list has a picture (c, *space) for each frame, on the CPU.

    Attributes:
        steps: numbers of the steps.
        forward_noised: the result at the same noise levels, on its way into noise.
        states: the state after each step.
        estimates: the estimate that led there.
    """

    steps: list[int]
    forward_noised: list[Tensor]
    states: list[Tensor]
    estimates: list[Tensor]


def trajectory(process: Process, frames: Sequence[TrajectoryFrame], place: int, *, seed: int) -> Trajectory:
    """The trajectory of the item at a place of the batch; it is noised with the noise of `seed`."""
    ends = forward_noised(process, frames[-1].estimate[place : place + 1], [frame.t for frame in frames], [seed])
    kinds = (
        [end[0] for end in ends],
        *([each[place] for each in kind] for kind in zip(*[f[2:] for f in frames], strict=True)),
    )
    return Trajectory(
        [frame.step for frame in frames], *([picture.cpu().clone() for picture in kind] for kind in kinds)
    )


def shown_steps(steps: int) -> list[int]:
    """The numbers of the steps that are shown, the first and the last among them."""
    return sorted({round(1 + k * (steps - 1) / (FRAMES - 1)) for k in range(FRAMES)})


def recorded(process: Process, steps: Iterable[Step], total: int) -> Iterator[TrajectoryFrame]:
    """The frames of a sampling loop of `total` steps."""
    kept = set(shown_steps(total))
    for number, step in enumerate(steps, start=1):
        if number in kept:
            yield TrajectoryFrame(number, step.t, at_data_contrast(process, step.x, step.t), step.x0)


def forward_noised(process: Process, x0: Data, times: Sequence[float], seeds: Sequence[int]) -> Iterator[Data]:
    """Data at each of the times on its way into noise, with the same noise at each."""
    for t in times:
        yield at_data_contrast(process, process.corrupt(x0, t, Noise(seeds, x0.device)), t) if t > 0 else x0


def at_data_contrast(process: Process, x_t: Data, t: float) -> Data:
    """The state at the contrast of the data; of a Gaussian process x_t / sqrt(alpha^2 + sigma^2)."""
    if t == 0:
        return x_t
    if not isinstance(process, Gaussian):
        return process.network_input(x_t, t)[0]
    alpha, sigma = (float(each) for each in process.coefficients(t))
    return x_t / math.hypot(alpha, sigma)
