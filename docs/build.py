"""Writes `recipe.md`, `commands.md`, `samplers.md` and `metrics.md` from the code: they cannot disagree with it.

python docs/build.py           write the pages
python docs/build.py --check   write nothing; exit code 1 if a page is out of date or a description is missing
"""

import inspect
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, NamedTuple, get_args, get_origin

from annotated_types import Ge, Gt, Le
from cyclopts import App

from sfumato.builder.process import build_process
from sfumato.builder.sampling import build_sampler
from sfumato.cli import COMMANDS
from sfumato.commands.flags.numbers import LARGE, SampleRequest
from sfumato.diffusion.sampler.catalogue import SAMPLERS, SamplerEntry
from sfumato.experiment.overshoot import DEVIATION
from sfumato.metrics.table import METRIC_TABLE, SUBJECTS, Metric, heading, metrics_of
from sfumato.recipe import Recipe, load_recipe
from sfumato.recipe.part import MOST
from sfumato.tasks.overshoot import LARGEST_SPREAD, sampled_deviation

FOLDER = Path(__file__).parent
NOTE = "<!-- Written by docs/build.py from the code. Do not edit. -->"
TASKS = ("segment", "generate")
FORMS = {"Augmentation": "ranges", "NonLeaking": "non_leaking"}
"""What the forms of a section are called that are not told apart by their kind alone."""

RECIPE_HEAD = f"""{NOTE}
# The recipe

A recipe says everything about a run. It is a YAML file for `--recipe`; whatever it leaves out has the default below.
`--set a.b=c` lays one setting over it, and flags such as `--minutes` or `--batch` win over both:

```sh
sfumato train segment dataset --recipe recipes/segment-fast.yaml --set train.learning_rate=2e-4 --minutes 30
```

An unknown key is refused with the nearest right one, a wrong value with its path and bounds. Counts may be written
`20k` or `1.5M`. `auto` is measured on the data or fitted to the machine; the run's `plan.json` says what it became and
why, and its `recipe.yaml` is the recipe with every field written out. A section of another `kind` replaces the default
section whole.
"""

COMMANDS_HEAD = f"""{NOTE}
# The commands

A verb reads files or folders and writes one new folder; a folder that is not empty is refused without `--overwrite`,
and with it one that sfumato did not write, or that holds a training. What appears under the name meanwhile stays, and
what was made is kept beside it.
Everywhere, `--json` prints the result on stdout (progress goes to stderr), `--debug` shows the traceback of an error,
`--allow-code PATH` lets a recipe or model build [its network by code of yours](how-to.md#a-network-of-your-own),
`--help` explains. [The exit codes](how-to.md#call-it-from-a-program) are stable.
"""


SAMPLERS_HEAD = f"""{NOTE}
# Processes and samplers

Names are those of `sample.sampler` in [the recipe](recipe.md#sample) and of `--sampler`; the mathematics is told in
[the theory](theory.md#3-samplers). The tests run their laws over the same list: every pair that is marked here lands
on the data in the right proportions with the exact denoiser, at the order that is given here.
"""

METRICS_HEAD = f"""{NOTE}
# Every number by its name

The names are those of columns of tables and of keys in `summary.json`. What scores of masks do where a mask is empty,
and what they are blind to, stands in [evaluating masks](masks-evaluation.md), how sets of images are compared in
[evaluating generated images](images-evaluation.md).
"""

UNITS = {"": "", "length": "mm or px", "volume": "mm² or mm³, or px", "share": "0 to 1", "seconds": "s"}
"""How units are told."""

MOST_STEPS = 32
"""Steps up to which overshooting is looked for; with more, no sampler does."""

SAMPLERS_ABOUT = f"""Order is that of the error on the probability-flow ODE. With fewer steps than are enough a sampler
overshoots, and verbs warn: from a perfect network for EDM's process on the `log_snr` grid, its results spread more than
{LARGEST_SPREAD:g} times as far as the data."""

PROCESSES = {
    "gaussian": ("generate", ["process={kind: gaussian}"]),
    "learned variance": ("generate", ["process={kind: gaussian, variance: learned}"]),
    "vp": ("generate", ["process={kind: vp}"]),
    "ve": ("generate", ["process={kind: ve}"]),
    "edm": ("generate", ["process={kind: edm, sigma_data: 0.5}"]),
    "flow": ("generate", ["process={kind: flow}"]),
    "sdd": ("segment", ["process={kind: sdd, classes: 2}", "data.size=[8, 8]"]),
    "categorical": ("segment", ["process={kind: categorical, critical_log_snr: null}"]),
}
"""A recipe for each kind of process."""


class Row(NamedTuple):
    """A field of the recipe or a parameter of a command; `name` is its full path or its command line."""

    name: str
    cells: tuple[str, ...]
    meaning: str


class Section(NamedTuple):
    """A heading, a paragraph, a table."""

    title: str
    about: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def recipe_sections() -> list[Section]:
    """The recipe, section by section, in the order of the file."""
    schema = Recipe.model_json_schema()
    return list(_recipe_sections(schema, schema["$defs"], path=(), kinds=()))


def _recipe_sections(
    model: Mapping[str, Any], models: Mapping[str, Any], *, path: tuple[str, ...], kinds: Sequence[str]
) -> Iterator[Section]:
    inner: list[Section] = []
    rows: list[Row] = []
    for name, field in model["properties"].items():
        below = (*path, name)
        nested = _nested(field)
        for reference, its_kinds in nested.items():
            inner += _recipe_sections(models[reference], models, path=below, kinds=its_kinds)
        if name != "kind" and (not nested or "enum" in field.get("oneOf", [{}])[0]):
            defaults = (_default(task, below, kinds, field) for task in TASKS)
            rows.append(Row(".".join(below), (_values(field), *defaults), field.get("description", "")))
    title = ".".join(path) or "task"
    if kinds:
        title += ": kind " + " or ".join(kinds)
    about = model["description"] if path else "What the run is about."
    yield Section(title, about, ("field", "values", "default, segment", "default, generate", "meaning"), tuple(rows))
    yield from inner


def _nested(field: Mapping[str, Any]) -> dict[str, list[str]]:
    """The models that a field may hold, each with its kinds; empty for a plain value."""
    if "$ref" in field:
        return {_model(field["$ref"]): []}
    mapping = field.get("discriminator", {}).get("mapping", {})
    nested: dict[str, list[str]] = {}
    if not mapping:  # `data.augment`: a word or one of several forms
        forms = [_model(form["$ref"]) for form in field.get("oneOf", []) if "$ref" in form]
        return {form: [FORMS[form]] for form in forms}
    for kind, reference in mapping.items():
        nested.setdefault(_model(reference), []).append(kind)
    return nested


def _model(reference: str) -> str:
    return reference.rpartition("/")[2]


def _default(task: Literal["segment", "generate"], path: Sequence[str], kinds: Sequence[str], field: Any) -> str:
    """The default in the recipe of a task; the field's own where that recipe has another kind of section."""
    value: Any = load_recipe(task).model_dump(mode="json", by_alias=True)
    for key in path[:-1]:
        value = value[key]
    other_kind = bool(kinds) and (not isinstance(value, dict) or value.get("kind") not in kinds)
    if other_kind and "default" not in field:
        return "must be given"
    return _code(field["default"] if other_kind else value[path[-1]])


def _values(schema: Mapping[str, Any]) -> str:
    """What a field accepts, in words."""
    if "oneOf" in schema:
        return " or ".join(_values(form) for form in schema["oneOf"] if "$ref" not in form)
    if "anyOf" in schema:
        return " or ".join(map(_values, schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return ", ".join(_code(value) for value in schema.get("enum", [schema.get("const")]))
    match schema["type"]:
        case "null":
            return "`null`"
        case "boolean":
            return "`true`, `false`"
        case "array" if "prefixItems" in schema:
            return f"[{', '.join(map(_values, schema['prefixItems']))}]"
        case "array":
            return f"list of {_values(schema['items'])}"
        case kind:
            return f"{kind}{_bounds(schema)}"


def _bounds(schema: Mapping[str, Any]) -> str:
    above = schema.get("exclusiveMinimum", schema.get("gt"))
    low, high = schema.get("minimum", schema.get("ge")), schema.get("maximum", schema.get("le"))
    if above is not None:
        return f" above {above}" + (f" up to {high}" if high is not None and high < MOST else "")
    if low is not None:
        return f" {low} to {high}" if high is not None else f", at least {low}"
    return ""


def command_sections() -> list[Section]:
    """The commands in the order of the work."""
    return [_command_section(parent[name], ["sfumato", *parent.name, name]) for parent, name, *_ in COMMANDS]


def _command_section(command: App, words: Sequence[str]) -> Section:
    about, *_ = (inspect.getdoc(command.default_command) or "").split("\n\n")
    arguments = command.assemble_argument_collection(parse_docstring=True)
    rows = tuple(_parameter(argument) for argument in arguments if argument.show)  # groups of flags show their members
    return Section(" ".join(dict.fromkeys(words)), about, ("parameter", "values", "default", "meaning"), rows)


def _parameter(argument: Any) -> Row:
    """A parameter of a command; `--no-...` and `--empty-...` are left to `--help`."""
    field = argument.field_info
    many = field.kind is field.VAR_POSITIONAL
    name = argument.names[0] + ("..." if many else "")
    default = "required" if argument.required or many else "" if field.default is None else _code(field.default)
    number = SampleRequest.of(field.annotation)
    values = _kind(argument.hint) if number is None else _number(number)
    if argument.parameter.metavar:  # words that the flag reads by itself
        values = _code(argument.parameter.metavar)
    return Row(name, (values, default), argument.parameter.help or "")


def _number(wanted: SampleRequest) -> str:
    """The numbers that a flag takes; bounds that nobody meets are left out."""
    told = ["integer" if wanted.kind is int else "number"]
    for bound in wanted.bounds:
        match bound:
            case Ge(limit):
                told.append(f"from {limit}")
            case Gt(limit):
                told.append(f"above {limit}")
            case Le(limit) if limit < LARGE:
                told.append(f"to {limit}")
    return " or ".join([" ".join(told), *map(_code, wanted.words)])


def _kind(hint: Any) -> str:
    """What the command line accepts for an annotation, in words."""
    origin, inner = get_origin(hint), [part for part in get_args(hint) if part not in (type(None), ...)]
    if origin is Literal:
        return ", ".join(map(_code, inner))
    if origin in (list, tuple):
        return f"{_kind(inner[0])}, repeatable"
    if set(inner) == {str, Path}:
        return "path"
    if origin is UnionType or inner:
        return " or ".join(map(_kind, inner))
    return {str: "text", int: "integer", float: "number", bool: "flag", Path: "path"}[hint]


def _code(value: Any) -> str:
    return f"`{value if isinstance(value, str | Path) else json.dumps(value)}`"


def sampler_sections() -> list[Section]:
    """What samplers do, and which process each of them walks."""
    methods = [
        Row(
            name,
            (
                entry.method,
                _calls(entry),
                "" if entry.order is None else str(entry.order),
                _enough(name),
                "each step" if entry.stochastic else "",
                ", ".join(f"`{option}`" for option in sorted(entry.options)),
            ),
            entry.source,
        )
        for name, entry in SAMPLERS.items()
    ]
    processes = {kind: build_process(load_recipe(task, settings=words)) for kind, (task, words) in PROCESSES.items()}
    pairs = []
    for name, entry in SAMPLERS.items():
        *cells, last = ("yes" if entry.suits(process) else "" for process in processes.values())
        pairs.append(Row(name, tuple(cells), last))
    columns = ("sampler", "method", "calls of n steps", "order", "enough steps", "noise", "options", "source")
    about = "Processes `none`, the deterministic twin, and `ssn`, drawn logits, have one call and nothing to walk."
    return [
        Section("Samplers", SAMPLERS_ABOUT, columns, tuple(methods)),
        Section("Pairs", about, ("sampler", *processes), tuple(pairs)),
    ]


def _calls(entry: SamplerEntry) -> str:
    return "n" if entry.calls_per_step == 1 else f"{entry.calls_per_step} n - {entry.calls_per_step - 1}"


def _enough(name: str) -> str:
    """The fewest steps from which on a sampler never overshoots; empty where it never does."""
    words = ["train.few_calls=2"] if SAMPLERS[name].jumps else PROCESSES["edm"][1]
    recipe = load_recipe("generate", settings=[*words, f"sample.sampler={name}", "sample.grid=log_snr"])
    process, overshoots = build_process(recipe), 0
    for steps in range(1, MOST_STEPS + 1):
        sampler = build_sampler(recipe.sample.model_copy(update={"steps": steps}), process, critical=None)
        if sampled_deviation(process, sampler, deviation=DEVIATION["generate"]) > LARGEST_SPREAD:
            overshoots = steps
    return str(overshoots + 1) if overshoots else ""


def metric_sections() -> list[Section]:
    """The numbers by what they are about."""
    columns = ("name", "called", "unit", "better", "meaning", "computed in")
    return [
        Section(about, "", columns, tuple(_metric(name, METRIC_TABLE[name]) for name in metrics_of(subject)))
        for subject, about in SUBJECTS.items()
    ]


def _metric(name: str, metric: Metric) -> Row:
    cells = (heading(name), UNITS[metric.unit], metric.better, metric.meaning)
    return Row(name, cells, f"`sfumato.{metric.where}`")


def page(head: str, sections: Sequence[Section]) -> str:
    """A page of Markdown."""
    return "\n".join([head, *map(_section, sections)])


def _section(section: Section) -> str:
    lines = [f"## {section.title}", "", *([section.about, ""] if section.about else [])]
    if section.rows:
        lines += [_line(section.columns), _line(["---"] * len(section.columns))]
        lines += [_line([f"`{row.name}`", *row.cells, row.meaning]) for row in section.rows]
        lines.append("")
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    """A cell of a table: one line, in which a bar is no border."""
    return " ".join(text.split()).replace("|", r"\|")


def undescribed() -> list[str]:
    """Fields and parameters that nobody has explained."""
    fields = [row.name for section in recipe_sections() for row in section.rows if not row.meaning]
    parameters = [
        f"{section.title} {row.name}" for section in command_sections() for row in section.rows if not row.meaning
    ]
    return fields + parameters


def pages() -> dict[Path, str]:
    """The text of every page that is written here."""
    return {
        FOLDER / "recipe.md": page(RECIPE_HEAD, recipe_sections()),
        FOLDER / "commands.md": page(COMMANDS_HEAD, command_sections()),
        FOLDER / "samplers.md": page(SAMPLERS_HEAD, sampler_sections()),
        FOLDER / "metrics.md": page(METRICS_HEAD, metric_sections()),
    }


def main(arguments: Sequence[str]) -> int:
    """Write or check; the exit code."""
    if "--check" not in arguments:
        for file, text in pages().items():
            file.write_text(text, encoding="utf-8")
        return 0
    stale = [file for file, text in pages().items() if not file.is_file() or file.read_text(encoding="utf-8") != text]
    complaints = [f"{file.name} is out of date: python docs/build.py" for file in stale]
    complaints += [f"{name} has no description" for name in undescribed()]
    sys.stderr.writelines(f"{complaint}\n" for complaint in complaints)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
