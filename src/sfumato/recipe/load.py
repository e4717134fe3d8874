"""From words to a recipe: defaults, a YAML file over them, `--set a.b=c` over both, and every mistake told at once.

A wrong key is refused with the nearest right one, a wrong value with its path and bounds.
"""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from sfumato.errors import UsageError
from sfumato.local import recalled
from sfumato.plain import DEEPEST, parse_yaml, read_bytes, shown
from sfumato.recipe.part import TaskKind
from sfumato.recipe.recipe import Recipe
from sfumato.recipe.train import LENGTHS
from sfumato.wording import counted

MAX_RECIPE_BYTES = 1_000_000

MOST_MISTAKES, LONGEST_KEY = 20, 60
"""Mistakes that are told, and characters of a key within one."""

_FORM = re.compile(r"(tuple|list|dict|literal|function-\w+)\[")

FORMS = frozenset({"word", "ranges", "non_leaking"})
"""Forms of a section that have no `kind`."""

DEFAULTS: Mapping[TaskKind, Mapping[str, Any]] = {
    "segment": {
        "task": "segment",
        "process": {"kind": "gaussian", "schedule": "cosine", "prediction": "logits", "critical_log_snr": "auto"},
        "network": {"kind": "auto"},
        "loss": {"process": 1.0, "dice": 1.0},
        "sample": {"sampler": "ddim", "steps": 4, "grid": "critical", "samples": 2},  # 8 network calls, see RESULTS.md
    },
    "generate": {
        "task": "generate",
        "process": {"kind": "edm"},
        "network": {"kind": "unet"},
        "sample": {"sampler": "dpmpp_2m", "steps": 18, "grid": "log_snr"},
    },
}


PROCESS_DEFAULTS: Mapping[tuple[TaskKind, str], Mapping[str, Any]] = {
    ("segment", "categorical"): {"sample": {"sampler": "ancestral"}},
    ("segment", "sdd"): {
        "process": {"kind": "sdd", "critical_log_snr": "auto"},
        "sample": {"sampler": "ancestral", "grid": "geometric"},
    },
    ("segment", "flow"): {
        "process": {"kind": "flow", "prediction": "logits"},
        "loss": {"dice": 0.0},
        "sample": {"grid": "uniform"},  # nearer to readers than times around the critical level, see RESULTS.md
    },
    ("segment", "ssn"): {"loss": {"dice": 0.0}, "sample": {"samples": 16}},
    ("generate", "flow"): {"process": {"kind": "flow", "logit_mean": -0.4}},  # Geng et al. 2025, for small images
    ("generate", "sdd"): {
        "train": {"learning_rate": 3e-4},
        "sample": {"sampler": "ancestral", "grid": "geometric"},
    },
}
"""What a kind of process changes in the defaults of a task."""

FEW_CALLS_DEFAULTS: Mapping[str, Any] = {
    "sample": {"sampler": "jump", "grid": "uniform"},
    "validate": {"metric": "kid", "images": 128},  # the plain loss does not see jumps, and a few calls draw many
}
"""What `train.few_calls`, which is then the number of steps too, changes in the defaults of a flow."""

LEARNING_RATES = {"unet": 3e-4, "amortised": 1e-3}
"""Peak of the learning rate of the networks that `auto` becomes, for segment."""

NETWORK_DEFAULTS: Mapping[tuple[TaskKind, str], Mapping[str, Any]] = {
    ("generate", "unet"): {"train": {"learning_rate": 1e-3}},  # learns twice as fast as with 3e-4, see RESULTS.md
    ("segment", "amortised"): {"train": {"learning_rate": LEARNING_RATES["amortised"]}},
    ("segment", "auto"): {"train": {"learning_rate": "auto"}},
}
"""What a kind of network changes in the defaults of a task."""


def load_recipe(
    task: TaskKind,
    file: Path | None = None,
    *,
    settings: Sequence[str] = (),
    changes: Mapping[str, Any] | None = None,
    beneath: Mapping[str, Any] | None = None,
) -> Recipe:
    """The defaults of a task, `beneath` over them, then a recipe file, then `a.b=c` settings, then changes.

    A length among the settings or changes replaces that of the file whole.

    Args:
        task: segment or generate.
        file: a recipe in YAML.
        settings: words, as on the command line.
        changes: values by dotted names, such as {"data.size": (64, 96)}.
        beneath: sections and values that everything else is laid over.

    Raises:
        UsageError: unreadable file, unknown key (the nearest one is named), wrong value (path and bounds are named).
    """
    layers = [_parse_setting(setting) for setting in settings]
    layers += [_nested(name.split("."), value) for name, value in (changes or {}).items()]
    if file is not None:
        layers.insert(0, _without_length(read_recipe(file), reduce(merge, layers, {})))
    layers.insert(0, dict(beneath or {}))
    raw = reduce(merge, layers, DEFAULTS[task])
    if _few_calls(raw) and not any(_kind(layer, "process") not in ("", "None") for layer in layers):
        layers.insert(0, {"process": {"kind": "flow"}})
        raw = reduce(merge, layers, DEFAULTS[task])
    of_process = PROCESS_DEFAULTS.get((task, _kind(raw, "process")), {})
    of_network = NETWORK_DEFAULTS.get((task, _kind(raw, "network")), {})
    of_few_calls = merge(FEW_CALLS_DEFAULTS, {"sample": {"steps": calls}}) if (calls := _few_calls(raw)) else {}
    layers = _without_other_processes(layers, _kind(raw, "process"))
    raw = reduce(merge, layers, reduce(merge, (of_network, of_process, of_few_calls), DEFAULTS[task]))
    return parse_recipe(raw, origin="the recipe" if file is None else str(file))


def _without_other_processes(layers: Sequence[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """The layers without processes that one of this kind replaces: they would take its defaults along."""
    others = [number for number, layer in enumerate(layers) if _kind(layer, "process") not in ("", "None", kind)]
    replaced = others[-1] + 1 if others else 0
    kept = [{name: value for name, value in layer.items() if name != "process"} for layer in layers[:replaced]]
    return [*kept, *layers[replaced:]]


def _nested(names: Sequence[str], value: Any) -> dict[str, Any]:
    """A value within the sections that its dotted name says."""
    return reduce(lambda inner, name: {name: inner}, reversed(names), value)


def _without_length(words: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """The words of a file; without its length where another one is laid over it, which replaces it whole.

    So nobody who asks for 40,000 steps meets the 15 minutes of the file as a ceiling.
    """
    own, given = words.get("train"), over.get("train")
    if not isinstance(own, Mapping) or not isinstance(given, Mapping):
        return words
    if all(given.get(name) is None for name in LENGTHS if name != "least_steps"):
        return words
    return {**words, "train": {name: value for name, value in own.items() if name not in LENGTHS}}


def _kind(raw: Mapping[str, Any], section: str) -> str:
    words = raw.get(section)
    return str(words.get("kind")) if isinstance(words, Mapping) else ""


def _few_calls(raw: Mapping[str, Any]) -> Any:
    """What `train.few_calls` says, in any form; None where nothing is."""
    train = raw.get("train")
    return train.get("few_calls") if isinstance(train, Mapping) else None


def parse_recipe(raw: Mapping[str, Any], *, origin: str) -> Recipe:
    """A checked recipe from plain data; `origin` is named in errors."""
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        raise _explained(error, origin) from None


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`; a section of another kind replaces it whole."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        same_kind = (
            isinstance(value, Mapping)
            and isinstance(old, Mapping)
            and value.get("kind", old.get("kind")) == old.get("kind")
        )
        merged[key] = merge(old, value) if same_kind and isinstance(old, Mapping) else value
    return merged


def read_recipe(file: Path) -> dict[str, Any]:
    """The words of a recipe file, not checked yet.

    Raises:
        UsageError: it cannot be read, is larger than a recipe, or is no YAML of plain values in sections.
    """

    def fault(finding: str) -> UsageError:
        return UsageError(f"the recipe {file} {finding}", expected="a few lines of YAML like 'train: {steps: 2000}'")

    try:
        text = read_bytes(file, fault, most=MAX_RECIPE_BYTES).decode()
    except UnicodeDecodeError as error:
        raise fault("is not in UTF-8") from error
    raw = parse_yaml(text, fault)
    if not isinstance(raw, Mapping):
        raise fault("holds no sections")
    return merge(dict(raw), _located(raw, file.parent))


def _located(raw: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """What the recipe of a run says of files beside the source: where they lie, as far as that is known here."""
    source = raw.get("data", {}).get("source", {}) if isinstance(raw.get("data", {}), Mapping) else {}
    said = {key: source.get(key) for key in ("masks", "table")} if isinstance(source, Mapping) else {}
    names = {key: name for key, name in said.items() if isinstance(name, str)}
    places = {key: str(there) for key, name in names.items() if (there := recalled(name, folder)) is not None}
    return {"data": {"source": places}} if places else {}


def _parse_setting(setting: str) -> dict[str, Any]:
    path, equals, value = setting.partition("=")
    keys = path.split(".")
    if not equals or not path or len(keys) > DEEPEST:
        raise UsageError(f"--set {setting[:80]} is not of the form a.b=c", remedy="for example --set train.batch=8")
    nested = parse_yaml(value, lambda finding: UsageError(f"--set {setting[:80]}: the value {finding}"))
    for key in reversed(keys):
        nested = {key: nested}
    assert isinstance(nested, dict)
    return nested


def _explained(error: ValidationError, origin: str) -> UsageError:
    """All findings of pydantic, each with its path; unknown keys with the nearest right one."""
    found, tags = error.errors(include_url=False), _tags()
    findings = []
    for finding in found[:MOST_MISTAKES]:
        # pydantic puts the tag of a discriminated union and forms like tuple[int] into the path: no user wrote them
        path = [str(part)[:LONGEST_KEY] for part in finding["loc"] if part not in tags and not _FORM.match(str(part))]
        if finding["type"] == "extra_forbidden":
            findings.append(f"unknown key {'.'.join(path)}{_nearest(str(finding['loc'][-1])[:LONGEST_KEY])}")
        elif path:
            findings.append(f"{'.'.join(path)}: {finding['msg']} (found {shown(finding['input'])})")
        else:
            findings.append(finding["msg"])
    if len(found) > MOST_MISTAKES:
        findings.append(f"... and {len(found) - MOST_MISTAKES} more")
    return UsageError(
        f"{origin} has {counted(len(found), 'mistake')}:\n    " + "\n    ".join(findings),
        remedy="see docs/recipe.md for every field",
    )


def _nearest(key: str) -> str:
    near = difflib.get_close_matches(key, sorted(_keys() - {key}), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""


def _keys() -> set[str]:
    """Every key of a recipe."""
    return {field.alias or name for model in _sections(Recipe) for name, field in model.model_fields.items()}


def _tags() -> set[str]:
    """Names of the forms of a section; no key has one of them."""
    kinds = (model.model_fields.get("kind") for model in _sections(Recipe))
    return set(FORMS).union(*(get_args(field.annotation) for field in kinds if field is not None))


def _sections(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A model and the models inside it."""
    yield model
    for field in model.model_fields.values():
        forms = get_args(field.annotation)
        for kind in (field.annotation, *forms, *(inner for form in forms for inner in get_args(form))):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from _sections(kind)
