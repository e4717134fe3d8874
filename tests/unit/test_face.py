"""The names of Python: where they come from, that they say nothing unless somebody listens, what they return."""

import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

import sfumato
from sfumato import (
    Length,
    Preparation,
    Reading,
    Sampling,
    Training,
    Writing,
    check,
    evaluate_masks,
    find_cases,
    in_original_size,
    iter_training,
    load_model,
    predict,
    predict_array,
    prepare,
    progress,
    prove,
    report,
    resume,
    segment,
    train,
)  # fmt: skip
from sfumato.data.channels import read_case
from sfumato.data.formats.archive import Locator
from sfumato.data.formats.scan import read_volume
from sfumato.data.toys.toy import make_toy
from sfumato.errors import DataError, UsageError
from sfumato.progress import Bar, bar, hushed, listening, say
from sfumato.verbs.train import plan

SMALL = {"network.channels": 4, "network.multipliers": (1, 2), "network.blocks": 1, "network.attention": ()}


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("face")
    make_toy(folder / "toy", cases=20, size=24, readers=2)
    return folder / "toy"


class Listener:
    """Who is told everything."""

    def __init__(self) -> None:
        self.lines, self.done = list[str](), list[float]()

    def say(self, text: str) -> None:
        self.lines.append(text)

    @contextmanager
    def bar(self, title: str, total: float) -> Iterator[Bar]:
        self.lines.append(f"{title} {total}")
        yield self

    def update(self, done: float, *, note: str = "") -> None:
        self.done.append(done)


def test_a_source_becomes_a_dataset_without_a_word(scans: Path, tmp_path: Path) -> None:
    """In a process of its own, as nobody listens in a notebook."""
    program = (
        "from sfumato import Preparation, check, prepare\n"
        f"checked = check({str(scans)!r})\n"
        "assert not checked.errors and len(checked.found.cases) == 20\n"
        f"made = prepare({str(scans)!r}, out={str(tmp_path / 'set')!r}, preparation=Preparation(size=16))\n"
        "assert made.dataset.spec.size == (16, 16) and sum(made.summary['cases'].values()) == 20\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_who_listens_is_told(scans: Path, tmp_path: Path) -> None:
    with listening(listener := Listener()):
        made = prepare(scans, out=tmp_path / "set", preparation=Preparation(size=(8, 16), split=(0.5, 0.25, 0.25)))
    assert made.dataset.spec.size == (8, 16) and made.summary["cases"] == {"train": 10, "validation": 5, "test": 5}
    assert "preparing 20" in listener.lines and f"prepared {tmp_path / 'set'}" in listener.lines
    assert listener.done[-1] == 20


def test_what_is_hushed_is_not_said() -> None:
    with listening(listener := Listener()):
        with hushed():
            say("nothing")
            with bar("seen", 1.0) as progress:
                progress.update(1.0)
        say("something")
    assert listener.lines == ["seen 1.0", "something"] and listener.done == [1.0]


def test_what_is_said_of_a_source_counts(scans: Path, tmp_path: Path) -> None:
    copytree(scans / "images", tmp_path / "set" / "images")
    assert not check(tmp_path / "set").found.has_masks
    checked = check(tmp_path / "set", reading=Reading(masks=scans / "masks" / "reader_0"), out=tmp_path / "report")
    assert checked.found.has_masks and checked.report == tmp_path / "report" / "check.html"
    assert checked.report.is_file() and checked.summary["cases"] == len(checked.found.cases) == 20


def test_masks_are_scored_and_reported(scans: Path, tmp_path: Path) -> None:
    first, second = (scans / "masks" / f"reader_{number}" for number in range(2))
    scores = evaluate_masks(first, second, out=tmp_path / "scores", metrics=["dice", "iou"])
    assert 0 < scores.summary["foreground_mean"]["Dice"] < 1 and scores.summary["cases"] == 20
    page = report(scores.folder, out=tmp_path / "page.html")
    assert page == (tmp_path / "page.html").resolve() and "<html" in page.read_text("utf-8")


def test_a_split_is_three_shares(scans: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a split into 0\.5/0\.5/0\.5"):
        prepare(scans, out=tmp_path / "set", preparation=Preparation(split=(0.5, 0.5, 0.5)))
    assert not list(tmp_path.iterdir())


def test_every_public_name_has_a_home_and_help() -> None:
    for name in sfumato._HOMES:
        assert getattr(sfumato, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        sfumato.nothing  # noqa: B018


def test_a_model_is_trained_planned_and_goes_on(scans: Path, tmp_path: Path) -> None:
    made = prepare(scans, out=tmp_path / "set", preparation=Preparation(size=16))
    few = {"train.steps": 2, "sample.steps": 2, "validate.cases": 2}
    wanted = Training(changes={**SMALL, **few}, twin=True)
    planned = plan("segment", made.folder, out=tmp_path / "run", training=wanted)
    assert planned.cases == 20 and not planned.resumes and not (tmp_path / "run").exists()
    trained = train("segment", made.folder, out=tmp_path / "run", training=wanted)
    assert trained.summary["step"] == trained.summary["twin"]["step"] == 2
    assert trained.model().recipe.network.channels == 4
    assert plan("segment", made.folder, out=tmp_path / "run", training=wanted).resumes
    assert resume(trained.folder, length=Length(until_steps=3)).summary["step"] == 3


def readme_blocks() -> list[str]:
    text = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def test_what_the_readme_says_of_python_runs(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its blocks as they stand, but for the minutes, the pixels and the models of a proof; nothing is printed."""
    first, second, at_work = readme_blocks()
    assert "size=64" in first and '"train.minutes": 15' in first and '"train.minutes": 30' in second
    few = {**SMALL, "train.steps": 2, "sample.steps": 2, "validate.cases": 2}
    first = first.replace("size=64", "size=16").replace('{"train.minutes": 15}', repr(few))
    second = second.replace('{"train.minutes": 30}', repr(few)).replace("balance=True", "balance=True, steps=2")
    copytree(scans / "images", tmp_path / "scans")
    copytree(scans / "masks" / "reader_0", tmp_path / "outlines")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(progress, "_listener", None)
    told: dict[str, Any] = {}
    exec(first, told)
    assert told["run"].joinpath("twin").is_dir() and (tmp_path / "check.html").is_file()
    assert 0 <= told["scores"].summary["foreground_mean"]["Dice"] <= 1 and told["page"].name == "report.html"
    exec(at_work, told)
    assert told["mask"].shape == (24, 24)
    shutil.rmtree(tmp_path / "dataset")
    prepare(classes_of(tmp_path), out="dataset", preparation=Preparation(size=16))
    exec(second, told)
    assert told["proof"].summary["arms"] and told["images"].summary["metrics"]
    synthetic = Counter(case.origin for case in find_cases(told["mixed"]).cases)["synthetic"]
    assert synthetic == told["images"].summary["generated"] > 10
    assert capsys.readouterr() == ("", "")


def classes_of(place: Path, most: int = 36) -> Path:
    """Images of two classes, one of them rare."""
    noise = np.random.default_rng(0)
    for name, count in (("benign", most), ("malignant", most // 3)):
        (place / "classes" / name).mkdir(parents=True)
        for number in range(count):
            pixels = noise.integers(0, 256, (16, 16), np.uint8)
            Image.fromarray(pixels).save(place / "classes" / name / f"{name}{number:02}.png")
    return place / "classes"


def test_a_model_that_is_loaded_is_used_as_one_that_is_named(scans: Path, tmp_path: Path) -> None:
    made = prepare(scans, out=tmp_path / "set", preparation=Preparation(size=16))
    few = {**SMALL, "train.steps": 2, "sample.steps": 2, "validate.cases": 2}
    run = train("segment", made.folder, out=tmp_path / "run", training=Training(changes=few, twin=True))
    writing, sampling = Writing(save=["probability"], form="png"), Sampling(steps=3, sampler="ddim", eta=0.5)
    named = segment(
        run.folder, made.folder, split="test", out=tmp_path / "named", samples=2, sampling=sampling, writing=writing
    )
    loaded = segment(
        run.model(), made.folder, split="test", out=tmp_path / "loaded", samples=2, sampling=sampling, writing=writing
    )
    assert named.network_calls == loaded.network_calls == 2 * 3 and named.summary["members"] == 2
    assert {path.name for path in named.folder.iterdir() if path.is_dir()} == {"masks", "probability", "twin"}
    assert len(named.units) == len(loaded.units) == named.summary["cases"]
    for file in (named.folder / "probability").iterdir():
        assert file.read_bytes() == (loaded.folder / "probability" / file.name).read_bytes()
    planned = segment(run.folder, made.folder, out=tmp_path / "planned", dry_run=True)
    assert planned.summary == {} and not planned.folder.exists()


def test_a_training_is_watched_and_left(scans: Path, tmp_path: Path) -> None:
    made = prepare(scans, out=tmp_path / "set", preparation=Preparation(size=16))
    changes = {**SMALL, "train.steps": 6, "sample.steps": 2, "validate.cases": 2, "validate.every_steps": 2}
    training = Training(changes=changes, twin=True)
    watched = iter_training("segment", made.folder, out=tmp_path / "left", training=training)
    first = next(watched)
    assert first.step == 2 and first.score == first.scores["score"] and 0 <= first.scores["dice"] <= 1
    watched.close()
    assert not (tmp_path / "left" / "twin").exists()
    steps = [each.step for each in iter_training("segment", made.folder, out=tmp_path / "left", training=training)]
    whole = train("segment", made.folder, out=tmp_path / "whole", training=training)
    assert steps[-1] == whole.summary["step"] == 6 and (tmp_path / "left" / "twin").is_dir()
    left, uninterrupted = (load_model(folder).network.state_dict() for folder in (tmp_path / "left", whole.folder))
    assert all(left[name].equal(tensor) for name, tensor in uninterrupted.items())


@pytest.mark.parametrize("form", ["grey", "two files", "plane"])
def test_an_array_gets_the_mask_of_its_file(tmp_path: Path, form: str) -> None:
    """The same numbers under the same name: the mask, map and members that `segment` writes of the file."""
    noise, source = np.random.default_rng(1), tmp_path / "scans"
    shape, channels = ((6, 20, 24), 1) if form == "plane" else ((12, 20, 24), 2 if form == "two files" else 1)
    for kind in range(channels):
        for number in range(4):
            for folder in ("images", "masks"):
                (source / folder).mkdir(parents=True, exist_ok=True)
            voxels = noise.normal(50 * number, 20, shape[1:] + shape[:1]).astype(np.int16)
            ending = f"_{kind:04}" if channels > 1 else ""
            save_volume(source / "images" / f"case_{number}{ending}.nii.gz", voxels)
            save_volume(source / "masks" / f"case_{number}.nii.gz", (voxels > 50 * number).astype(np.uint8))
    made = prepare(source, out=tmp_path / "set", preparation=Preparation(size=16, intensity="percentile"))
    changes = {
        **SMALL,
        "train.steps": 6,
        "train.learning_rate": 0.1,
        "train.warmup": 0,
        "sample.steps": 2,
        "validate.cases": 2,
    }
    model = train("segment", made.folder, out=tmp_path / "run", training=Training(changes=changes)).model()
    case = find_cases(source).cases[3]
    (ensemble,) = predict(model, model.sampler(), [case], count=3, seed=5, batch=2)
    expected = in_original_size(ensemble)
    files = [case.image, *case.channels]
    wholes = [read_volume(Locator.parse(file).path) for file in files]
    found = predict_array(
        model, read_case(case), count=3, seed=5, batch=3, name=case.id,
        volume=np.stack([whole.voxels for whole in wholes], axis=-1),
    )  # fmt: skip
    assert np.array_equal(found.members, expected.members)
    assert np.allclose(found.probability, expected.probability, atol=1e-6)
    with pytest.raises(DataError, match="channels"):
        predict_array(model, np.zeros((20, 24, 5), np.int16))


def save_volume(file: Path, voxels: np.ndarray) -> None:
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), file)  # type: ignore[attr-defined,no-untyped-call]


def test_words_of_python_are_refused_as_those_of_the_command_line(scans: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--save everything"):
        Writing(save=["everything"])  # type: ignore[list-item]
    with pytest.raises(UsageError, match="--link with --format png"):
        Writing(link=True, form="png")
    with pytest.raises(UsageError, match="--shard 2/2"):
        segment(tmp_path / "run", scans, out=tmp_path / "out", shard=(2, 2))
    with pytest.raises(UsageError, match="--ratios 0,1"):
        prove(scans, scans, out=tmp_path / "out", ratios=[1.0, 0.0])
    with pytest.raises(UsageError, match="0 workers"):
        prove(scans, scans, out=tmp_path / "out", workers=0)


def test_paths_may_be_text(scans: Path, tmp_path: Path) -> None:
    """All of them: a report, a folder, a copy, a table, a recipe, a dataset that was moved."""
    places = {"report": "page.html", "out": "found", "fix_into": "copy"}
    checked = check(str(scans), **{name: str(tmp_path / place) for name, place in places.items()})
    assert checked.report == tmp_path / "page.html" and (tmp_path / "copy" / "changes.csv").is_file()
    made = prepare(str(scans), out=str(tmp_path / "set"), preparation=Preparation(size=16))
    (tmp_path / "recipe.yaml").write_text("train: {steps: 1}\nsample: {steps: 2}\nvalidate: {cases: 2}\n")
    wanted = Training(recipe=str(tmp_path / "recipe.yaml"), changes=SMALL)
    run = train("segment", str(made.folder), out=str(tmp_path / "run"), training=wanted)
    made.folder.rename(tmp_path / "moved")
    again = resume(str(run.folder), length=Length(until_steps=2), dataset=str(tmp_path / "moved"))
    assert again.summary["step"] == 2


def test_images_have_no_twin(scans: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a control \(twin\) of a model that makes images"):
        train("generate", scans, out=tmp_path / "run", training=Training(twin=True))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("workers", [0, -1])
def test_workers_are_counted_from_one(scans: Path, tmp_path: Path, workers: int) -> None:
    out = tmp_path / "out"
    with pytest.raises(UsageError, match=f"{workers} workers"):
        check(scans, workers=workers)
    with pytest.raises(UsageError, match=f"{workers} workers"):
        prepare(scans, out=out, workers=workers)
    with pytest.raises(UsageError, match=f"{workers} workers"):
        evaluate_masks(scans / "masks" / "reader_0", scans / "masks" / "reader_1", out=out, workers=workers)
    assert not out.exists()
