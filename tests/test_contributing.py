"""What CONTRIBUTING promises: one of each kind is added to a copy of the source by the files listed, and works."""

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
NAME = "dummy"


class Addition(NamedTuple):
    """What is added: files that are new, and in files that are there what stands behind some words of theirs."""

    new: Mapping[str, str]
    behind: Mapping[str, Mapping[str, str]]


ADDITIONS = {
    "a sampler": Addition(
        new={
            "diffusion/sampler/NAME.py": """
from sfumato.diffusion.sampler.ancestral import ddim


def sampling_loop(process, denoise, x, condition, noise, *, times):
    yield from ddim(process, denoise, x, condition, noise, times=times)
"""
        },
        behind={
            "diffusion/sampler/catalogue.py": {
                "SAMPLERS: Mapping[str, SamplerEntry] = {": (
                    '    "dummy": SamplerEntry(where="dummy.sampling_loop", method="m", source="s"),'
                )
            }
        },
    ),
    "a score of masks": Addition(
        new={
            "metrics/NAME.py": """
import numpy as np


def apart(pair):
    a, b = (np.argwhere(mask).mean(axis=0) * pair.spacing for mask in (pair.prediction, pair.reference))
    return float(np.linalg.norm(a - b))
"""
        },
        behind={
            "metrics/table.py": {
                "from sfumato.metrics import overlap, surface": "from sfumato.metrics.dummy import apart",
                "METRIC_TABLE: Mapping[str, Metric] = {": """    "dummy": Metric(
        of="masks", title="Centres apart", unit="length", better="lower", meaning="Distance of two centres.",
        group="Outline", by_group=True, score=OfPair(score=apart, neither=0.0, one=None), where="metrics.dummy.apart",
    ),""",
            }
        },
    ),
    "a network": Addition(
        new={
            "networks/NAME.py": """
import torch


class Dummy(torch.nn.Module):
    def __init__(self, *, channels_in, channels_out, width, **_):
        super().__init__()
        self.first, self.last = torch.nn.Conv2d(channels_in, width, 1), torch.nn.Conv2d(width, channels_out, 1)

    def forward(self, x, level, condition):
        return self.last(self.first(x))
"""
        },
        behind={
            "recipe/network.py": {
                "NetworkSection = Annotated[\n    UNetNetwork": "    | DummyNetwork",
                "from sfumato.recipe.part import MOST, Auto, Count, Fraction, Part, count": '''
class DummyNetwork(Part):
    """Two layers."""

    kind: Literal["dummy"] = "dummy"
    width: Count = Field(8, description="channels between them")
''',
            },
            "builder/network.py": {
                "from sfumato.recipe import CategoricalProcess, Recipe": (
                    "from sfumato.networks.dummy import Dummy\nfrom sfumato.recipe.network import DummyNetwork"
                ),
                "        match recipe.network:": """            case DummyNetwork() as n:
                network = Dummy(**ours, width=n.width)""",
            },
        },
    ),
    "a process": Addition(
        new={
            "diffusion/family/NAME.py": """
from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.level.training_noise import Uniform
from sfumato.diffusion.level.schedule import linear


def dummy(timesteps):
    return Gaussian(schedule=linear(timesteps), prediction="x0", training=Uniform(1 / timesteps))
"""
        },
        behind={
            "recipe/process.py": {
                "ProcessSection = Annotated[\n    GaussianProcess": "    | DummyProcess",
                "from sfumato.recipe.part import Auto, Count, Part, Positive, count": '''
class DummyProcess(Part):
    """The clean image is predicted."""

    kind: Literal["dummy"] = "dummy"
    timesteps: Count = Field(100, description="length of the table")
''',
            },
            "builder/process.py": {
                "from sfumato.recipe import DataSection, Recipe, ToldSteps": (
                    "from sfumato.diffusion.family.dummy import dummy\nfrom sfumato.recipe.process import DummyProcess"
                ),
                "    match recipe.process:": """        case DummyProcess(timesteps=timesteps):
            return dummy(timesteps)""",
            },
        },
    ),
    "a format of volumes": Addition(
        new={
            "data/formats/NAME.py": """
import numpy as np

from sfumato.data.formats.volume import Volume, VolumeHeader


def read_header(path):
    voxels = read_volume(path).voxels
    return VolumeHeader(shape=voxels.shape, dtype=voxels.dtype, affine=np.eye(4))


def read_volume(path):
    return Volume(voxels=np.frombuffer(path.read_bytes(), np.uint8).reshape(16, 16, -1), affine=np.eye(4))
"""
        },
        behind={"data/formats/endings.py": {"VOLUMES: Mapping[str, tuple[str, ...]] = {": '    "dummy": (".dummy",),'}},
    ),
    "a verb": Addition(
        new={
            "verbs/NAME.py": """
def dummy(word):
    return word.upper()
""",
            "commands/NAME.py": '''
from typing import Any

from sfumato.progress import say
from sfumato.verbs import dummy as verb


def dummy(word: str, /) -> dict[str, Any]:
    """Say a word loudly.

    Args:
        word: The word.
    """
    say(verb.dummy(word))
    return {"word": verb.dummy(word)}
''',
        },
        behind={"cli.py": {"COMMANDS = (": '    (app, "dummy", "dummy:dummy", "Say a word loudly."),'}},
    ),
}


def listed() -> dict[str, set[str]]:
    """The files of each kind of addition, as CONTRIBUTING lists them."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (an? [^|]+) \| ([^|]+) \| [^|]+ \|$", text, re.MULTILINE)
    return {what: set(re.findall(r"`([\w/]+\.py)`", files)) for what, files in rows}


def test_the_lists_are_what_is_added() -> None:
    assert listed() == {what: {*each.new, *each.behind} for what, each in ADDITIONS.items()}


def add(source: Path, addition: Addition) -> None:
    for file, text in addition.new.items():
        path = source / file.replace("NAME", NAME)
        assert not path.exists()
        path.write_text(f'"""Added."""\n{text}', encoding="utf-8")
    for file, insertions in addition.behind.items():
        text = (source / file).read_text(encoding="utf-8")
        for words, more in insertions.items():
            assert text.count(f"{words}\n") + text.count(f"{words} |") == 1, f"{file}: {words}"
            text = text.replace(words, f"{words}\n{more}\n")
        (source / file).write_text(text, encoding="utf-8")


PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from sfumato.cli import main
from sfumato.data.formats.image import write_image

def run(*words):
    try:
        main(list(words))
    except SystemExit as end:
        assert not end.code, words

there = Path(sys.argv[1])
draw = np.random.default_rng(0)
(there / "scans").mkdir()
for number in range(6):
    voxels = draw.integers(0, 255, (16, 16, 2), dtype=np.uint8)
    (there / "scans" / f"p{number}.dummy").write_bytes(voxels.tobytes())
for name, row in {"true": 4, "drawn": 6}.items():
    (there / name).mkdir()
    for number in range(4):
        mask = np.zeros((16, 16), np.uint8)
        mask[row : row + 4, 2 + number : 8] = 255
        write_image(there / name / f"case{number}.png", mask)
run("dummy", "hello")
run("prepare", f"{there}/scans", "--out", f"{there}/dataset")
settings = ["network.kind=dummy", "process.kind=dummy", "sample.sampler=dummy", "sample.steps=2", "validate.images=0"]
train = ["train", "generate", f"{there}/dataset", "--out", f"{there}/run", "--steps", "2", "--batch", "2"]
run(*train, "--device", "cpu", *(word for setting in settings for word in ("--set", setting)))
evaluate = ["evaluate", "masks", f"{there}/drawn", f"{there}/true", "--workers", "1"]
run(*evaluate, "--out", f"{there}/scores")
run(*evaluate, "--out", f"{there}/alone", "--metrics", "dummy")
run("report", f"{there}/scores", "--out", f"{there}/report.html")
from sfumato.recipe import load_recipe
recipe = load_recipe("generate", settings=settings)
from sfumato.builder.process import build_process
from sfumato.builder.sampling import build_sampler
print("walk of", build_sampler(recipe.sample, build_process(recipe), critical=None).name)
"""


class Used(NamedTuple):
    """What was written by the source with everything added, and what was said."""

    folder: Path
    said: str


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Used:
    folder = tmp_path_factory.mktemp("added")
    source = folder / "source" / "sfumato"
    copytree(ROOT / "src" / "sfumato", source, ignore=ignore_patterns("__pycache__"))
    for addition in ADDITIONS.values():
        add(source, addition)
    program = f"import sys; sys.path.insert(0, {str(source.parent)!r})\n{PROGRAM}"
    command = [sys.executable, "-c", program, str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "200"})
    assert ran.returncode == 0, ran.stderr
    return Used(folder, ran.stdout + ran.stderr)


@pytest.mark.slow
def test_a_verb_is_on_the_command_line(used: Used) -> None:
    assert "HELLO" in used.said


@pytest.mark.slow
def test_a_format_is_found_and_prepared(used: Used) -> None:
    with (used.folder / "dataset" / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12 and all("::axial/" in row["image"] for row in rows)


@pytest.mark.slow
def test_a_recipe_names_sampler_network_and_process(used: Used) -> None:
    recipe = (used.folder / "run" / "recipe.yaml").read_text()
    assert all(words in recipe for words in ("kind: dummy", "width: 8", "timesteps: 100", "sampler: dummy"))
    assert "walk of dummy" in used.said and list((used.folder / "run" / "checkpoints").glob("step-*"))


@pytest.mark.slow
def test_a_score_is_in_tables_summary_console_and_page(used: Used) -> None:
    with (used.folder / "scores" / "scores.csv").open(newline="") as file:
        assert [float(row["dummy"]) for row in csv.DictReader(file)] == [2.0] * 4
    summary = json.loads((used.folder / "scores" / "summary.json").read_text())
    assert summary["arms"]["drawn"]["dummy"]["mean"] == summary["foreground_mean"]["dummy"] == 2.0
    assert re.search(r"Centres apart \(px\)\W+2\.000", used.said)
    page = (used.folder / "report.html").read_text(encoding="utf-8")
    assert "Centres apart (px)" in page and "Distance of two centres." in page
    alone = json.loads((used.folder / "alone" / "summary.json").read_text())["arms"]["drawn"]
    assert {"dice", "dummy"} < alone.keys() and "hd95" not in alone
