"""Where the numbers of a run go besides its own log, and what of a recipe a tracker may be told.

A tracker may stand on another person's machine. It is told numbers, and of the recipe numbers and words out of a closed
list: what somebody typed freely may name a folder, a column or a patient.
"""

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import Field

from sfumato.recipe.part import Part

Word = str | int | float | bool


class Track(Part):
    """Trackers beside RUN/log.jsonl, told numbers and never a path or a case; one that fails is left out."""

    tensorboard: bool = Field(False, description="event files in RUN/tensorboard")
    wandb: str | None = Field(None, description="project at Weights & Biases")
    mlflow: str | None = Field(None, description="experiment of MLflow")
    mlflow_uri: str | None = Field(
        None, description="server, database or folder of MLflow; null: what MLflow itself is set to"
    )
    pictures: bool = Field(
        False,
        description="the pictures of RUN/samples too, for generate: a generator may copy a patient, "
        "and pictures of patients (segment) are never handed over",
    )


def public_words(part: Part) -> dict[str, Word]:
    """What a tracker may know of a recipe: numbers, and words out of a closed list, by their dotted path."""
    return dict(_public(part, ""))


def _public(value: Any, path: str, allowed: frozenset[object] = frozenset()) -> Iterator[tuple[str, Word]]:
    match value:
        case Part():
            for name, field in type(value).model_fields.items():
                below = f"{path}.{field.alias or name}".removeprefix(".")
                yield from _public(getattr(value, name), below, _closed(field.annotation))
        case list() | tuple():
            for index, inner in enumerate(value):
                yield from _public(inner, f"{path}.{index}", allowed)
        case bool() | int() | float():
            yield path, value
        case str() if value in allowed:
            yield path, value


def _closed(annotation: Any) -> frozenset[object]:
    """The words of every `Literal` inside an annotation."""
    inner = get_args(annotation)
    return frozenset(word for word in inner if isinstance(word, str)).union(*map(_closed, inner))
