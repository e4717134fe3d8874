"""`sfumato tune`: better settings in ten trials, nothing lost to a kill, several workers, mistakes told beforehand."""

import csv
import json
import math
import os
import re
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.preloaded import Preloaded, Started

from sfumato.commands import train, tune
from sfumato.errors import DataError, Stopped, UsageError
from sfumato.experiment.run import Run, load_model
from sfumato.experiment.trainer import Validation
from sfumato.progress import say
from sfumato.recipe import Recipe, load_recipe
from sfumato.training.loop import Diverged
from sfumato.verbs import tune as tuning

TINY = [
    "network={kind: unet, channels: 4, multipliers: [1, 2], blocks: 1, attention: []}", "data.augment=none",
    "train={batch: 8, warmup: 2, ema_half_life: 50, learning_rate: 1.0e-6}", "sample={steps: 2, samples: 1}",
    "validate={every_steps: 10, cases: 4}", "checkpoint.every_steps=4",
]  # fmt: skip
RATES = ["train.learning_rate=1e-6..3e-2:log"]

Score = Callable[[Recipe, int], float]
"""The score of a pretended run at its n-th validation, from 1."""


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "trials.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_ten_trials_improve_a_bad_learning_rate(dataset: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    result = tune.segment(dataset, out=folder, trials=10, steps_per_trial=14, search=RATES, set=TINY)
    assert result["trials"] == 10 and result["failed"] == 0
    assert result["best"]["score"] > result["baseline"] + 0.3
    assert float(rows(folder)[0]["train.learning_rate"]) == 1e-6
    best = load_recipe("segment", folder / "best.yaml")
    assert best.train.learning_rate > 1e-4 and best.train.steps is None, "as long as the recipe says: not at all"
    again = train.segment(dataset, out=tmp_path / "run", recipe=folder / "best.yaml", steps=2)
    assert again["step"] == 2
    assert load_model(folder / result["best"]["folder"]).recipe.train.learning_rate == best.train.learning_rate


def command(dataset: Path, folder: Path, *, trials: int) -> list[str]:
    words = ["--out", folder, "--trials", trials, "--steps-per-trial", 24, "--search", *RATES]
    settings = [word for setting in TINY for word in ("--set", setting)]
    return ["tune", "segment", str(dataset), *map(str, words), *settings]


def wait_for(condition: Callable[[], bool], process: Started) -> None:
    until = time.monotonic() + 120
    while not condition():
        assert process.poll() is None and time.monotonic() < until, "ended before it was killed"
        time.sleep(0.005)


def test_a_killed_study_goes_on_in_the_middle_of_its_trial(dataset: Path, preloaded: Preloaded, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    log = folder / "trial-0001" / "log.jsonl"
    process = preloaded.start(command(dataset, folder, trials=3))
    wait_for(lambda: log.exists() and b'"step": 13,' in log.read_bytes(), process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    result = tune.segment(dataset, out=folder, trials=3, steps_per_trial=24, search=RATES, set=TINY)
    assert result["trials"] == result["complete"] == 3
    assert [row["run"] for row in rows(folder)] == ["trial-0000", "trial-0001", "trial-0003"]
    starts = json.loads((folder / "trial-0001" / "hardware.json").read_text())
    assert len(starts) == 2 and starts[1]["step"] >= 12, "the run was resumed, not begun again"
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert [record["step"] for record in records if record["kind"] == "train"] == list(range(1, 25))


def test_two_workers_share_the_trials(dataset: Path, preloaded: Preloaded, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    workers = [preloaded.start(command(dataset, folder, trials=4)) for _ in range(2)]
    codes = [worker.wait() for worker in workers]
    said = [worker.stderr.read_text() for worker in workers]
    assert codes == [0, 0], said
    assert sorted(row["run"] for row in rows(folder)) == [f"trial-{number:04d}" for number in range(4)]
    assert len({row["train.learning_rate"] for row in rows(folder)}) == 4
    started = [text.count("\ntrial ") + text.startswith("trial ") for text in said]
    assert sum(started) == 4 and min(started) >= 1, said
    assert [path.name for path in (folder / "workers").iterdir()] == ["home"]


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Callable[[Score], None]:
    """Trainings of six validations that take no time, with a score of our own."""

    def use(score: Score) -> None:
        def training(wanted: Recipe, run: Run, source: Path) -> Iterator[Validation]:
            run.folder.mkdir(exist_ok=True)
            run.recipe_file.write_text(wanted.to_yaml())
            with (run.folder / "log.jsonl").open("a") as log:
                for number in range(1, 7):
                    value = score(wanted, number)
                    finite = value if math.isfinite(value) else None
                    log.write(json.dumps({"kind": "validate", "step": number, "score": finite}) + "\n")
                    log.flush()
                    yield Validation(number, value, {})

        monkeypatch.setattr(tuning, "training", training)

    return use


def go(dataset: Path, folder: Path, **more: Any) -> dict[str, Any]:
    wanted: dict[str, Any] = {"trials": 6, "steps_per_trial": 6, "search": RATES, **more}
    return tune.segment(dataset, out=folder, **wanted)


def test_trials_that_fall_behind_are_given_up(dataset: Path, tmp_path: Path, pretend: Callable[[Score], None]) -> None:
    def score(wanted: Recipe, number: int) -> float:
        return -abs(math.log10(wanted.train.learning_rate) + 3) + number / 100

    pretend(score)
    result = go(dataset, tmp_path / "study", trials=16, set=["train.learning_rate=1e-3"])
    table = rows(tmp_path / "study")
    assert result["pruned"] == sum(row["state"] == "pruned" for row in table) > 0
    assert result["best"]["score"] == max(float(row["score"]) for row in table)
    lengths = {
        row["run"]: len((tmp_path / "study" / row["run"] / "log.jsonl").read_text().splitlines()) for row in table
    }
    assert {lengths[row["run"]] for row in table if row["state"] == "complete"} == {6}
    assert all(2 <= lengths[row["run"]] < 6 for row in table if row["state"] == "pruned")


def test_a_diverged_trial_is_given_up_and_the_study_goes_on(
    dataset: Path, tmp_path: Path, pretend: Callable[[Score], None]
) -> None:
    def score(wanted: Recipe, number: int) -> float:
        if wanted.train.learning_rate > 1e-3:
            raise Diverged(number, [3])
        return wanted.train.learning_rate

    pretend(score)
    result = go(dataset, tmp_path / "study", trials=8)
    diverged = [row for row in rows(tmp_path / "study") if row["state"] == "pruned" and row["score"] == ""]
    assert diverged and result["complete"] >= 1 and result["failed"] == 0
    assert all(float(row["train.learning_rate"]) > 1e-3 for row in diverged)


def test_a_trial_is_one_line(
    dataset: Path, tmp_path: Path, pretend: Callable[[Score], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever its training says; numbers as a person reads them."""

    def score(wanted: Recipe, number: int) -> float:
        say(f"pictures after {number} steps")
        if wanted.train.learning_rate > 1e-3:
            raise Diverged(number, [3])
        return number / 10 - 1

    pretend(score)
    go(dataset, tmp_path / "study", trials=8, prune="none")
    lines = capsys.readouterr().err.splitlines()
    trials = [line for line in lines if line.startswith("trial ")]
    assert len(trials) == 8 and len(lines) == 10 and not any("pictures" in line for line in lines)
    assert any(line.endswith("diverged in step 1") for line in trials)
    assert re.fullmatch(r"best of 8 trials: Dice -0\.4000.* with train\.learning_rate=\S{1,12}", lines[8]), lines[8]
    for line in trials:
        assert re.match(r"trial \d, train\.learning_rate=\S{1,12}: (Dice -0\.4000|diverged)", line), line


def test_a_loss_is_told_as_a_loss() -> None:
    assert tuning._score_text("loss", -1.0517026) == "loss 1.0517"
    assert tuning._score_text("kid", -3.0) == "KID 3.0000"
    assert tuning._score_text("iou", 0.5) == "IoU 0.5000" and tuning._score_text("dice", None) == ""


def test_a_score_that_is_no_number_is_no_success(
    dataset: Path, tmp_path: Path, pretend: Callable[[Score], None]
) -> None:
    pretend(lambda wanted, _: math.nan if wanted.train.learning_rate < 1e-4 else 1.0)
    result = go(dataset, tmp_path / "study", trials=8, prune="none")
    assert result["failed"] > 0 and result["complete"] > 0 and result["best"]["score"] == 1.0


def test_a_study_of_failures_ends(dataset: Path, tmp_path: Path, pretend: Callable[[Score], None]) -> None:
    def score(wanted: Recipe, number: int) -> float:
        raise DataError("the data are gone")

    pretend(score)
    with pytest.raises(UsageError, match=r"no trial could be trained:\n +trial-0000: error: the data are gone"):
        go(dataset, tmp_path / "study")
    assert len(rows(tmp_path / "study")) == tuning.HOPELESS - 1


def test_a_stopped_trial_is_taken_up_again(dataset: Path, tmp_path: Path, pretend: Callable[[Score], None]) -> None:
    """By a signal: the values are tried again first, and not counted twice."""
    seen: list[float] = []

    def score(wanted: Recipe, number: int) -> float:
        seen.append(wanted.train.learning_rate)
        if len(seen) == 8:
            raise Stopped("stopped")
        return 1.0

    pretend(score)
    with pytest.raises(Stopped):
        go(dataset, tmp_path / "study", trials=3)
    stopped = seen[-1]
    (tmp_path / "study" / "trial-0001" / "recipe.yaml").unlink()  # as if it had been stopped before it was a run
    result = go(dataset, tmp_path / "study", trials=3)
    assert seen[8] == stopped and result["trials"] == result["complete"] == 3
    assert len({row["train.learning_rate"] for row in rows(tmp_path / "study")}) == 3


def test_the_same_command_goes_on_and_another_is_refused(
    dataset: Path, tmp_path: Path, pretend: Callable[[Score], None]
) -> None:
    pretend(lambda wanted, _: wanted.train.learning_rate)
    first = go(dataset, tmp_path / "study", trials=2)
    again = go(dataset, tmp_path / "study", trials=2)
    more = go(dataset, tmp_path / "study", trials=4)
    assert (first["trials"], again["trials"], more["trials"]) == (2, 2, 4)
    for changed in ({"search": ["train.warmup=1..9"]}, {"set": ["train.clip=2"]}, {"steps_per_trial": 7}):
        with pytest.raises(UsageError, match=r"holds a study with another (search|recipe)"):
            go(dataset, tmp_path / "study", **changed)


def test_any_storage_and_any_kind_of_value(dataset: Path, tmp_path: Path, pretend: Callable[[Score], None]) -> None:
    seen: list[Recipe] = []

    def score(wanted: Recipe, number: int) -> float:
        seen.append(wanted)
        return 1.0

    pretend(score)
    url = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    search = ["network.channels=4,8", "train.warmup=0..3", "network.multipliers=[1],[1,2]", "data.augment=none,light"]
    go(dataset, tmp_path / "study", study=url, search=search, trials=8, prune="halving")
    assert (tmp_path / "elsewhere.db").is_file() and not (tmp_path / "study" / "study.db").exists()
    assert {type(wanted.train.warmup) for wanted in seen} == {int}
    assert {wanted.network.multipliers for wanted in seen} == {(1,), (1, 2)}  # type: ignore[union-attr]
    assert {wanted.data.augment for wanted in seen} == {"none", "light"}


@pytest.mark.parametrize(
    ("search", "told"),
    [
        (["train.learning_rat=1e-5..1e-2"], "did you mean learning_rate"),
        (["train.learning_rate=-1..1"], "should be greater than 0"),
        (["train.schedule=cosine,cosin"], "found 'cosin'"),
        (["train.warmup=9..3"], "9 is not below 3"),
        (["train.steps=1..9"], "train.steps cannot be searched: every trial is as long"),
        (["train.clip=1..2", "train.clip=1..3"], "train.clip is searched twice"),
    ],
)
def test_wrong_searches_are_refused_before_anything_runs(
    dataset: Path, tmp_path: Path, search: Sequence[str], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        go(dataset, tmp_path / "study", search=list(search))
    assert not (tmp_path / "study").exists()


def test_other_mistakes(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="length of a trial is unclear"):
        go(dataset, tmp_path / "study", steps_per_trial=None)
    with pytest.raises(UsageError, match="length of a trial is unclear"):
        go(dataset, tmp_path / "study", minutes_per_trial=1.0)
    with pytest.raises(UsageError, match="cannot open the sqlite storage"):
        go(dataset, tmp_path / "study", study="sqlite:////nowhere/at/all.db")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="tune under torchrun"):
        go(dataset, tmp_path / "study")


def test_a_folder_of_somebody_is_no_trial(dataset: Path, tmp_path: Path) -> None:
    own = tmp_path / "study" / "trial-0000" / "thesis.txt"
    own.parent.mkdir(parents=True)
    own.write_text("years")
    tune.segment(dataset, out=tmp_path / "study", trials=1, steps_per_trial=1, search=RATES, set=TINY)
    assert own.read_text() == "years"
    assert "holds no run" in rows(tmp_path / "study")[0]["note"]


@pytest.mark.parametrize("what", ["link", "pipe"])
def test_a_storage_that_is_no_file_is_not_opened(what: str, dataset: Path, tmp_path: Path) -> None:
    study, theirs = tmp_path / "study", tmp_path / "theirs.db"
    study.mkdir()
    (study / "study.db").symlink_to(theirs) if what == "link" else os.mkfifo(study / "study.db")
    with pytest.raises(OSError, match=f"it is a .*{what}, not a file"):
        tune.segment(dataset, out=study, trials=1, steps_per_trial=1, search=RATES, set=TINY)
    assert not theirs.exists()
