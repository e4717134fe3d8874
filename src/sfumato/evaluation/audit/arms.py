"""The arms of an audit: ways of segmenting, each with what one image costs in network calls.

A diffusion model makes many calls for an image. So it is compared with itself at other numbers of calls, with its
deterministic twin (the same network without a noisy state, trained for as long), and with the twin as an ensemble over
views of the image with as many calls, up to the views that there are; and with logits that are drawn (`--controls
ssn`), which give whole readings in one call.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sfumato.diffusion.process import Denoise
from sfumato.diffusion.sampler.catalogue import SAMPLERS
from sfumato.errors import UsageError
from sfumato.evaluation.audit.states import RandomState, ShuffledState
from sfumato.experiment.inference import Twin
from sfumato.experiment.run import ControlName, Model
from sfumato.experiment.sampling import ONE_CALL
from sfumato.randomness import Noise, derive_seed
from sfumato.tasks.task import Sampler
from sfumato.tasks.views import views_of

_State = Literal["own", "random", "shuffled"]

RECOMMENDED, TWIN_ARM, MATCHED_ARM, SSN_ARM = "recommended", "twin", "twin, views", "ssn"
RANDOM, SHUFFLED = "random state", "shuffled state"


@dataclass(frozen=True, kw_only=True)
class SamplingArm:
    """One way of segmenting.

    Attributes:
        name: how the table calls it.
        model: the model.
        sampler: how each mask is drawn.
        members: of each ensemble.
        tta: whether each member sees another view.
        start: what a warm sampler starts from.
        state: what the denoiser is shown as its state.
    """

    name: str
    model: Model
    sampler: Sampler
    members: int
    tta: bool = False
    start: Twin | None = None
    state: _State = "own"

    @property
    def calls(self) -> int:
        """Network calls for one image; one gives all members of logits that are drawn."""
        if self.model.recipe.process.kind == "ssn":
            return 1
        return self.members * self.sampler.calls + (0 if self.start is None else self.start.calls)

    def around(self, ids: Sequence[str], seed: int) -> Callable[[Denoise], Denoise]:
        """What to put around the denoiser of a batch: the members of these cases side by side."""
        if self.state == "own":
            return lambda denoise: denoise
        if self.state == "shuffled":
            return lambda denoise: ShuffledState(denoise=denoise, by=self.members)
        seeds = [derive_seed(seed, "state", name, member) for name in ids for member in range(self.members)]
        return lambda denoise: RandomState(
            denoise=denoise,
            process=self.model.process,
            channels=len(self.model.spec.mask_classes),
            noise=Noise(seeds, self.model.device),
        )


def arms_of(
    model: Model, controls: Mapping[ControlName, Model], *, calls: Sequence[int], members: int
) -> list[SamplingArm]:
    """All arms, the recommended way first.

    Args:
        model: a diffusion model of masks.
        controls: its deterministic twin and its control of logits that are drawn, if it has them.
        calls: network calls of one mask, for the model at other numbers of them.
        members: of each ensemble of the model.

    Raises:
        UsageError: the model does not diffuse, or it starts from a twin that is not there.
    """
    if model.recipe.process.kind in ONE_CALL:
        raise UsageError(
            f"{model.name} is a model of process {model.recipe.process.kind}: it has no noisy state, and one call is "
            "all it makes",
            expected="a diffusion model; its controls are audited beside it",
        )
    sampler, twin, ssn = model.sampler(), controls.get("twin"), controls.get("ssn")
    if sampler.warm and twin is None:
        raise UsageError(f"{model.name} starts from its twin, which is not there", expected="a run folder with a twin")
    start = Twin(model=twin) if twin is not None and sampler.warm else None
    best = SamplingArm(name=RECOMMENDED, model=model, sampler=sampler, members=members, start=start)
    return [
        best,
        *_counted(best, calls),
        *([] if twin is None else _twins(twin, best.calls)),
        *([] if ssn is None else [SamplingArm(name=SSN_ARM, model=ssn, sampler=ssn.sampler(), members=members)]),
        replace(best, name=RANDOM, state="random"),
        replace(best, name=SHUFFLED, state="shuffled"),
    ]


def _counted(best: SamplingArm, calls: Sequence[int]) -> Iterator[SamplingArm]:
    """The model at other numbers of calls; a sampler of two calls a step makes an odd number of them."""
    per_step = SAMPLERS[best.sampler.name].calls_per_step
    for steps in dict.fromkeys(max(1, 1 + (number - 1) // per_step) for number in calls):
        sampler = best.model.sampler(steps=steps)
        yield replace(best, name=_arm_name(sampler.calls), sampler=sampler)


def _arm_name(calls: int) -> str:
    """The name of the arm with so many calls."""
    return f"{calls} call{'s' if calls > 1 else ''}"


def _twins(twin: Model, calls: int) -> Iterator[SamplingArm]:
    """The twin alone, and as an ensemble of views with as many calls as the model makes."""
    alone = SamplingArm(name=TWIN_ARM, model=twin, sampler=twin.sampler(), members=1)
    yield alone
    if (views := min(calls, views_of(twin.spec.size))) > 1:
        yield replace(alone, name=MATCHED_ARM, members=views, tta=True)
