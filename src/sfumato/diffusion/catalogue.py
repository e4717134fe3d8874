"""Every sampler by its name in recipes, and with which processes it makes sense.

The laws of the tests, the recipe's words and the tables of the documentation are made from this list: a new sampler is
one line here.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from sfumato.diffusion import sampler
from sfumato.diffusion.gaussian import Gaussian
from sfumato.diffusion.process import Process, Step

Walk = Callable[..., Iterator[Step]]
"""(process, denoise, x, condition, noise, *, times) -> steps."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A sampler.

    Attributes:
        walk: the generator.
        method: what it does, for the documentation.
        source: where it comes from.
        any_process: whether it works with every process, not only the Gaussian family.
        stochastic: whether it draws noise after the start.
        order: order of convergence of its error on the probability-flow ODE; None if it solves another equation.
        calls_per_step: network calls of each step, of the last one, which goes to 0, always one.
    """

    walk: Walk
    method: str
    source: str
    any_process: bool = False
    stochastic: bool = False
    order: int | None = None
    calls_per_step: int = 1

    def calls(self, steps: int) -> int:
        """Network calls of so many steps."""
        return self.calls_per_step * (steps - 1) + 1

    def suits(self, process: Process) -> bool:
        """Whether it makes sense for a process."""
        return self.any_process or isinstance(process, Gaussian)


SAMPLERS: Mapping[str, Entry] = {
    "ancestral": Entry(
        walk=sampler.ancestral,
        method="draws x_s from q(x_s given x_t and x0_hat)",
        source="Ho 2020, alg. 2",
        any_process=True,
        stochastic=True,
    ),
    "ddim": Entry(
        walk=sampler.ddim, method="Euler; with eta, part of the posterior's noise", source="Song 2021b", order=1
    ),
    "euler": Entry(walk=sampler.euler, method="Euler, with optional churn", source="Karras 2022", order=1),
    "heun": Entry(
        walk=sampler.heun, method="Heun, with optional churn", source="Karras 2022, alg. 2", order=2, calls_per_step=2
    ),
    "dpmpp_2m": Entry(walk=sampler.dpmpp_2m, method="DPM-Solver++, two estimates", source="Lu 2022, alg. 2", order=2),
    "dpmpp_3m": Entry(
        walk=sampler.dpmpp_3m, method="DPM-Solver++, three estimates, as published", source="Lu 2022", order=2
    ),
}
"""Name in recipes -> sampler."""
