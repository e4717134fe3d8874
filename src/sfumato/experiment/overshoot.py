"""A word about samplers that overshoot in the steps that they are given, such as heun in 2, which are 3 calls."""

from collections.abc import Callable

from sfumato.experiment.run import Model
from sfumato.progress import say
from sfumato.tasks.overshoot import LARGEST_SPREAD, sampled_deviation
from sfumato.tasks.task import Sampler

DEVIATION = {"generate": 0.5, "segment": 1.0}
"""Of the data in [-1, 1]: of images about, of one-hot masks at most. Bands of images have the deviation 1."""

_MOST = 64
"""Steps up to which enough of them are looked for."""


def warn_of_overshoot(model: Model, sampler: Sampler, again: Callable[[int], Sampler]) -> str | None:
    """Say that a sampler overshoots, and in how many steps it does not; the warning, if there is one.

    Args:
        model: the model.
        sampler: as it was asked for.
        again: the same with another number of steps.
    """
    found = _spread(model, sampler)
    if found <= LARGEST_SPREAD:
        return None
    steps = sampler.words["steps"]
    enough = next((n for n in range(steps + 1, _MOST + 1) if _spread(model, again(n)) <= LARGEST_SPREAD), None)
    remedy = f"{enough} steps are enough" if enough else f"{_MOST} steps are not enough either"
    warning = (
        f"warning: {sampler.name} overshoots in {steps} steps ({sampler.calls} network calls): from a perfect network "
        f"its results would spread {found:.1f} times as far as the data; {remedy}, and dpmpp_2m or ddim never overshoot"
    )
    say(warning)
    return warning


def _spread(model: Model, sampler: Sampler) -> float:
    deviation = 1.0 if model.recipe.data.representation == "haar" else DEVIATION[model.recipe.task]
    return sampled_deviation(model.process, sampler, deviation=deviation)
