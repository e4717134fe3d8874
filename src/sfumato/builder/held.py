"""Networks that may be as large as what holds them: the tensors of a file, or the memory of this machine.

A header of a hundred bytes can ask for a million blocks. So the shapes of a network are built first, without numbers,
and its building ends with the parameter that is one too many: the work is bounded by the file, not by its header.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)

from sfumato.builder.network import build_call, build_network
from sfumato.data.spec import Spec
from sfumato.errors import AbsentError, ModelError, ResourceError, SfumatoError
from sfumato.memory import out_of_memory
from sfumato.recipe import OwnNetwork, Recipe
from sfumato.training.hardware import total_memory
from sfumato.training.weights import check_weights

SPARE = 64
"""Tensors and numbers that a network may make on its way beyond twice those that it keeps."""

_TABLES = 2**26
"""Numbers of what is computed when a network is built, such as tables of positions, beyond those of its weights."""

MOST_TENSORS = 10_000
"""Of a network that is trained: several times those of the largest that people train."""

_BYTES = 4
"""Of a parameter."""


class Budget(NamedTuple):
    """How large a network may be.

    Attributes:
        tensors: parameters, each a tensor.
        numbers: in all of them together.
        tables: numbers in its buffers together.
        error: what is raised by one more.
    """

    tensors: int
    numbers: int
    tables: int
    error: SfumatoError


def budget_of(tensors: Mapping[str, Tensor], *, source: str) -> Budget:
    """What the tensors of a file leave to the network that it describes."""
    numbers = sum(tensor.numel() for tensor in tensors.values())
    error = ModelError(
        f"{source}: it describes a larger network than its {len(tensors)} tensors of {numbers:,} numbers",
        expected="the description that these weights were written with",
    )
    return Budget(2 * len(tensors) + SPARE, 2 * numbers + SPARE, 2 * numbers + _TABLES, error)


def shapes_held(recipe: Recipe, spec: Spec, tensors: Mapping[str, Tensor], *, source: str) -> nn.Module | None:
    """The network that a file describes, without numbers; None for one of the user's own that cannot be built so.

    Args:
        recipe: of the file.
        spec: of the file.
        tensors: all that it holds, by name.
        source: the file, for messages.

    Raises:
        ModelError: they are not the tensors of this network, or there is no such network.
        UsageError: it needs code or a package that is not there.
    """
    try:
        with within(budget_of(tensors, source=source)):
            network = build_network(recipe, spec, numbers=False)
    except (AbsentError, ModelError):
        raise
    except Exception as fault:  # whatever a combination of settings leads to that no training could have had
        if isinstance(recipe.network, OwnNetwork):
            return None
        raise not_built("network", source, fault) from fault
    check_weights(tensors, network.state_dict(), source=source)
    _check_answer(network, recipe, spec, source=source)
    return network


@torch.no_grad()
def _check_answer(network: nn.Module, recipe: Recipe, spec: Spec, *, source: str) -> None:
    """Refuse a network that cannot be called with images of this size, or answers in another shape."""
    call = build_call(recipe, spec)
    with built("network", source):
        answer = tuple(network.eval()(*call.arguments(torch.device("meta"))).shape)
        if answer[0] != 1 or answer[2:] != call.state_size:
            raise ValueError(f"it answers {answer} to one state of {call.state_size} pixels")


def build_held(recipe: Recipe, spec: Spec, tensors: Mapping[str, Tensor], *, source: str) -> nn.Module:
    """The network that a file describes, with the weights that it holds; see `shapes_held`."""
    shapes_held(recipe, spec, tensors, source=source)
    with built("network", source):
        network = build_network(recipe, spec)
    check_weights(tensors, network.state_dict(), source=source)
    network.load_state_dict(dict(tensors))
    return network


@contextmanager
def built(what: str, source: str) -> Iterator[None]:
    """Something is built within from the header of a file; that it cannot be is a fault of the file.

    Raises:
        ModelError: it cannot be.
        UsageError: it needs code or a package that is not there.
    """
    try:
        yield
    except (AbsentError, ModelError, MemoryError):
        raise
    except Exception as fault:
        if out_of_memory(fault):
            raise
        raise not_built(what, source, fault) from fault


def not_built(what: str, source: str, fault: Exception) -> ModelError:
    """Why something cannot be built from the header of a file."""
    why = fault.finding if isinstance(fault, SfumatoError) else f"{type(fault).__name__}: {fault}"
    return ModelError(
        f"{source}: no {what} can be built from its header: {why[:400]}",
        expected="the header that these weights were written with",
    )


def refuse_larger_than_memory(recipe: Recipe, spec: Spec) -> None:
    """Refuse a network that this machine cannot hold, before it is made.

    Raises:
        ResourceError: its parameters alone do not fit.
    """
    memory = total_memory()
    error = ResourceError(
        f"the recipe asks for a network of more than {memory // _BYTES:,} parameters, or of {MOST_TENSORS:,} tensors",
        expected=f"what {memory / 1e9:.0f} GB of memory hold",
        remedy="a smaller network, such as --set network.channels=32",
    )
    if not isinstance(recipe.network, OwnNetwork):  # what a person's own code makes, only it knows
        most = memory // _BYTES
        with within(Budget(MOST_TENSORS, most, most, error)), _countable(error):
            build_network(recipe, spec, numbers=False)


@contextmanager
def _countable(error: SfumatoError) -> Iterator[None]:
    """A size that torch cannot even count is too large."""
    try:
        yield
    except (RuntimeError, OverflowError) as fault:
        if "overflow" not in str(fault):
            raise
        raise error from fault


@contextmanager
def within(budget: Budget) -> Iterator[None]:
    """Networks that this thread builds within are not larger than this.

    Raises:
        SfumatoError: the error of the budget.
    """
    made, thread = _Made(), threading.get_ident()

    def parameter(_: nn.Module, __: str, tensor: Tensor) -> None:
        if threading.get_ident() == thread:
            made.tensors, made.numbers = made.tensors + 1, made.numbers + tensor.numel()
            made.check(budget)

    def buffer(_: nn.Module, __: str, tensor: Tensor | None) -> None:
        if threading.get_ident() == thread and tensor is not None:
            made.tables += tensor.numel()
            made.check(budget)

    hooks = (
        register_module_parameter_registration_hook(parameter),
        register_module_buffer_registration_hook(buffer),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@dataclass
class _Made:
    """How much was made: parameters, the numbers in them, and those in buffers."""

    tensors: int = 0
    numbers: int = 0
    tables: int = 0

    def check(self, budget: Budget) -> None:
        if self.tensors > budget.tensors or self.numbers > budget.numbers or self.tables > budget.tables:
            raise budget.error
