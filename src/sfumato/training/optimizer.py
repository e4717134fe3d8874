"""The optimiser and its learning rate.

The learning rate is a pure function of how far the run has come, so there is no scheduler with a state of its own.
The optimiser's state is stored under the names of the parameters, as tensors.
"""

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from sfumato.errors import ModelError

Schedule = Literal["cosine", "constant"]

_FUSED = frozenset({"cpu", "cuda", "mps", "xpu"})
"""Devices for which torch has an update of all parameters in one kernel."""


def make_optimizer(
    network: nn.Module,
    *,
    learning_rate: float,
    betas: tuple[float, float] = (0.9, 0.99),
    weight_decay: float = 0.0,
) -> torch.optim.AdamW:
    """AdamW; parameters of one dimension (biases, gains of norms) are not decayed.

    Args:
        network: its trainable parameters are optimised.
        learning_rate: the peak; `train` sets the rate of each step by `learning_rate_at`.
        betas: decay of the two moments; 0.99 rather than 0.999 as in EDM2, short runs forget their start sooner.
        weight_decay: decoupled decay per step, as a fraction of the learning rate.
    """
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trained if parameter.ndim > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trained if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    fused = all(parameter.device.type in _FUSED for parameter in trained)
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=learning_rate, betas=betas, fused=fused)


def learning_rate_at(fraction: float, step: int, *, peak: float, warmup_steps: int, schedule: Schedule) -> float:
    """The learning rate of a step: a linear warm-up times the schedule.

    Args:
        fraction: how much of the run is done, 0 to 1.
        step: index of the step, from 0.
        peak: the highest rate.
        warmup_steps: number of steps until the rate is not held down any more.
        schedule: `cosine` falls from the peak at fraction 0 to 0 at fraction 1; `constant` stays.
    """
    warmup = min(1.0, (step + 1) / max(warmup_steps, 1))
    decay = (1 + math.cos(math.pi * fraction)) / 2 if schedule == "cosine" else 1.0
    return peak * warmup * decay


def optimizer_tensors(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state of an optimiser as tensors named `parameter/moment`, e.g. `head.weight/exp_avg`."""
    return {
        f"{name}/{key}": value
        for name, parameter in network.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def restore_optimizer(network: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimiser back the state that `optimizer_tensors` took.

    The moments take the memory layout of their parameter: the fused kernels walk through both side by side.

    Raises:
        ModelError: the state belongs to another network.
    """
    named = dict(network.named_parameters())
    order = {id(parameter): index for index, parameter in enumerate(_parameters(optimizer))}
    state: dict[int, dict[str, Tensor]] = {}
    for label, value in tensors.items():
        name, _, key = label.rpartition("/")
        if name not in named or id(named[name]) not in order:
            raise ModelError(f"the optimiser's state has '{name}', which this network does not train")
        state.setdefault(order[id(named[name])], {})[key] = _laid_out(value, named[name])
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _laid_out(value: Tensor, parameter: nn.Parameter) -> Tensor:
    if value.shape != parameter.shape or not parameter.ndim:
        return value.clone()
    return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)
