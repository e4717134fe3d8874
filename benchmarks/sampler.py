"""What a sampler costs beside the network: microseconds per network call, with a network that is free.

Our samplers and diffusers' schedulers take turns, round after round, so a change of the machine's load meets all of
them; the table shows medians. One thread, float32, no gradients, twenty steps. Creation of times and coefficients is
counted, as a user pays for it; both sides start from the same prior.

    python benchmarks/sampler.py --out sampler.json
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, HeunDiscreteScheduler
from torch import Tensor

from sfumato.diffusion.denoiser import Denoiser
from sfumato.diffusion.family.beta_schedule import geometric_grid
from sfumato.diffusion.family.categorical import Categorical
from sfumato.diffusion.family.dirichlet import for_images
from sfumato.diffusion.family.gaussian import Gaussian, PredictionType
from sfumato.diffusion.level.schedule import EDM, Schedule, linear, log_snr_grid, uniform_grid
from sfumato.diffusion.process import Condition
from sfumato.diffusion.sampler.ablation import heun
from sfumato.diffusion.sampler.ancestral import ancestral, ddim
from sfumato.diffusion.sampler.catalogue import SAMPLERS, SamplerEntry
from sfumato.diffusion.sampler.multistep import dpmpp_2m
from sfumato.diffusion.sampler.singlestep import Churn
from sfumato.randomness import Noise

SHAPES = [(1, 1, 32, 32), (16, 3, 32, 32)]
STEPS = 20
Run = Callable[[Tensor], Iterator[object]]
"""Shape of the images -> one item per step."""


def free(x: Tensor, level: Tensor, condition: Condition) -> Tensor:  # noqa: ARG001
    """A network that costs nothing."""
    return x


def ours(
    sampler: Callable[..., Iterator[object]],
    schedule: Schedule,
    *,
    prediction: PredictionType = "eps",
    sigma_data: float | None = None,
    uniform: bool = True,
) -> Run:
    """One of our samplers, set up as `segment` and `generate` do."""
    process = Gaussian(schedule=schedule, prediction=prediction, sigma_data=sigma_data)
    times = uniform_grid(STEPS) if uniform else log_snr_grid(schedule, STEPS)

    def run(like: Tensor) -> Iterator[object]:
        noise = Noise(range(len(like)))
        x = process.prior(like, noise, t=times[0])
        return sampler(process, Denoiser(process, free), x, Condition(), noise, times=times)

    return run


def shares(like: Tensor) -> Iterator[object]:
    """Smoothed Dirichlet diffusion of images."""
    process = for_images((0.0,))
    noise = Noise(range(len(like)))
    times = geometric_grid(process.schedule, STEPS)
    x = process.prior(like, noise, t=times[0])
    return ancestral(process, Denoiser(process, free), x, Condition(), noise, times=times)


def classes(like: Tensor) -> Iterator[object]:
    """The categorical process of masks with as many classes as there are channels, two at least."""
    process = Categorical(schedule=linear())
    masks = like.new_empty(len(like), max(2, like.shape[1]), *like.shape[2:])
    noise = Noise(range(len(masks)))
    times = uniform_grid(STEPS)
    x = process.prior(masks, noise)
    return ancestral(process, Denoiser(process, free), x, Condition(), noise, times=times)


def drawing(like: Tensor) -> Iterator[object]:
    """Nothing but a normal number for each entry, which every step of a stochastic sampler needs."""
    noise = Noise(range(len(like)))
    for _ in range(STEPS):
        yield noise.normal(like)


def theirs(scheduler: Any) -> Run:
    """A scheduler of diffusers in its documented loop."""

    def run(like: Tensor) -> Iterator[object]:
        scheduler.set_timesteps(STEPS)
        x = Noise(range(len(like))).normal(like) * float(scheduler.init_noise_sigma)
        for t in scheduler.timesteps:
            output = free(scheduler.scale_model_input(x, t), t, Condition())
            x = scheduler.step(output, t, x).prev_sample
            yield x

    return run


def suitable() -> dict[str, SamplerEntry]:
    """The catalogue's samplers of Gaussian processes."""
    process = Gaussian(schedule=linear(), prediction="eps")
    return {name: entry for name, entry in SAMPLERS.items() if entry.suits(process)}


def contestants() -> dict[str, tuple[Run, int]]:
    """Name -> (run, network calls)."""
    edm = EDM()
    table = linear()
    ours_all = {name: (ours(entry.sampling_loop, table), entry.calls(STEPS)) for name, entry in suitable().items()}
    return {
        **ours_all,
        "ddim, v": (ours(ddim, table, prediction="v"), STEPS),
        "ddim, logits": (ours(ddim, table, prediction="logits"), STEPS),
        "ddim, eta 1": (ours(partial(ddim, eta=1.0), table), STEPS),
        "dpmpp_2m, EDM": (ours(dpmpp_2m, edm, prediction="F", sigma_data=0.5, uniform=False), STEPS),
        "heun, EDM": (ours(heun, edm, prediction="F", sigma_data=0.5, uniform=False), 2 * STEPS - 1),
        "heun, churn": (ours(partial(heun, churn=Churn(amount=10.0)), table), 2 * STEPS - 1),
        "SDD, images": (shares, STEPS),
        "categorical": (classes, STEPS),
        "drawing noise alone": (drawing, STEPS),
        "diffusers DDIM": (theirs(DDIMScheduler(clip_sample=False)), STEPS),
        "diffusers DPM++ 2M": (theirs(DPMSolverMultistepScheduler()), STEPS),
        "diffusers Heun": (theirs(HeunDiscreteScheduler()), 2 * STEPS - 1),
    }


def microseconds_per_call(run: Run, calls: int, like: Tensor) -> float:
    """Wall time of one whole sampling run, per network call."""
    start = time.perf_counter()
    for _ in run(like):
        pass
    return (time.perf_counter() - start) / calls * 1e6


@torch.no_grad()
def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Median microseconds per call: name -> shape -> number. The first round warms up and is not counted."""
    entrants = contestants()
    table: dict[str, dict[str, float]] = {name: {} for name in entrants}
    for shape in SHAPES:
        like = torch.zeros(shape)
        taken: dict[str, list[float]] = {name: [] for name in entrants}
        for _ in range(rounds + 1):
            for name, (run, calls) in entrants.items():
                taken[name].append(microseconds_per_call(run, calls, like))
        for name, values in taken.items():
            table[name]["x".join(map(str, shape))] = statistics.median(values[1:])
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--out", type=Path, help="write the table as JSON")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    table = measure(arguments.rounds)
    shapes = list(next(iter(table.values())))
    print(f"{'microseconds per network call':32}" + "".join(f"{shape:>14}" for shape in shapes))
    for name, row in table.items():
        print(f"{name:32}" + "".join(f"{row[shape]:14.0f}" for shape in shapes))
    if arguments.out:
        report = {"steps": STEPS, "rounds": arguments.rounds, "torch": torch.__version__, "microseconds": table}
        arguments.out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
