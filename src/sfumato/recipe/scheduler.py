"""The scheduler of a diffusers pipeline in our words, and the other way round.

`scheduler_config.json` tells how a network was trained (the table of betas, what is predicted) and how somebody wanted
to sample it (spacing, clipping, order). The first is taken over; the second is our recipe's `sample` section.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sfumato.errors import ModelError, UsageError
from sfumato.recipe.process import GaussianProcess

SCHEDULES = {
    "linear": "linear",
    "scaled_linear": "scaled_linear",
    "squaredcos_cap_v2": "cosine",
    "sigmoid": "sigmoid",
}
PREDICTIONS = {"epsilon": "eps", "sample": "x0", "v_prediction": "v"}
VARIANCES = {
    "fixed_small": "small",
    "fixed_small_log": "small",
    "fixed_large": "large",
    "fixed_large_log": "large",
    "learned_range": "learned",
}
"""What diffusers calls them -> what we do; where two are the same to us, the first is written."""


class Words(NamedTuple):
    """A process as plain data, and what of the scheduler is not in it.

    Attributes:
        process: the recipe's section.
        notes: what will be done otherwise, in sentences.
    """

    process: dict[str, Any]
    notes: tuple[str, ...]


def process_words(scheduler: Mapping[str, Any], *, source: str) -> Words:
    """The process with which a network was trained.

    Args:
        scheduler: the content of scheduler_config.json. Settings that it lacks are younger than the file and mean what
            was done before they existed: noise is predicted, the table is not rescaled.
        source: where it comes from, for messages.

    Raises:
        ModelError: it has no table of betas, or names something that we do not have.
    """
    old = "epsilon" if scheduler.get("predict_epsilon", True) else "sample"
    words = {
        "kind": "gaussian",
        **_table(scheduler, source),
        "zero_terminal_snr": bool(scheduler.get("rescale_betas_zero_snr", False)),
        "prediction": _named(PREDICTIONS, scheduler.get("prediction_type", old), "prediction_type", source),
        "variance": _named(VARIANCES, scheduler.get("variance_type") or "fixed_small", "variance_type", source),
    }
    return Words(words, tuple(_notes(scheduler)))


def scheduler_words(process: GaussianProcess, *, table: Sequence[float]) -> dict[str, Any]:
    """The settings of a `DDPMScheduler` that does what a process does.

    Args:
        process: of the recipe.
        table: all its betas; written out where no schedule of diffusers has them.

    Raises:
        UsageError: diffusers has no word for what the network predicts.
    """
    names = {ours: theirs for theirs, ours in PREDICTIONS.items()}
    if process.prediction not in names:
        raise UsageError(
            f"a network that predicts {process.prediction}, for which diffusers has no word",
            expected=f"process.prediction {', '.join(names)}",
            remedy="--to safetensors",
        )
    schedules = {ours: theirs for theirs, ours in SCHEDULES.items()}
    told: dict[str, Any] = {"beta_schedule": schedules.get(process.schedule, "linear")}
    if process.schedule == "table" or process.reference_side is not None:
        told["trained_betas"] = list(table)
    elif process.schedule != "cosine":
        told["beta_start"], told["beta_end"] = process.betas or (table[0], table[-1])
    return {
        **told,
        "num_train_timesteps": process.timesteps,
        "prediction_type": names[process.prediction],
        "variance_type": next(theirs for theirs, ours in VARIANCES.items() if ours == process.variance),
        "rescale_betas_zero_snr": process.zero_terminal_snr and "trained_betas" not in told,
        "clip_sample": True,
    }


def _table(scheduler: Mapping[str, Any], source: str) -> dict[str, Any]:
    betas = scheduler.get("trained_betas")
    if betas is not None:
        return {"schedule": "table", "timesteps": len(betas), "betas": list(betas)}
    needed = ("beta_schedule", "beta_start", "beta_end", "num_train_timesteps")
    if missing := [name for name in needed if name not in scheduler]:
        raise ModelError(
            f"{source}: its scheduler {scheduler.get('_class_name', '')} has no {', '.join(missing)}",
            expected="a scheduler with a table of betas, such as DDPMScheduler or DDIMScheduler",
        )
    schedule = _named(SCHEDULES, scheduler["beta_schedule"], "beta_schedule", source)
    ends = None if schedule == "cosine" else [scheduler["beta_start"], scheduler["beta_end"]]
    return {"schedule": schedule, "timesteps": scheduler["num_train_timesteps"], "betas": ends}


def _named(names: Mapping[str, str], found: object, setting: str, source: str) -> str:
    if found not in names:
        raise ModelError(f"{source}: its scheduler has {setting} {found}", expected=", ".join(names))
    return names[str(found)]


def _notes(scheduler: Mapping[str, Any]) -> list[str]:
    notes = []
    if scheduler.get("thresholding"):
        notes.append("its scheduler clips by dynamic thresholding; here estimates are clipped to [-1, 1]")
    elif not scheduler.get("clip_sample", True) or scheduler.get("clip_sample_range", 1.0) != 1.0:
        notes.append("its scheduler does not clip to [-1, 1]; here estimates are clipped to it")
    return notes
