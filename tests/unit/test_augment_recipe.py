"""What can be written under `data.augment`, what is refused, and what it becomes."""

import pytest
import torch
import yaml

from sfumato.builder.data import build_augment
from sfumato.builder.network import build_network
from sfumato.data.augmentation.pipe import Pipe
from sfumato.data.augmentation.ranges import PRESETS, Ranges
from sfumato.data.spec import Intensity, Spec
from sfumato.diffusion.process import Condition
from sfumato.errors import UsageError
from sfumato.recipe import Augmentation, NonLeaking, Recipe, TaskKind, load_recipe, merge, parse_recipe

SPEC = Spec(
    size=(16, 16), channels=1, dtype="uint8", intensity=Intensity("unit", 0, 255, "8 bit"), readers=0
)
SMALL = ["network.channels=8", "network.multipliers=[1, 2]", "network.blocks=1", "train.steps=1"]


def written(augment: str, task: TaskKind = "segment") -> Recipe:
    measured = ["process.sigma_data=0.5"] if task == "generate" else ["process.critical_log_snr=-5"]
    return load_recipe(task, settings=[*SMALL, *measured, f"data.augment={augment}"])


@pytest.mark.parametrize("word", PRESETS)
def test_a_word_is_its_preset(word: str) -> None:
    assert build_augment(written(word)) == PRESETS[word]  # type: ignore[index]


def test_numbers_override_the_base_and_the_base_is_none() -> None:
    own = build_augment(written("{base: medium, upend: 0.5, angle: 30, elastic: 6, crop: 0.2}"))
    assert own == PRESETS["medium"]._replace(upend=0.5, angle=30, elastic=6, crop=0.2)
    assert build_augment(written("{gamma: 0}")) == Ranges()
    settings = ["data.augment={base: heavy}", "data.augment.angle=10", "data.augment.blur=0"]
    assert build_augment(load_recipe("segment", settings=settings)) == PRESETS["heavy"]._replace(angle=10, blur=0)


@pytest.mark.parametrize("kind", ["kind: non_leaking, ", ""])
def test_the_pipe_is_known_by_its_kind_or_its_probability(kind: str) -> None:
    augment = f"{{{kind}probability: 0.2, mirror: 1}}"
    assert build_augment(written(augment, "generate")) == Pipe(probability=0.2, mirror=1)


@pytest.mark.parametrize(
    ("task", "augment"),
    [("segment", "medium"), ("segment", "{base: light, noise: 0.1}"), ("generate", "non_leaking")],
)
def test_the_numbers_written_down_build_the_same(task: TaskKind, augment: str) -> None:
    recipe = written(augment, task)
    numbers = build_augment(recipe)
    raw = merge(recipe.model_dump(mode="json", by_alias=True), {"data": {"augment": numbers._asdict()}})
    resolved = parse_recipe(yaml.safe_load(parse_recipe(raw, origin="the plan").to_yaml()), origin="the run")
    assert build_augment(resolved) == numbers
    assert isinstance(resolved.data.augment, NonLeaking if augment == "non_leaking" else Augmentation)
    assert None not in resolved.data.augment.model_dump().values(), "every number is written"


def test_models_have_exactly_the_fields_of_what_they_become() -> None:
    assert set(Augmentation.model_fields) - {"base"} == set(Ranges._fields)
    assert set(NonLeaking.model_fields) - {"kind"} == set(Pipe._fields)


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        ("medum", "data.augment: Input should be 'auto', 'none', 'light'"),
        ("3", "data.augment: Input should be 'auto'"),
        ("{angel: 30}", "unknown key data.augment.angel; did you mean angle?"),
        ("{angle: 300}", "data.augment.angle: Input should be less than or equal to 180"),
        ("{mirror: -0.1}", "data.augment.mirror: Input should be greater than or equal to 0"),
        ("{base: huge}", "data.augment.base: Input should be 'none'"),
        ("{kind: non_leaking, probabilty: 0.2}", "data.augment.probabilty; did you mean probability?"),
        ("{kind: non_leaking, upend: -1}", "data.augment.upend: Input should be greater than or equal to 0"),
        ("{kind: leaking}", "data.augment.kind: Input should be 'non_leaking'"),
    ],
)
def test_mistakes_are_named_with_their_path(augment: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        written(augment)
    assert message in str(error.value)


def test_our_network_is_told_and_others_are_refused() -> None:
    plain = build_network(written("none", "generate"), SPEC)
    with pytest.raises(UsageError, match="built without them"):
        plain(torch.zeros(2, 1, 16, 16), torch.zeros(2), Condition(augment=torch.zeros(2, 9)))
    for augment, labels in (("non_leaking", 9), ("{kind: non_leaking, turn: 1, brightness: 1}", 19)):
        network = build_network(written(augment, "generate"), SPEC)
        told = network(torch.zeros(2, 1, 16, 16), torch.zeros(2), Condition(augment=torch.zeros(2, labels)))
        assert told.shape == (2, 1, 16, 16)
    settings = [*SMALL, "data.augment=non_leaking", "network.kind=diffusers", "process.kind=gaussian"]
    with pytest.raises(UsageError, match="cannot be told"):
        build_augment(load_recipe("generate", settings=settings))
    with pytest.raises(UsageError, match="masks"):
        build_augment(written("non_leaking", "segment"))
