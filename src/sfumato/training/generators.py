"""The state of torch's own random generators, for checkpoints.

No step of ours reads them: each forward pass seeds them anew. A network of the user's may draw elsewhere; with these
states a resumed run goes on with its numbers too. They are those of the first process.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from sfumato.errors import ModelError
from sfumato.shortage import raise_shortage


def generator_states(device: torch.device) -> dict[str, Tensor]:
    """Device name -> state of its generator: the CPU's, and that of the device that the network is on."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def restore_generators(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Go on from the states that `generator_states` took; those of devices that this process has not are left out.

    Raises:
        ModelError: a state is none of its generator.
    """
    try:
        if "cpu" in states:
            torch.set_rng_state(states["cpu"])
        if "cuda" in states and device.type == "cuda":
            torch.cuda.set_rng_state(states["cuda"], device)
        if "mps" in states and device.type == "mps":
            torch.mps.set_rng_state(states["mps"])
    except (RuntimeError, TypeError) as error:
        raise_shortage(error, reading="a checkpoint")
        raise ModelError(f"the checkpoint's state of a random generator is none ({str(error)[:200]})") from error
