"""Every sampler by its name in recipes, and with which processes it makes sense.

The laws of the tests, the recipe's words and the tables of the documentation are made from this list: a new sampler is
one line here.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from inspect import Parameter, signature

from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.family.learned import LearnedVariance
from sfumato.diffusion.process import Process, Step
from sfumato.diffusion.sampler import ablation, ancestral, dpm_solver, multistep, singlestep

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

    @property
    def options(self) -> frozenset[str]:
        """What else its walk can be told."""
        parameters = signature(self.walk).parameters.values()
        return frozenset(each.name for each in parameters if each.kind is Parameter.KEYWORD_ONLY) - {"times"}

    def calls(self, steps: int) -> int:
        """Network calls of so many steps."""
        return self.calls_per_step * (steps - 1) + 1

    def walked(self, process: Process) -> Process:
        """What it walks of a process: where the variance was learned, `ancestral` needs it and others the rest."""
        return process.process if isinstance(process, LearnedVariance) and not self.any_process else process

    def suits(self, process: Process) -> bool:
        """Whether it makes sense for a process."""
        return self.any_process or isinstance(self.walked(process), Gaussian)


SAMPLERS: Mapping[str, Entry] = {
    "ancestral": Entry(
        walk=ancestral.ancestral,
        method="draws x_s from q(x_s given x_t and x0_hat)",
        source="Ho 2020, alg. 2",
        any_process=True,
        stochastic=True,
    ),
    "ddim": Entry(
        walk=ancestral.ddim, method="Euler; with eta, part of the posterior's noise", source="Song 2021b", order=1
    ),
    "euler": Entry(walk=ablation.euler, method="Euler, with optional churn", source="Karras 2022", order=1),
    "euler_ancestral": Entry(
        walk=partial(ancestral.ddim, eta=1.0),
        method="DDIM with eta 1, under its other name",
        source="Song 2021b",
        stochastic=True,
    ),
    "heun": Entry(
        walk=ablation.heun,
        method="Heun, midpoint or Ralston along any path, with optional churn",
        source="Karras 2022, alg. 1 and 2",
        order=2,
        calls_per_step=2,
    ),
    "dpm_2": Entry(
        walk=singlestep.dpm_2,
        method="midpoint rule in ln s, with optional churn",
        source="Karras 2022",
        order=2,
        calls_per_step=2,
    ),
    "dpm_2_ancestral": Entry(
        walk=singlestep.dpm_2_ancestral,
        method="dpm_2 in ancestral steps",
        source="Karras 2022",
        stochastic=True,
        calls_per_step=2,
    ),
    "dpm_fast": Entry(
        walk=dpm_solver.dpm_fast, method="DPM-Solver of third order, lower at the end", source="Lu 2022a", order=2
    ),
    "dpmpp_2s_ancestral": Entry(
        walk=singlestep.dpmpp_2s_ancestral,
        method="DPM-Solver++, single step, in ancestral steps",
        source="Lu 2022, alg. 1",
        stochastic=True,
        calls_per_step=2,
    ),
    "dpmpp_sde": Entry(
        walk=singlestep.dpmpp_sde,
        method="SDE-DPM-Solver++, single step",
        source="Lu 2022",
        stochastic=True,
        calls_per_step=2,
    ),
    "dpmpp_2m": Entry(walk=multistep.dpmpp_2m, method="DPM-Solver++, two estimates", source="Lu 2022, alg. 2", order=2),
    "dpmpp_3m": Entry(
        walk=multistep.dpmpp_3m, method="DPM-Solver++, three estimates, as published", source="Lu 2022", order=2
    ),
    "dpmpp_2m_sde": Entry(
        walk=partial(multistep.dpmpp_2m, eta=1.0), method="dpmpp_2m with noise", source="Lu 2022", stochastic=True
    ),
    "dpmpp_3m_sde": Entry(
        walk=partial(multistep.dpmpp_3m, eta=1.0),
        method="dpmpp_3m with noise",
        source="Crowson, k-diffusion",
        stochastic=True,
    ),
    "unipc": Entry(
        walk=multistep.unipc,
        method="exact weights, each step corrected by the estimate at its end",
        source="Zhao 2023",
        order=3,
    ),
    "dpm_multistep": Entry(
        walk=multistep.dpm_multistep, method="DPM-Solver in terms of noise", source="Lu 2022a", order=2
    ),
    "deis": Entry(walk=multistep.deis, method="the same with exact weights", source="Zhang & Chen 2023", order=3),
    "lms": Entry(
        walk=multistep.lms, method="Adams-Bashforth in s, four estimates", source="Zhang & Chen 2023", order=4
    ),
}
"""Name in recipes -> sampler."""
