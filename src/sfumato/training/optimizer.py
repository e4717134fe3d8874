"""The optimiser, and which parameters follow which learning rate.

Every parameter has a factor on the learning rate (`sfumato.training.rate`). A factor of 0 freezes: the parameter asks
for no gradient, so it is in no norm and no message between processes, has no moments and does not decay. The
optimiser's state is stored under the names of the parameters, as tensors.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Literal

import torch
from torch import Tensor, nn

from sfumato.errors import ModelError, UsageError, listed
from sfumato.training.shard import placed

_Kind = Literal["adamw", "adam"]

_FACTOR = "factor"
"""Key of an optimiser's group under which it keeps its factor."""

MOMENTS = frozenset({"step", "exp_avg", "exp_avg_sq"})
"""What an optimiser keeps of each parameter."""

_FUSED = frozenset({"cpu", "cuda", "mps", "xpu"})
"""Devices for which torch has an update of all parameters in one kernel."""


def make_optimizer(
    network: nn.Module,
    *,
    learning_rate: float,
    kind: _Kind = "adamw",
    betas: tuple[float, float] = (0.9, 0.99),
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
    factors: Mapping[str, float] | None = None,
) -> torch.optim.Optimizer:
    """Adam or AdamW; parameters of one dimension (biases, gains of norms) are not decayed.

    Args:
        network: its trainable parameters are optimised; those with factor 0 are frozen, in place.
        learning_rate: the peak; `train` sets the rate of each step by `set_rate`.
        kind: `adamw` takes the decay off the weights (Loshchilov & Hutter 2019), `adam` adds it to the gradient
            (Kingma & Ba 2015).
        betas: decay of the two moments; 0.99 rather than 0.999 as in EDM2, short runs forget their start sooner.
        epsilon: added to the root of the second moment.
        weight_decay: decay per step; of `adamw` as a fraction of the learning rate.
        factors: pattern over parameter names (`encoder.*`) -> factor on the learning rate; see `factors_of`.

    Raises:
        UsageError: a pattern decides about no parameter, or nothing is left to train.
    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for parameter, factor in factors_of(network, factors or {}):
        if factor == 0:
            parameter.requires_grad_(False)
        if parameter.requires_grad:
            groups.setdefault((factor, parameter.ndim > 1), []).append(parameter)
    if not groups:
        raise UsageError("train.learning_rates freezes every parameter", remedy="give some a factor above 0")
    fused = all(parameter.device.type in _FUSED for group in groups.values() for parameter in group)
    adam = torch.optim.AdamW if kind == "adamw" else torch.optim.Adam
    named = [
        {"params": parameters, _FACTOR: factor, "weight_decay": weight_decay if decays else 0.0}
        for (factor, decays), parameters in groups.items()
    ]
    return adam(named, lr=learning_rate, betas=betas, eps=epsilon, fused=fused)


def factors_of(network: nn.Module, patterns: Mapping[str, float]) -> list[tuple[nn.Parameter, float]]:
    """Every parameter with its factor on the learning rate: that of the first pattern that its name matches, or 1.

    Raises:
        UsageError: a pattern is the first match of no name: a slip, or it stands behind a wider one.
    """
    deciding = {
        name: next((pattern for pattern in patterns if fnmatchcase(name, pattern)), None)
        for name, _ in network.named_parameters()
    }
    idle = [pattern for pattern in patterns if pattern not in deciding.values()]
    if idle:
        parts = ", ".join(dict.fromkeys(f"{name.partition('.')[0]}.*" for name in deciding))
        raise UsageError(
            f"train.learning_rates: {', '.join(idle)} decides about no parameter; the first match counts",
            expected=f"patterns such as {parts} over these names\n{listed(list(deciding))}",
        )
    return [
        (parameter, 1.0 if (pattern := deciding[name]) is None else patterns[pattern])
        for name, parameter in network.named_parameters()
    ]


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Let the next step of the optimiser have this learning rate, times the factor of each group."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get(_FACTOR, 1.0)


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
        ModelError: the state belongs to another network or another optimiser, or is not finite.
    """
    named = dict(network.named_parameters())
    order = {id(parameter): index for index, parameter in enumerate(_parameters(optimizer))}
    state: dict[int, dict[str, Tensor]] = {}
    for label, value in tensors.items():
        name, _, key = label.rpartition("/")
        if name not in named or id(named[name]) not in order:
            raise ModelError(f"the optimiser's state has '{name}', which this network does not train")
        _check(label, key, value, named[name])
        state.setdefault(order[id(named[name])], {})[key] = _laid_out(value, named[name])
    if odd := next((moments.keys() for moments in state.values() if moments.keys() != MOMENTS), None):
        raise ModelError(
            f"the optimiser's state has {', '.join(sorted(odd))} of a parameter", expected=", ".join(MOMENTS)
        )
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _check(label: str, key: str, value: Tensor, parameter: nn.Parameter) -> None:
    """Refuse a moment that is none of this parameter."""
    shape = () if key == "step" else parameter.shape
    if value.shape != shape or not value.is_floating_point() or not bool(torch.isfinite(value).all()):
        raise ModelError(
            f"the optimiser's state has {label[:80]!r} of shape {tuple(value.shape)}, {value.dtype}",
            expected=f"finite numbers of shape {tuple(shape)}",
        )


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _laid_out(value: Tensor, parameter: nn.Parameter) -> Tensor:
    if value.shape != parameter.shape or not parameter.ndim:
        return value.clone()
    return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(placed(value, parameter))
