"""Every sampler by its name in recipes, and with which processes it makes sense.

The laws of the tests, the recipe's words and the tables of the documentation are made from this list: a new sampler is
one entry here. It is plain data, since a recipe is read without torch; the generators are imported when they walk.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib import import_module
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sfumato.diffusion.process import Process, Step

SamplingLoop = Callable[..., Iterator["Step"]]
"""(process, denoise, x, condition, noise, *, times) -> steps."""


@dataclass(frozen=True, kw_only=True)
class SamplerEntry:
    """A sampler.

    Attributes:
        where: its generator: `file.function`, beside this file.
        keywords: with which the generator is this sampler.
        method: what it does, for the documentation.
        source: where it comes from.
        any_process: whether it works with every process, not only the Gaussian family.
        stochastic: whether it draws noise after the start.
        order: order of convergence of its error on the probability-flow ODE; None if it solves another equation.
        calls_per_step: network calls of each step, of the last one, which goes to 0, always one.
        jumps: whether the network is told how far each step goes along the straight path of a flow, and was taught so.
        calm_from: steps from which on what it draws spreads no farther than the data; below it overshoots.
    """

    where: str
    keywords: Mapping[str, Any] = field(default_factory=dict)
    method: str
    source: str
    any_process: bool = False
    stochastic: bool = False
    order: int | None = None
    calls_per_step: int = 1
    jumps: bool = False
    calm_from: int = 1

    @cached_property
    def sampling_loop(self) -> SamplingLoop:
        """The generator."""
        file, _, function = self.where.partition(".")
        sampling_loop: SamplingLoop = getattr(import_module(f"{__package__}.{file}"), function)
        return partial(sampling_loop, **self.keywords) if self.keywords else sampling_loop

    @property
    def options(self) -> frozenset[str]:
        """What else its sampling loop can be told."""
        parameters = signature(self.sampling_loop).parameters.values()
        return frozenset(each.name for each in parameters if each.kind is Parameter.KEYWORD_ONLY) - {"times"}

    def calls(self, steps: int) -> int:
        """Network calls of so many steps."""
        return self.calls_per_step * (steps - 1) + 1

    def sampled_process(self, process: "Process") -> "Process":
        """What it samples of a process: where the variance was learned, `ancestral` needs it and others the rest."""
        from sfumato.diffusion.family.learned import LearnedVariance

        return process.process if isinstance(process, LearnedVariance) and not self.any_process else process

    def suits(self, process: "Process") -> bool:
        """Whether it makes sense for a process."""
        from sfumato.diffusion.family.gaussian import Gaussian

        sampled = self.sampled_process(process)
        if self.jumps:
            return isinstance(sampled, Gaussian) and sampled.schedule.scaling == "straight"
        return self.any_process or isinstance(sampled, Gaussian)


SAMPLERS: Mapping[str, SamplerEntry] = {
    "ancestral": SamplerEntry(
        where="ancestral.ancestral",
        method="draws x_s from q(x_s given x_t and x0_hat)",
        source="Ho 2020, alg. 2",
        any_process=True,
        stochastic=True,
    ),
    "ddim": SamplerEntry(
        where="ancestral.ddim", method="Euler; with eta, part of the posterior's noise", source="Song 2021b", order=1
    ),
    "euler": SamplerEntry(where="ablation.euler", method="Euler, with optional churn", source="Karras 2022", order=1),
    "euler_ancestral": SamplerEntry(
        where="ancestral.ddim",
        keywords={"eta": 1.0},
        method="DDIM with eta 1, under its other name",
        source="Song 2021b",
        stochastic=True,
    ),
    "jump": SamplerEntry(
        where="ancestral.jump",
        method="as far as it is told, by a network that was taught to: one, two or four calls",
        source="Geng 2025",
        order=1,
        jumps=True,
    ),
    "heun": SamplerEntry(
        calm_from=18,
        where="ablation.heun",
        method="Heun, midpoint or Ralston along any path, with optional churn",
        source="Karras 2022, alg. 1 and 2",
        order=2,
        calls_per_step=2,
    ),
    "dpm_2": SamplerEntry(
        calm_from=18,
        where="singlestep.dpm_2",
        method="midpoint rule in ln s, with optional churn",
        source="Karras 2022",
        order=2,
        calls_per_step=2,
    ),
    "dpm_2_ancestral": SamplerEntry(
        calm_from=18,
        where="singlestep.dpm_2_ancestral",
        method="dpm_2 in ancestral steps",
        source="Karras 2022",
        stochastic=True,
        calls_per_step=2,
    ),
    "dpm_fast": SamplerEntry(
        calm_from=18,
        where="dpm_solver.dpm_fast",
        method="DPM-Solver of third order, lower at the end",
        source="Lu 2022a",
        order=2,
    ),
    "dpmpp_2s_ancestral": SamplerEntry(
        where="singlestep.dpmpp_2s_ancestral",
        method="DPM-Solver++, single step, in ancestral steps",
        source="Lu 2022, alg. 1",
        stochastic=True,
        calls_per_step=2,
    ),
    "dpmpp_sde": SamplerEntry(
        where="singlestep.dpmpp_sde",
        method="SDE-DPM-Solver++, single step",
        source="Lu 2022",
        stochastic=True,
        calls_per_step=2,
    ),
    "dpmpp_2m": SamplerEntry(
        where="multistep.dpmpp_2m", method="DPM-Solver++, two estimates", source="Lu 2022, alg. 2", order=2
    ),
    "dpmpp_3m": SamplerEntry(
        where="multistep.dpmpp_3m", method="DPM-Solver++, three estimates, as published", source="Lu 2022", order=2
    ),
    "dpmpp_2m_sde": SamplerEntry(
        where="multistep.dpmpp_2m",
        keywords={"eta": 1.0},
        method="dpmpp_2m with noise",
        source="Lu 2022",
        stochastic=True,
    ),
    "dpmpp_3m_sde": SamplerEntry(
        calm_from=18,
        where="multistep.dpmpp_3m",
        keywords={"eta": 1.0},
        method="dpmpp_3m with noise",
        source="Crowson, k-diffusion",
        stochastic=True,
    ),
    "unipc": SamplerEntry(
        where="multistep.unipc",
        method="exact weights, each step corrected by the estimate at its end",
        source="Zhao 2023",
        order=3,
    ),
    "dpm_multistep": SamplerEntry(
        where="multistep.dpm_multistep", method="DPM-Solver in terms of noise", source="Lu 2022a", order=2
    ),
    "deis": SamplerEntry(
        where="multistep.deis", method="the same with exact weights", source="Zhang & Chen 2023", order=3
    ),
    "lms": SamplerEntry(
        where="multistep.lms", method="Adams-Bashforth in s, four estimates", source="Zhang & Chen 2023", order=4
    ),
}
"""Name in recipes -> sampler."""
