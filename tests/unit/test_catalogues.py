"""Names that are written in two places are the same in both."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import get_args

from pydantic import BaseModel

from sfumato.diffusion.sampler.catalogue import SAMPLERS
from sfumato.experiment.network_shapes import SHAPES
from sfumato.experiment.sampling import ONE_CALL
from sfumato.metrics.table import METRIC_TABLE
from sfumato.recipe import GenerateMetric, SamplerName, SegmentMetric, load_recipe
from sfumato.recipe.network import NetworkSection
from sfumato.recipe.process import ProcessSection

from ..laws.networks import NETWORKS

ELSEWHERE = {"diffusers", "monai", "pretrained", "own"}
"""Networks that are not ours: they are under no laws."""


def sections(union: object) -> dict[str, type[BaseModel]]:
    """The sections of a tagged union by their kinds."""
    models = get_args(get_args(union)[0])
    return {kind: model for model in models for kind in get_args(model.model_fields["kind"].annotation)}


def test_a_recipe_knows_the_samplers_of_the_catalogue() -> None:
    assert get_args(SamplerName) == tuple(SAMPLERS)
    assert all(callable(entry.sampling_loop) and "times" not in entry.options for entry in SAMPLERS.values())


def test_networks_of_the_recipe_are_under_the_laws() -> None:
    assert sections(NetworkSection).keys() - {"auto"} == NETWORKS.keys() | ELSEWHERE, "auto becomes one of them"


def test_every_network_with_auto_has_shapes() -> None:
    with_auto = {
        kind
        for kind, model in sections(NetworkSection).items()
        if kind != "auto" and any(field.default == "auto" for field in model.model_fields.values())
    }
    assert SHAPES.keys() == with_auto
    for kind in with_auto:
        model = sections(NetworkSection)[kind]
        auto = {name for name, field in model.model_fields.items() if field.default == "auto"}
        assert all(auto <= shape.keys() for shape in SHAPES.get(kind, {}).values())


def test_processes_of_the_recipe_are_on_the_page_of_pairs() -> None:
    """The laws run over all that is there (`tests/laws/test_covered.py`); one call has no sampler to pair with."""
    spec = spec_from_file_location("docs_build", Path(__file__).parents[2] / "docs" / "build.py")
    assert spec is not None and spec.loader is not None
    page = module_from_spec(spec)
    spec.loader.exec_module(page)
    listed = {load_recipe(task, settings=words).process.kind for task, words in page.PROCESSES.values()}
    assert sections(ProcessSection).keys() - set(ONE_CALL) == listed


def test_a_validation_measures_what_the_table_knows() -> None:
    assert {name: METRIC_TABLE[name].better for name in (*get_args(SegmentMetric), *get_args(GenerateMetric))} == {
        "dice": "higher", "iou": "higher", "loss": "lower", "kid": "lower",
    }  # fmt: skip
