"""A network of the user's own, named in the recipe as `module:function`.

    from sfumato import network_factory

    @network_factory
    def build(*, channels_in, channels_out, channels_condition, classes, augment_labels, size, **options):
        return MyNetwork(...)          # called as network(x, level, condition), like every network

A recipe travels inside models, and a model may come from anyone: a name alone must not make this machine run things.
So only modules that name `network_factory` are imported, and only functions that carry its mark are called.
"""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from sfumato.errors import UsageError
from sfumato.networks.measure import Call

MARK = "is_sfumato_network_factory"

Factory = TypeVar("Factory", bound=Callable[..., nn.Module])


def network_factory(function: Factory) -> Factory:
    """Mark a function that builds networks, so that recipes may name it.

    Args:
        function: takes the keywords channels_in, channels_out, channels_condition, classes, augment_labels (0 where
            there is none), size (h, w), and the options of the recipe. Its network is called as
            `network(x, level, condition)`: the state (b, channels_in, h, w), ln(sigma / alpha) / 4 of each item, and a
            `Condition` with image and label (`classes` or None: no class); it returns (b, channels_out, h, w).
    """
    setattr(function, MARK, True)
    return function


def build_own(words: str, *, options: Mapping[str, Any], shape: Mapping[str, Any], size: tuple[int, ...]) -> nn.Module:
    """The network that `module:function` builds.

    Args:
        words: where the function is; the module is installed or in the current folder.
        options: keywords from the recipe.
        shape: keywords that every network takes, `channels_in` and so on.
        size: spatial size of the data.

    Raises:
        UsageError: there is no such function, it carries no mark, it fails, or its network returns another shape.
    """
    factory = _found(words)
    try:
        network = factory(**shape, size=size, **options)
    except TypeError as error:
        raise UsageError(f"network.factory {words}: {error}", expected="the keywords of network_factory") from error
    if not isinstance(network, nn.Module):
        raise UsageError(f"network.factory {words} returned a {type(network).__name__}", expected="a torch.nn.Module")
    call = Call(shape["channels_in"], shape["channels_condition"], size, labelled=bool(shape["classes"]))
    with torch.no_grad():
        returned = tuple(network.eval()(*call.arguments(torch.device("cpu"))).shape)
    if returned != (1, shape["channels_out"], *size):
        raise UsageError(
            f"the network of {words} returns {returned}", expected=f"{(1, shape['channels_out'], *size)} for one item"
        )
    return network


def _found(words: str) -> Callable[..., nn.Module]:
    module, _, name = words.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    unmarked = UsageError(
        f"network.factory {words} is not marked as a builder of networks, so it is not called",
        remedy="put @sfumato.network_factory above its definition",
    )
    try:
        if not _mentions_mark(module):
            raise unmarked
        function = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"network.factory {words}: {error}",
            expected="module:function, the module installed or in the current folder",
        ) from error
    if not getattr(function, MARK, False):
        raise unmarked
    made: Callable[..., nn.Module] = function
    return made


def _mentions_mark(module: str) -> bool:
    """Whether a module could hold a factory: importing another one would run it for nothing."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ImportError(f"there is no module {module}")
    if not spec.has_location:
        return False
    return network_factory.__name__ in Path(spec.origin).read_text(encoding="utf-8", errors="replace")
