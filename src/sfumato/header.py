"""What a model says of itself in the header of its file, read as anyone's words: typed, bounded, refused in words.

    {"format": 1, "recipe": {...}, "spec": {...}, "step": 1200}           and, where they were measured or made,
    {"of": sha256, "average": {...}, "curve": {...}, "review": {...}, "postprocess": {...},
     "weights": "best by dice"}

A key that is not listed here was written by another version, or by nobody's sfumato: it is refused, not passed over.
"""

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator

from sfumato.builder.data import encoded_shape
from sfumato.data.spec import Spec
from sfumato.errors import DataError, ModelError, UsageError
from sfumato.plain import parse_json, shaped, shown
from sfumato.recipe import NATIVE, Recipe, parse_recipe
from sfumato.recipe.part import MOST

HEADER_KEY = "sfumato"
"""Key of the safetensors metadata under which a model describes itself, as JSON."""

_FORMAT = 1
"""Version of the header; a reader refuses a newer one. Headers of version 0.1 do not say it."""

_LONGEST = 2**22
"""Characters of a header: a table of 100,000 betas fits."""

_Word = Annotated[str, Field(max_length=1000)]
_Pair = tuple[float, float]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _Point(_Part):
    """Quality at a number of steps; see `sfumato.experiment.fewest_steps`."""

    steps: PositiveInt
    calls: PositiveInt
    values: dict[_Word, float]


Constant = dict[_Word, float | str | dict[_Word, float | None] | None]
"""A model beside what never changes; empty where it was not measured."""


class _Curve(_Part):
    """Quality by network calls."""

    sampler: _Word
    grid: _Word
    points: Annotated[tuple[_Point, ...], Field(min_length=1, max_length=1000)]
    tolerance: dict[_Word, float]
    of: _Word
    steps: PositiveInt | None = None
    constant: Constant = {}

    @model_validator(mode="after")
    def _measures_agree(self) -> "_Curve":
        if any(point.values.keys() != self.tolerance.keys() for point in self.points):
            raise ValueError("the points of the curve and its tolerance are of different measures")
        return self


ErrorFeature = Literal["own_error", "uncertainty", "disagreement", "size_spread", "presence_variance"]
"""What an error of masks can be expected by; see `sfumato.evaluation.review`."""


class Expectation(_Part):
    """What error to expect of masks; see `sfumato.evaluation.review`."""

    filled: _Pair
    empty: _Pair
    empty_by: ErrorFeature
    cases: NonNegativeInt
    spearman: float | None
    constant: Constant = {}
    filled_by: ErrorFeature = "own_error"


class _Repair(_Part):
    """A repair of masks, and what it did; see `sfumato.evaluation.postprocess`."""

    mask_class: PositiveInt
    kind: Literal["largest", "holes", "least"]
    least: Annotated[int, Field(ge=0, le=MOST)]
    gain: float
    higher: NonNegativeInt
    lower: NonNegativeInt


class Repairs(_Part):
    """The repairs that help masks."""

    chosen: Annotated[tuple[_Repair, ...], Field(max_length=1000)]
    cases: NonNegativeInt


class Summand(_Part):
    """An average that another was made of."""

    step: NonNegativeInt
    width: float
    share: float


class Average(_Part):
    """How an average was made; see `sfumato.training.averages`."""

    width: float
    error: float | None = None
    made_of: tuple[Summand, ...] = ()


class Measured(_Part):
    """What was measured of a model, in its header or beside it."""

    curve: _Curve | None = None
    review: dict[_Word, Expectation] | None = None
    postprocess: dict[_Word, Repairs] | None = None


class Header(Measured):
    """All that a header may hold; its sections `recipe` and `spec` are checked where they belong."""

    format: Annotated[int, Field(ge=1, le=_FORMAT, strict=True)] = _FORMAT
    recipe: dict[str, Any]
    spec: dict[str, Any]
    step: Annotated[int, Field(ge=0, le=MOST, strict=True)]
    of: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    average: Average | None = None
    weights: _Word = ""


class About(NamedTuple):
    """What a model says of itself.

    Attributes:
        recipe: how it was trained, every `auto` resolved.
        spec: what it must know about its data.
        header: the rest.
    """

    recipe: Recipe
    spec: Spec
    header: Header


def header(recipe: Recipe, spec: Spec, *, step: int, average: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Safetensors metadata by which a model describes itself; `average` tells of one that has a width.

    Where masks and tables of the source lay is not told: a model is passed on.
    """
    words = recipe.named(lambda path: None).model_dump(mode="json", by_alias=True)  # noqa: ARG005
    about = {"format": _FORMAT, "recipe": words, "spec": spec.to_dict(), "step": step}
    about |= {} if average is None else {"average": average}
    return {HEADER_KEY: json.dumps(about)}


def read_model_header(metadata: Mapping[str, str], *, source: Path | str) -> Header:
    """The header of a model out of the metadata of its file.

    Raises:
        ModelError: there is none, it is of a newer sfumato, or it is not as sfumato writes it.
    """

    def fault(finding: str) -> ModelError:
        return ModelError(
            f"{source}: its header {finding}",
            expected="a safetensors file written by sfumato",
            remedy=f"get it again; if a newer sfumato wrote it, update this one ({version('sfumato')})",
        )

    words = metadata.get(HEADER_KEY)
    if words is None:
        raise ModelError(f"{source} does not say how it was trained", expected="a safetensors file written by sfumato")
    if len(words) > _LONGEST:
        raise fault(f"has {len(words):,} characters")
    content = parse_json(words, fault)
    if not isinstance(content, dict):
        raise fault(f"is a {type(content).__name__}, not names with values")
    _refuse_newer(content, source)
    return shaped(Header.model_validate, content, fault)


def _refuse_newer(content: Mapping[str, Any], source: Path | str) -> None:
    form = content.get("format", _FORMAT)
    if isinstance(form, int) and form > _FORMAT:
        raise ModelError(
            f"{source} was written by a newer sfumato (format {shown(form)})",
            expected=f"format {_FORMAT}, as this one reads ({version('sfumato')})",
            remedy="update sfumato",
        )


def read_about(metadata: Mapping[str, str], *, source: Path | str) -> About:
    """What a model says of itself, with recipe and data understood; see `read_model_header`.

    Raises:
        ModelError: see there; or recipe and data are impossible, or not of one model.
    """
    found = read_model_header(metadata, source=source)
    try:
        recipe = parse_recipe(found.recipe, origin=f"the recipe in {source}")
        spec = Spec.from_dict(found.spec)
    except (UsageError, DataError) as error:
        finding = error.finding if isinstance(error, UsageError) else f"{source}: {error.finding}"
        raise ModelError(finding, expected="what sfumato wrote", remedy=error.remedy) from error
    if differences := _differences(recipe, spec):
        raise ModelError(
            f"{source}: recipe and data are not of one model: {differences}", expected="what sfumato wrote"
        )
    return About(recipe, spec, found)


def _differences(recipe: Recipe, spec: Spec) -> str:
    """What recipe and data do not agree about."""
    if recipe.data.size != (spec.size or NATIVE):
        return f"images of {shown(recipe.data.size)} and of {spec.size or NATIVE} pixels"
    if recipe.data.representation == "haar":
        if not recipe.data.band_deviations:
            return "bands are made, and their deviations are not told"
        try:
            encoded_shape(recipe.data, spec)
        except UsageError as error:
            return error.finding
    if recipe.task == "segment" and len(spec.mask_classes) < 2:
        return f"masks are made, and they have the classes {shown(spec.mask_classes)}"
    if recipe.data.pairs != "none" and len(spec.mask_classes) < 2:
        return f"{recipe.data.pairs} are made, and masks have the classes {shown(spec.mask_classes)}"
    return ""
