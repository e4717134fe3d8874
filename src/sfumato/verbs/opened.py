"""A model that a verb is given: by its place, or loaded."""

from pathlib import Path

from sfumato.experiment.run import Model, load_model, with_measurements
from sfumato.training.hardware import set_up


def opened_model(model: Model | Path | str) -> Model:
    """The model, on the device that was chosen; one that is loaded stays there, and knows what was measured since."""
    return with_measurements(model) if isinstance(model, Model) else load_model(model, device=set_up())


def origin_of(model: Model | Path | str) -> Path:
    """The run or file that it came from."""
    return Path(model.name if isinstance(model, Model) else model)


def path_or_none(given: Path | str | None) -> Path | None:
    """A place that may not have been said."""
    return None if given is None else Path(given)
