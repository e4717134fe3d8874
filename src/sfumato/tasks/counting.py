"""How many network calls a result takes: counted, by drawing one of a single pixel from networks that do nothing else.

With a guidance interval it depends on the times at which a sampler asks, which churn and inner stages move; what is
drawn plays no part. A call is one network looking at one item: both branches of guidance count.
"""

from dataclasses import dataclass, replace

import torch

from sfumato.diffusion.denoiser import Denoiser
from sfumato.diffusion.guidance import Guidance
from sfumato.diffusion.process import Condition, Denoise, Network, Process
from sfumato.diffusion.sampler.catalogue import SAMPLERS
from sfumato.randomness import Noise
from sfumato.tasks.task import Sampler, last
from sfumato.typing import Output, PerItem, State


@dataclass
class _Counter:
    """A network that answers nought and counts the items that it looks at.

    Args:
        channels: of its answer.
    """

    channels: int
    items: int = 0

    def __call__(self, x: State, level: PerItem, condition: Condition) -> Output:  # noqa: ARG002
        """Nothing."""
        self.items += len(x)
        return x.new_zeros(len(x), self.channels, *x.shape[2:])


def count_calls(process: Process, sampler: Sampler, guidance: Guidance, *, channels: int) -> int:
    """Network calls of one result.

    Args:
        process: the process that is sampled.
        sampler: how.
        guidance: away from what.
        channels: of the data.
    """
    process = SAMPLERS[sampler.name].sampled_process(process)
    network = _Counter(process.channels(channels)[1])

    def denoiser(counted: Network) -> Denoise:
        return sampler.remembering(Denoiser(process, counted))

    weak = None if guidance.weak is None else network
    denoise = replace(guidance, weak=weak).around(process, network, denoiser, unlabelled=1)
    noise, like = Noise([0]), torch.zeros(1, channels, 1, 1)
    x = (
        process.corrupt(like, sampler.times[0], noise)
        if sampler.warm
        else process.prior(like, noise, t=sampler.times[0])
    )
    last(sampler.sampling_loop(process, denoise, x, Condition(label=torch.zeros(1, dtype=torch.int64)), noise))
    return network.items
