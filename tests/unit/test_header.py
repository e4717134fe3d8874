"""Models from anyone: what their headers may say, and that no header makes this machine do more than its file holds."""

import json
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import safetensors.torch
import torch
from torch import Tensor
from torch.nn.modules.module import register_module_parameter_registration_hook

from sfumato.builder.network import build_network
from sfumato.builder.training import build_parts
from sfumato.commands.info import info
from sfumato.data.intensity import Intensity
from sfumato.data.spec import Spec
from sfumato.errors import AbsentError, ModelError, ResourceError, SfumatoError, UsageError
from sfumato.experiment.inference import SampleRequest, make
from sfumato.experiment.run import keep_curve, load_model
from sfumato.header import HEADER_KEY, header
from sfumato.measured import keep_measured
from sfumato.recipe import load_recipe
from sfumato.training.weights import load_weights, write_weights

from .words import changed

SIZE = 8
LEVELS = "channels: 4, multipliers: [1, 2], blocks: 1"
KINDS = {
    "unet": ("generate", f"{{kind: unet, {LEVELS}, attention: []}}", "{kind: edm, sigma_data: 0.5}"),
    "dit": ("generate", "{kind: dit, patch: 2, width: 8, depth: 1}", "{kind: ve}"),
    "sdd": ("generate", f"{{kind: unet, {LEVELS}, attention: []}}", "{kind: sdd, intensities: [-0.5, 0.5]}"),
    "swin": ("segment", f"{{kind: swin, {LEVELS}, patch: 2, window: 2}}", "{kind: none}"),
    "ssn": ("segment", f"{{kind: unet, {LEVELS}, attention: []}}", "{kind: ssn, classes: 2, rank: 2}"),
    "maskhead": (
        "segment",
        f"{{kind: maskhead, {LEVELS}, queries: 3, width: 8, layers: 1}}",
        "{kind: gaussian, prediction: logits, critical_log_snr: 0.5}",
    ),
    "amortised": (
        "segment",
        "{kind: amortised, channels: 4, multipliers: [1, 2, 2], blocks: 1, stem: 1, stride: 1, draw_channels: 4}",
        "{kind: gaussian, prediction: logits, critical_log_snr: 0.5}",
    ),
}
EIGHT_BITS = Intensity("unit", 0, 255, "8 bit")
SPECS = {
    "generate": Spec(size=(SIZE, SIZE), channels=1, dtype="uint8", intensity=EIGHT_BITS, classes=("a", "b")),
    "segment": Spec(
        size=(SIZE, SIZE), channels=1, dtype="uint8", intensity=EIGHT_BITS, mask_classes=("none", "a"), readers=1
    ),
}
POINT = {"steps": 1, "calls": 1, "values": {"kid": 0.5}}
CURVE = {
    "sampler": "heun", "grid": "log_snr", "tolerance": {"kid": 0.1}, "of": "4 images", "steps": 1,
    "points": [POINT],
}  # fmt: skip
REVIEW = {"filled": [0.1, 0.2], "empty": [0.0, 1.0], "empty_by": "uncertainty", "cases": 12, "spearman": None}


class Known(NamedTuple):
    """A model file and what it holds."""

    file: Path
    tensors: dict[str, Tensor]
    about: dict[str, Any]

    def rewritten(self, about: Any = None, tensors: dict[str, Tensor] | None = None) -> Path:
        """A copy with another header, or other tensors."""
        words = about if isinstance(about, str) else json.dumps(self.about if about is None else about)
        copy = self.file.with_name(f"copy-{self.file.name}")
        copy.write_bytes(safetensors.torch.save(self.tensors if tensors is None else tensors, {HEADER_KEY: words}))
        return copy

    def with_(self, **changes: Any) -> dict[str, Any]:
        """The header with some values set: `recipe__network__channels=3`."""
        about = json.loads(json.dumps(self.about))
        for path, value in changes.items():
            *above, last = path.split("__")
            place = about
            for key in above:
                place = place[key]
            place[last] = value
        return about


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Known]:
    return {
        name: _made(tmp_path_factory.mktemp("models") / f"{name}.safetensors", *kind) for name, kind in KINDS.items()
    }


def _made(file: Path, task: Any, network: str, process: str) -> Known:
    settings = [f"network={network}", f"process={process}", f"data.size=[{SIZE}, {SIZE}]"]
    settings += ["sample={sampler: ancestral, grid: uniform}"] if task == "segment" or "sdd" in process else []
    recipe = load_recipe(task, settings=settings)
    write_weights(file, build_network(recipe, SPECS[task]).state_dict(), header(recipe, SPECS[task], step=3))
    tensors, metadata = load_weights(file)
    return Known(file, tensors, json.loads(metadata[HEADER_KEY]))


@contextmanager
def counted_parameters() -> Iterator[list[int]]:
    """How many parameters are made within, and how many numbers take memory for them."""
    counts = [0, 0]

    def count(_: torch.nn.Module, __: str, tensor: Tensor) -> None:
        counts[0] += 1
        counts[1] += 0 if tensor.is_meta else tensor.numel()

    hook = register_module_parameter_registration_hook(count)
    try:
        yield counts
    finally:
        hook.remove()


@pytest.mark.parametrize("name", KINDS)
def test_what_sfumato_wrote_is_read_and_told(name: str, models: dict[str, Known]) -> None:
    known = models[name]
    model = load_model(known.file)
    assert model.step == 3 and model.network.state_dict().keys() == known.tensors.keys()
    told = info(known.file)
    assert told["parameters"] == sum(parameter.numel() for parameter in model.network.parameters())
    assert told["flops_per_call"] > 0 and told["sha256"] == model.sha256


def test_headers_of_version_0_1_and_all_that_may_be_added_are_read(models: dict[str, Known]) -> None:
    known = models["unet"]
    old = {name: known.about[name] for name in ("recipe", "spec", "step")}
    old["spec"] = {**old["spec"], "kind": "generate"}
    assert load_model(known.rewritten(old)).curve is None
    average = {"width": 0.1, "error": 0.01, "made_of": [{"step": 3, "width": 0.05, "share": 1.0}]}
    more = known.with_(of="0" * 64, curve=CURVE, review={"twin": REVIEW}, average=average)
    model = load_model(known.rewritten(more))
    assert model.sha256 == "0" * 64 and model.curve == CURVE and model.average == average
    assert model.review == {"twin": REVIEW}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda about: {**about, "format": 2}, "newer sfumato .format 2"),
        (lambda about: {**about, "format": 10**30}, "newer sfumato"),
        (lambda about: {**about, "format": "2"}, "format"),
        (lambda about: {**about, "format": True}, "format"),
        (lambda about: {**about, "version": "9.0"}, "version.*update"),
        (lambda about: {name: about[name] for name in ("recipe", "spec")}, "step: Field required"),
        (lambda about: {name: about[name] for name in ("spec", "step")}, "recipe: Field required"),
        (lambda about: {**about, "step": -1}, "step"),
        (lambda about: {**about, "step": "3"}, "step"),
        (lambda about: {**about, "step": 1.5}, "step"),
        (lambda about: {**about, "step": float("nan")}, "step"),
        (lambda _: [1, 2], "is a list"),
        (lambda _: "null", "is a NoneType"),
        (lambda about: {**about, "recipe": [1]}, "recipe"),
        (lambda about: {**about, "spec": "x"}, "spec"),
        (lambda about: {**about, "of": "../../x"}, "of"),
        (lambda about: {**about, "curve": {"x": [1]}}, "curve"),
        (lambda about: {**about, "curve": {**CURVE, "points": []}}, "curve"),
        (lambda about: {**about, "curve": {**CURVE, "tolerance": {}}}, "curve"),
        (lambda about: {**about, "curve": {**CURVE, "points": [{**POINT, "steps": 0}]}}, "curve"),
        (lambda about: {**about, "curve": {**CURVE, "points": [{**POINT, "values": {"kid": float("nan")}}]}},
         "finite"),
        (lambda about: {**about, "review": {"x": {**REVIEW, "spearman": float("inf")}}}, "finite"),
        (lambda about: {**about, "review": {"x": {**REVIEW, "empty_by": "__class__"}}}, "review"),
        (lambda about: {**about, "average": [1]}, "average"),
        (lambda about: {**about, "recipe": {**about["recipe"], "network": {"kind": "unet"}}}, "auto|network"),
        (lambda about: {**about, "recipe": {**about["recipe"], "key": 1}}, "unknown key key"),
        (lambda about: {**about, "spec": {**about["spec"], "key": 1}}, "key"),
        (lambda about: {**about, "spec": {**about["spec"], "spacing": -1}}, "spacing"),
        (lambda about: {**about, "spec": {**about["spec"], "spacing": float("nan")}}, "finite"),
        (lambda about: {**about, "spec": {**about["spec"], "size": [SIZE, SIZE + 1]}}, "not of one model"),
        (lambda about: {**about, "spec": {**about["spec"], "classes": ["a"]}}, "another network"),
        (lambda about: json.dumps(about)[:-1] + ', "step": 4}', "stands twice"),
        (lambda _: '{"a": ' * 5000, "no JSON"),
        (lambda about: json.dumps({**about, "recipe": None}).replace("null", "[" * 80 + "]" * 80), "nested"),
        (lambda _: "9" * 5000, "no JSON"),
        (lambda _: "", "no JSON"),
        (lambda about: json.dumps(about) + " " * 2**22, "characters"),
    ],
)  # fmt: skip
def test_other_headers_are_refused_in_words(change: Callable[[Any], Any], told: str, models: dict[str, Known]) -> None:
    known = models["unet"]
    file = known.rewritten(change(known.about))
    for use in (load_model, info):
        with pytest.raises(ModelError, match=rf"(?s){told}") as refused:
            use(file)
        assert file.name in str(refused.value) and len(str(refused.value)) < 1500


def test_what_was_measured_is_finite(models: dict[str, Known]) -> None:
    file = models["unet"].rewritten(models["unet"].about)
    sha256 = load_model(file).sha256
    curve = {**CURVE, "points": [{**POINT, "values": {"kid": float("nan")}}]}
    with pytest.raises(ModelError, match=r"what was measured of .* finite"):
        keep_curve(file, sha256, curve)
    beside = keep_measured(file, sha256, {"curve": curve})
    with pytest.raises(ModelError, match=r"(?s)what was measured of .* finite.*delete it"):
        load_model(file)
    beside.unlink()


def test_a_file_without_a_header_is_no_model(tmp_path: Path) -> None:
    file = tmp_path / "bare.safetensors"
    file.write_bytes(safetensors.torch.save({"a": torch.ones(2)}))
    with pytest.raises(ModelError, match="does not say how it was trained"):
        load_model(file)


HUGE: dict[str, list[dict[str, Any]]] = {
    "unet": [
        {"recipe__network__channels": 10**9},
        {"recipe__network__channels": 30_000},
        {"recipe__network__blocks": 10**6},
        {"recipe__network__multipliers": [1] * 16},
        {"recipe__network__multipliers": [1] * 10**4},
        {"recipe__network__attention": [8] * 10**4},
        {"recipe__sample__steps": 10**8},
        {"recipe__sample__samples": 10**8},
        {"recipe__process": {"kind": "gaussian", "timesteps": 10**9}},
        {"recipe__data__size": [10**6, 10**6], "spec__size": [10**6, 10**6]},
        {"spec__channels": 10**9},
        {"spec__channels": 1000},
        {"spec__classes": [f"class {number}" for number in range(9000)]},
        {"spec__classes": ["a" * 2**20]},
        {"recipe__train__self_condition": 1.0},
        {"recipe__network": {"kind": "dit", "patch": 2, "width": 8, "depth": 10**6}},
    ],
    "dit": [
        {"recipe__network__depth": 10**6},
        {"recipe__network__width": 10**5},
        {"recipe__network__patch": 10**9},
        {"recipe__network__patch": 100},
    ],
    "sdd": [{"recipe__process__intensities": [0.0] * 10**4}],
    "swin": [
        {"recipe__network__window": 10**4},
        {"recipe__network__window": 10**9},
        {"recipe__network__blocks": 10**6},
        {"spec__mask_classes": ["a"] * 10**4},
    ],
    "maskhead": [
        {"recipe__network__queries": 10**9},
        {"recipe__network__layers": 10**6},
        {"recipe__network__width": 10**5},
        {"spec__mask_classes": ["a"] * 200},
    ],
    "amortised": [
        {"recipe__network__channels": 10**9},
        {"recipe__network__draw_channels": 10**5},
        {"recipe__network__blocks": 10**6},
        {"recipe__network__stride": 10**9},
        {"recipe__network__stem": 4, "recipe__network__stride": 4},
        {"spec__mask_classes": ["a"] * 200},
    ],
}


@pytest.mark.parametrize(
    ("name", "changes"),
    [(name, changes) for name, each in HUGE.items() for changes in each],
    ids=lambda value: str(value)[:60],
)
def test_a_header_asks_for_no_more_than_its_file_holds(
    name: str, changes: dict[str, Any], models: dict[str, Known]
) -> None:
    known = models[name]
    file = known.rewritten(known.with_(**changes))
    with counted_parameters() as made, pytest.raises(ModelError):
        load_model(file)
    assert made[0] <= 2 * len(known.tensors) + 65, "building ended late"
    assert made[1] == 0, "memory was taken before the tensors were compared"


def test_a_recipe_asks_for_no_more_than_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["process={kind: edm, sigma_data: 0.5}", "data.augment=none", "train.batch=2"]
    small, wide, deep = (f"network={{{LEVELS.replace(*each)}, attention: []}}" for each in (
        ("", ""), ("channels: 4", "channels: 1000000"), ("blocks: 1", "blocks: 1000000")))  # fmt: skip
    monkeypatch.setattr("sfumato.builder.held.MOST_TENSORS", 200)
    for network in (wide, deep):
        recipe = load_recipe("generate", settings=[network, *words])
        with counted_parameters() as made, pytest.raises(ResourceError, match="memory"):
            build_parts(recipe, SPECS["generate"], device="cpu")
        assert made[0] <= 201 and made[1] == 0
    assert build_parts(load_recipe("generate", settings=[small, *words]), SPECS["generate"], device="cpu")


HUGE = LEVELS.replace("channels: 4", "channels: 1000000000")


@pytest.mark.parametrize(
    "network",
    [
        *(f"{{kind: {kind}, {HUGE}, attention: []}}" for kind in ("unet", "ncsnpp", "ddpmpp", "adm", "edm2")),
        "{kind: dit, patch: 2, width: 1000000000, depth: 1}",
        f"{{kind: swin, {HUGE}, patch: 2, window: 2}}",
        f"{{kind: maskhead, {LEVELS}, queries: 1000000000, width: 1000000000, layers: 1}}",
        f"{{kind: amortised, {HUGE}, stem: 1, stride: 1, draw_channels: 4}}",
    ],
)
def test_a_recipe_asks_for_no_more_than_can_be_counted(network: str) -> None:
    task: Any = "segment" if any(kind in network for kind in ("maskhead", "swin", "amortised")) else "generate"
    process = "{kind: none}" if task == "segment" else "{kind: edm, sigma_data: 0.5}"
    words = [f"network={network}", f"process={process}", "data.augment=none", "train.batch=2"]
    with pytest.raises((ResourceError, UsageError)):
        build_parts(load_recipe(task, settings=words), SPECS[task], device="cpu")


@pytest.mark.parametrize(
    ("turn", "told"),
    [
        (lambda tensor: tensor * float("nan"), "NaN or infinite"),
        (lambda tensor: torch.full_like(tensor, float("inf")), "NaN or infinite"),
        (lambda tensor: torch.full_like(tensor, 1e300, dtype=torch.float64), "NaN or infinite"),
        (lambda tensor: tensor.to(torch.int8), "stored as int8"),
        (lambda tensor: tensor > 0, "stored as bool"),
        (lambda tensor: tensor.to(torch.float8_e4m3fn), "stored as float8"),
        (lambda tensor: tensor[..., None], "another network"),
    ],
)
@pytest.mark.parametrize("every", [True, False])
def test_weights_that_are_no_numbers_are_refused(
    turn: Callable[[Tensor], Tensor], told: str, every: bool, models: dict[str, Known]
) -> None:
    known = models["unet"]
    last = list(known.tensors)[-1]
    broken = {name: turn(tensor) if every or name == last else tensor for name, tensor in known.tensors.items()}
    file = known.rewritten(tensors={name: tensor.contiguous() for name, tensor in broken.items()})
    for use in (load_model, info):
        with pytest.raises(ModelError, match=told):
            use(file)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_weights_of_other_precision_are_taken(dtype: torch.dtype, models: dict[str, Known]) -> None:
    known = models["unet"]
    model = load_model(known.rewritten(tensors={name: tensor.to(dtype) for name, tensor in known.tensors.items()}))
    for name, tensor in model.network.state_dict().items():
        assert torch.equal(tensor, known.tensors[name].to(dtype).float())


def test_a_model_whose_numbers_overflow_draws_nothing_without_a_word(models: dict[str, Known]) -> None:
    known = models["unet"]
    loud = {name: tensor * 1e30 if tensor.ndim > 1 else tensor for name, tensor in known.tensors.items()}
    model = load_model(known.rewritten(tensors=loud))
    with pytest.raises(ModelError, match="NaN or infinite"):
        list(make(model, model.sampler(steps=2), [SampleRequest(0, None, 0)], batch=1))


def test_wishes_that_nothing_can_be_drawn_by_are_told(models: dict[str, Known]) -> None:
    model = load_model(models["unet"].file)
    for change in ({"steps": 0}, {"steps": 10**8}, {"eta": 7.0}, {"sampler": "none such"}):
        with pytest.raises(UsageError, match=next(iter(change))):
            model.sampler(**change)


def test_a_header_names_code_and_nothing_of_it_is_imported(
    models: dict[str, Known], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = models["unet"]
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')  # network_factory")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    own = known.with_(recipe__network={"kind": "own", "factory": "evil:build", "options": {}})
    file = known.rewritten(own)
    with pytest.raises(AbsentError, match="--allow-code"):
        load_model(file)
    monkeypatch.setattr("sfumato.networks.own.find_factory", lambda _: pytest.fail("info looks for no code"))
    told = info(file)
    assert told["flops_per_call"] is None
    assert told["parameters"] == sum(tensor.numel() for tensor in known.tensors.values())
    assert not (tmp_path / "ran").exists() and "evil" not in sys.modules


def test_a_network_of_ones_own_is_held_against_its_file_too(
    models: dict[str, Known], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = models["unet"]

    def build(**words: Any) -> torch.nn.Module:
        return torch.nn.Sequential(*(torch.nn.Linear(words["width"], words["width"]) for _ in range(words["depth"])))

    monkeypatch.setattr("sfumato.networks.own.find_factory", lambda _: build)
    for options in ({"width": 10**5, "depth": 1}, {"width": 1, "depth": 10**5}):
        network = {"kind": "own", "factory": "nets:build", "options": options}
        with counted_parameters() as made, pytest.raises(ModelError, match="larger network"):
            load_model(known.rewritten(known.with_(recipe__network=network)))
        assert made[0] <= 2 * len(known.tensors) + 65 and made[1] == 0


@pytest.mark.parametrize("name", KINDS)
def test_changed_headers_are_read_or_refused_in_words(name: str, models: dict[str, Known]) -> None:
    known, random_ = models[name], random.Random(f"header {name}")
    whole = known.with_(curve=CURVE, review={"way": REVIEW})
    for _ in range(20):
        about = changed(whole, random_)
        with counted_parameters() as made:
            try:
                load_model(known.rewritten(about))
            except SfumatoError as error:
                assert isinstance(error, ModelError | AbsentError), about
                assert made[1] == 0 or made[0] <= 4 * len(known.tensors) + 200, about
            except Exception as error:  # told with the header, so that it can be tried again
                pytest.fail(f"{type(error).__name__}: {error}\n{json.dumps(about)}")
