"""A network shared out over the processes: each keeps a part of every weight, gradient, average and moment.

torch's `fully_shard` (FSDP2; Zhao et al. 2023) gathers the weights of one block at a time, computes, and lets them go
again; gradients are added over the processes as they arise, and each process keeps its part of the sum. It is the same
mathematics, with less memory and more traffic. Every forward pass then needs all processes, also for validation.

A tensor of which a process holds a part is a `DTensor`; checkpoints hold whole ones, so that a run may go on with any
number of processes, sharded or not. Weights without dimensions stay whole.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from sfumato.training.processes import rank, world


def shard(network: nn.Module) -> None:
    """Share a network out over the processes, in place; before its optimiser is made. Weights become contiguous."""
    device = next(network.parameters()).device
    mesh = init_device_mesh(device.type, (world(),))
    whole_ones = {parameter for parameter in network.parameters() if parameter.ndim == 0}
    for parameter in network.parameters():
        parameter.data = parameter.data.contiguous()
    for unit in (*_units(network), network):
        sharded = fully_shard(unit, mesh=mesh, ignored_params=whole_ones)
        sharded.set_gradient_divide_factor(1.0)  # the losses are divided by the global batch already
        sharded.set_force_sum_reduction_for_comms(True)


def is_sharded(network: nn.Module) -> bool:
    """Whether the network is shared out."""
    return isinstance(network, FSDPModule)


def whole_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The whole tensors, for the first process; the others take part and get those that they hold whole anyway.

    One tensor is gathered at a time and leaves the device at once.
    """
    return {name: whole for name, tensor in tensors.items() if (whole := _whole(tensor)) is not None}


def placed(value: Tensor, like: Tensor) -> Tensor:
    """A whole tensor, shared out like another one; every process gives the same."""
    if not isinstance(like, DTensor):
        return value
    there = value.to(device=like.device, dtype=like.dtype)
    return distribute_tensor(there, like.device_mesh, like.placements, src_data_rank=None)


def own_sums(gradients: Sequence[Tensor]) -> list[Tensor]:
    """The gradients that are of this process alone, and so have yet to be added up."""
    return [gradient for gradient in gradients if not isinstance(gradient, DTensor)]


def total_norm(gradients: Sequence[Tensor]) -> Tensor:
    """The norm of all gradients, once they are added up, of shape ()."""
    parts = [gradient for gradient in gradients if isinstance(gradient, DTensor)]
    if not parts:
        return nn.utils.get_total_norm(gradients)
    spread = nn.utils.get_total_norm(parts)
    whole = nn.utils.get_total_norm(own_sums(gradients))
    return torch.hypot(spread.full_tensor() if isinstance(spread, DTensor) else spread, whole)


def _units(module: nn.Module) -> Iterator[nn.Module]:
    """What is gathered at once: the blocks, which networks keep in lists."""
    for child in module.children():
        if isinstance(module, nn.ModuleList | nn.ModuleDict) and not isinstance(child, nn.ModuleList | nn.ModuleDict):
            if next(child.parameters(), None) is not None:
                yield child
        else:
            yield from _units(child)


def _whole(tensor: Tensor) -> Tensor | None:
    if not isinstance(tensor, DTensor):
        return tensor
    whole: Tensor = tensor.full_tensor()
    return whole.cpu() if rank() == 0 else None
