"""The laws of training times: how often each noise level is practised.

A law gives time directly or the noise-to-signal ratio s, by its quantile function, so that stratified uniform numbers
give stratified times (Kingma et al. 2021).
"""

import math
from dataclasses import dataclass
from typing import assert_never

import torch

from sfumato.diffusion.level.schedule import NoiseLevels
from sfumato.typing import PerItem


@dataclass(frozen=True)
class Uniform:
    """Training times uniform on [low, 1]."""

    low: float = 1e-3


@dataclass(frozen=True)
class LogNormal:
    """Training noise: ln s ~ N(mean, std^2) (Karras et al. 2022, P_mean and P_std)."""

    mean: float = -1.2
    std: float = 1.2


@dataclass(frozen=True)
class LogUniform:
    """Training noise: ln s uniform between ln `low` and ln `high` (Song et al. 2021, VE)."""

    low: float = 0.02
    high: float = 100.0


@dataclass(frozen=True)
class ShiftedCosine:
    """Training noise: the log-SNR law of the cosine schedule, moved so that its median is `log_snr`."""

    log_snr: float


TrainingNoise = Uniform | LogNormal | LogUniform | ShiftedCosine


def training_times(law: TrainingNoise, levels: NoiseLevels, u: PerItem) -> PerItem:
    """Times in (0, 1]: the quantile function of a law at u in (0, 1), for a process with these noise levels."""
    match law:
        case Uniform(low):
            return low + (1 - low) * u
        case LogNormal(mean, std):
            ratio = torch.exp(mean + std * torch.special.ndtri(u.double()))
        case LogUniform(low, high):
            ratio = low * (high / low) ** u.double()
        case ShiftedCosine(log_snr):
            ratio = torch.tan(math.pi / 2 * u.double()) * math.exp(-log_snr / 2)
        case _ as never:
            assert_never(never)
    return levels.time(ratio).clamp(1e-4, 1.0).float()
