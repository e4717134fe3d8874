"""`sfumato tune segment`, `sfumato tune generate`: short runs over fields of the recipe."""

from pathlib import Path
from typing import Any

from sfumato.commands.flags.device import Device
from sfumato.commands.flags.numbers import Count, Index, Positive
from sfumato.commands.flags.source import AS_FOUND, SourceFlags
from sfumato.experiment.hyperparameter_search import Prune
from sfumato.progress import say
from sfumato.recipe.search import DEFAULT_SEARCH
from sfumato.verbs.tune import Tuned
from sfumato.verbs.tune import tune as _tune


def segment(
    source: Path,
    /,
    *,
    flags: SourceFlags = AS_FOUND,
    out: Path | None = None,
    search: list[str] | None = None,
    trials: Count = 20,
    minutes_per_trial: Positive | None = None,
    steps_per_trial: Count | None = None,
    recipe: Path | None = None,
    set: list[str] | None = None,  # noqa: A002 - the flag is --set
    study: str | None = None,
    prune: Prune = "median",
    device: Device = "auto",
    seed: Index = 0,
) -> dict[str, Any]:
    """Find better settings for training a segmentation model.

    Args:
        source: Images or volumes with masks in any form that prepare reads, or a prepared dataset.
        flags: How to read the source.
        out: The study's folder; the same command again resumes it. By default runs/NAME-tune-segment.
        search: A field and its values, like train.learning_rate=1e-5..1e-2:log or network.channels=16,32; repeatable.
        trials: Trials in all, over all resumes and workers.
        minutes_per_trial: Length of a trial in minutes spent training.
        steps_per_trial: Length in steps.
        recipe: The recipe to search around (YAML).
        set: Settings over the recipe, like train.batch=8; may be repeated.
        study: Any storage of Optuna by its URL, for workers on several machines. By default STUDY/study.db.
        prune: Give up trials below the median of the others, by successive halving, or none.
        device: Where to work.
        seed: Of the values that are tried.
    """
    tuned = _tune(
        "segment",
        source,
        out=out,
        reading=flags,
        search=search or (DEFAULT_SEARCH,),
        trials=trials,
        minutes_per_trial=minutes_per_trial,
        steps_per_trial=steps_per_trial,
        recipe=recipe,
        settings=set or (),
        study=study,
        prune=prune,
        seed=seed,
        device=device,
    )
    return _told(tuned)


def generate(
    source: Path,
    /,
    *,
    flags: SourceFlags = AS_FOUND,
    out: Path | None = None,
    search: list[str] | None = None,
    trials: Count = 20,
    minutes_per_trial: Positive | None = None,
    steps_per_trial: Count | None = None,
    recipe: Path | None = None,
    set: list[str] | None = None,  # noqa: A002 - the flag is --set
    study: str | None = None,
    prune: Prune = "median",
    device: Device = "auto",
    seed: Index = 0,
) -> dict[str, Any]:
    """Find better settings for training a model that makes images.

    Args:
        source: Images or volumes in any form that prepare reads, or a prepared dataset.
        flags: How to read the source.
        out: The study's folder; the same command again resumes it. By default runs/NAME-tune-generate.
        search: A field and its values, like train.learning_rate=1e-5..1e-2:log or network.channels=16,32; repeatable.
        trials: Trials in all, over all resumes and workers.
        minutes_per_trial: Length of a trial in minutes spent training.
        steps_per_trial: Length in steps.
        recipe: The recipe to search around (YAML).
        set: Settings over the recipe, like train.batch=8; may be repeated.
        study: Any storage of Optuna by its URL, for workers on several machines. By default STUDY/study.db.
        prune: Give up trials below the median of the others, by successive halving, or none.
        device: Where to work.
        seed: Of the values that are tried.
    """
    tuned = _tune(
        "generate",
        source,
        out=out,
        reading=flags,
        search=search or (DEFAULT_SEARCH,),
        trials=trials,
        minutes_per_trial=minutes_per_trial,
        steps_per_trial=steps_per_trial,
        recipe=recipe,
        settings=set or (),
        study=study,
        prune=prune,
        seed=seed,
        device=device,
    )
    return _told(tuned)


def _told(tuned: Tuned) -> dict[str, Any]:
    if tuned.verdict == "better":
        say(f"train with it: --recipe {tuned.recipe}")
    return tuned.summary
