"""A network of the user's own, named in the recipe as `module:function`; `networks.factory` says which may be named.

    from sfumato import network_factory

    @network_factory
    def build(*, channels_in, channels_out, channels_condition, classes, augment_labels, size, **options):
        return MyNetwork(...)          # called as network(x, level, condition), like every network

Where the function is looked for, and where not, is said there.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from sfumato.errors import UsageError
from sfumato.networks.factory import find_factory
from sfumato.networks.measure import Call
from sfumato.shortage import raise_shortage


def build_own(words: str, *, options: Mapping[str, Any], shape: Mapping[str, Any], size: tuple[int, ...]) -> nn.Module:
    """The network that `module:function` builds.

    On `torch.device("meta")` it is not called, as nothing can be computed there.

    Args:
        words: where the function is; see `networks.factory`.
        options: keywords from the recipe.
        shape: keywords that every network takes, `channels_in` and so on.
        size: spatial size of the data.

    Raises:
        UsageError: there is no such function, it carries no mark, it fails, or its network fails on data of this size
            or returns another shape.
    """
    factory = find_factory(words)
    try:
        network = factory(**shape, size=size, **options)
    except TypeError as error:
        raise UsageError(f"network.factory {words}: {error}", expected="the keywords of network_factory") from error
    if not isinstance(network, nn.Module):
        raise UsageError(f"network.factory {words} returned a {type(network).__name__}", expected="a torch.nn.Module")
    if not any(parameter.is_meta for parameter in network.parameters()):
        _check_call(network, words, shape, size)
    return network


def _check_call(network: nn.Module, words: str, shape: Mapping[str, Any], size: tuple[int, ...]) -> None:
    call = Call(shape["channels_in"], shape["channels_condition"], size, labelled=bool(shape["classes"]))
    try:
        with torch.no_grad():
            returned = tuple(network.eval()(*call.arguments(torch.device("cpu"))).shape)
    except RuntimeError as error:  # what torch raises where it is given volumes for images
        raise_shortage(error, reading=words)
        raise UsageError(
            f"the network of {words} fails on data of {' x '.join(map(str, size))}: {error}",
            expected="a network of as many dimensions as `size` has",
            remedy="build it for `size`, or --set network.kind=unet",
        ) from error
    if returned != (1, shape["channels_out"], *size):
        raise UsageError(
            f"the network of {words} returns {returned}", expected=f"{(1, shape['channels_out'], *size)} for one item"
        )
