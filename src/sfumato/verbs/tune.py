"""Short runs over fields of the recipe, the poor ones given up early.

Every trial is a run like any other, STUDY/trial-0007, of the same length on the same prepared data; its score is the
best of its validations. The same call again goes on, and the same call at the same time is another worker.
"""

import json
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import torch

from sfumato.atomic import write_atomic
from sfumato.builder.task import build_patches
from sfumato.data.contents import dataset_contents, digest_of
from sfumato.data.dataset import Dataset
from sfumato.errors import SfumatoError, Stopped, UsageError, listed
from sfumato.evenly import evenly
from sfumato.experiment.hyperparameter_search import Attempt, Prune, Result, Study, TrialOutcome, study_lock
from sfumato.experiment.output_folder import check_kept_folder
from sfumato.experiment.run import Run, write_recipe
from sfumato.experiment.run_training import prepared, training
from sfumato.experiment.source import AS_FOUND, Reading
from sfumato.metrics.table import heading, is_better_lower
from sfumato.progress import hushed, say
from sfumato.provenance import digest
from sfumato.recipe import LENGTHS, Recipe, TaskKind, load_recipe
from sfumato.recipe.search import DEFAULT_SEARCH, Options, Search, parse_searches, setting
from sfumato.recipe.train import COUNTED, Train, Validate
from sfumato.tables import table_line
from sfumato.tasks.constant_mask import ConstantMask
from sfumato.tasks.held_out import HeldOut
from sfumato.training.log import read_log
from sfumato.training.loop import Diverged
from sfumato.training.processes import choose_device
from sfumato.training.signals import going_on_later
from sfumato.wording import as_setting, counted

VALIDATIONS = 8
"""Times that a trial is validated, where the recipe says nothing else."""

_BEST = "best.yaml"
"""The recipe of the best trial, as long as the recipe itself says."""

EVERY = tuple(f"every_{unit}" for unit in (*COUNTED, "minutes"))
"""Fields of `validate` that say how often."""

_METRICS: Mapping[TaskKind, str] = {"segment": "dice", "generate": "loss"}
"""What a validation measures where the recipe leaves it open."""

TuningVerdict = Literal["better", "no better", "cannot be told"]

HOPELESS = 3
"""So many failures and no success end a study: something is wrong with all of it."""


@dataclass(frozen=True)
class Tuned:
    """A study, as far as it has come.

    Attributes:
        folder: holds a run for each trial, trials.csv, and best.yaml, the recipe of the best one.
        trials: those that are over, in the order in which they began.
        best: the complete trial with the best score; None without one.
        baseline: the score of the recipe as it was; None where it was not tried.
        verdict: "better": train with `recipe`; "no better": no trial is better than one mask for every image;
            "cannot be told": no trial is complete, or all scored alike.
    """

    folder: Path
    trials: Sequence[Result]
    best: Result | None
    baseline: float | None
    verdict: TuningVerdict

    @property
    def recipe(self) -> Path | None:
        """The recipe file of the best trial."""
        return None if self.best is None else self.folder / _BEST

    @property
    def summary(self) -> dict[str, Any]:
        """The study in numbers."""
        states = Counter(result.state for result in self.trials)
        summary: dict[str, Any] = {"study": str(self.folder), "trials": len(self.trials)}
        summary |= {state: states[state] for state in get_args(TrialOutcome)}
        summary["best"] = None
        if self.best is not None:
            summary |= {"best": self.best._asdict(), "baseline": self.baseline, "recipe": str(self.recipe)}
        return {**summary, "verdict": self.verdict}


def tune(
    task: TaskKind,
    source: Path | str,
    *,
    out: Path | str | None = None,
    reading: Reading = AS_FOUND,
    search: Sequence[str] = (DEFAULT_SEARCH,),
    trials: int = 20,
    minutes_per_trial: float | None = None,
    steps_per_trial: int | None = None,
    recipe: Path | str | None = None,
    settings: Sequence[str] = (),
    study: str | None = None,
    prune: Prune = "median",
    seed: int = 0,
    device: str = "auto",
) -> Tuned:
    """Find better settings for training: many short runs, compared by their best validation.

    Args:
        task: segment or generate.
        source: images (with masks) in any form that `prepare` reads, or a prepared dataset.
        out: the study's folder; the same call again goes on with it. By default runs/NAME-tune-TASK.
        reading: what may be said of the source beyond its path.
        search: fields and their values, like "train.learning_rate=1e-5..1e-2:log" or "network.channels=16,32".
        trials: trials in all, over all calls and workers.
        minutes_per_trial: length of a trial in minutes spent training.
        steps_per_trial: length in steps.
        recipe: the recipe file (YAML) to search around.
        settings: over the recipe, in words as on the command line: "train.batch=8".
        study: any storage of Optuna by its URL, for workers on several machines. By default study.db in the folder.
        prune: give up trials below the median of the others, by successive halving, or none.
        seed: of the values that are tried.
        device: auto, cpu, cuda or cuda:N, mps.

    Raises:
        UsageError: a field cannot be searched, the length of a trial is unclear, or not one trial can be trained.
        DataError: the source cannot be trained on.
        Stopped: a signal ended a trial; the same call again goes on with it.
    """
    choose_device(device)
    source, file = Path(source), None if recipe is None else Path(recipe)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            "tune under torchrun", expected="one process for each worker", remedy="start the same command several times"
        )
    settings = [*reading.settings(), *settings]
    searches = parse_searches(search, task=task, file=file, settings=settings)
    own = load_recipe(task, file, settings=settings)
    length = _length(own, minutes=minutes_per_trial, steps=steps_per_trial)
    folder = Path("runs") / f"{source.stem}-tune-{task}" if out is None else Path(out)
    check_kept_folder(folder, source)
    with study_lock(folder):
        dataset, _ = prepared(source, own, folder)
    metric = _METRICS[task] if own.validate_.metric == "auto" else own.validate_.metric
    trial = _Trial(
        task=task, file=file, settings=settings, length=length, folder=folder, dataset=dataset, metric=metric
    )
    baseline = {each.field: value for each in searches if (value := _own_value(own, each)) is not None}
    with (
        going_on_later(lambda: f"{folder} keeps its trials"),
        Study(
            folder,
            name=f"{task}-{folder.resolve().name}",
            storage=study,
            searches=searches,
            plan=_plan(trial.recipe(), searches, dataset),
            baseline=baseline,
            prune=prune,
            seed=seed,
        ) as working,
    ):
        while (attempt := working.ask(trials)) is not None:
            trial.make(attempt, working)
        results = working.results()
    best, before = _best(results), _score_of(results, baseline)
    say(_outcome(folder, results, best, before, metric))
    verdict = _verdict(results, _constant(trial.recipe(), Dataset.open(dataset)))
    return Tuned(folder, results, best, before, verdict)


@dataclass(frozen=True, kw_only=True)
class _Trial:
    """What the trials of a study have in common.

    Attributes:
        task: what is trained.
        file: the recipe file that is searched around.
        settings: over the recipe.
        length: the settings that make a run a trial.
        folder: the study's.
        dataset: prepared once for all.
        metric: what a validation measures.
    """

    task: TaskKind
    file: Path | None
    settings: Sequence[str]
    length: Sequence[str]
    folder: Path
    dataset: Path
    metric: str

    def recipe(self, values: Sequence[str] = ()) -> Recipe:
        """The recipe of a trial with these values, as long as a trial."""
        return load_recipe(self.task, self.file, settings=[*self.settings, *self.length, *values])

    def full_recipe(self, values: Sequence[str]) -> Recipe:
        """The same as long as the recipe itself says."""
        return load_recipe(self.task, self.file, settings=[*self.settings, *values])

    def make(self, attempt: Attempt, study: Study) -> None:
        """Train one, tell the study and the person how it ended, and write what is known by now."""
        run = Run(self.folder / attempt.folder)
        with hushed():
            end = _try(attempt, self.recipe(attempt.settings), run, self.dataset)
        study.tell(attempt, end.state, score=end.score, note=end.note)
        say(_told(attempt, end, _score_text(self.metric, _best_score(run))))
        results = study.results()
        _check_hope(results)
        with study_lock(self.folder):
            _write_results(self.folder, results)
            if best := _best(results):
                write_recipe(self.folder / _BEST, self.full_recipe(best.settings))


def _plan(base: Recipe, searches: Sequence[Search], dataset: Path) -> dict[str, Any]:
    """What every worker of a study must agree on."""
    return {
        "recipe": sha256(base.to_yaml().encode()).hexdigest(),
        "search": [list(each) for each in searches],
        "dataset": digest(dataset),
        "cases": digest_of(dataset_contents(Dataset.open(dataset))),
    }


def _length(own: Recipe, *, minutes: float | None, steps: int | None) -> list[str]:
    """Settings that make a run a trial: its length, and how often it is validated where the recipe does not say.

    Raises:
        UsageError: nothing says how long a trial is, or two things do.
    """
    train, given = own.train, [length for length in (minutes, steps) if length is not None]
    if len(given) > 1 or not (given or train.steps or train.images or train.epochs or train.minutes):
        raise UsageError(
            "the length of a trial is unclear",
            expected="--minutes-per-trial, --steps-per-trial or a length in the recipe",
        )
    settings = []
    if given:
        lengths = {**dict.fromkeys(LENGTHS), "minutes": minutes, "steps": steps}
        settings = [f"train.{name}={'null' if length is None else length}" for name, length in lengths.items()]
        train = train.model_copy(update=lengths)
    if any(getattr(own.validate_, name) != getattr(Validate(), name) for name in EVERY):
        return settings
    return [*settings, *_validations(train)]


def _validations(train: Train) -> list[str]:
    """The setting that makes a trial of this length be validated a fixed number of times."""
    for name in (*COUNTED, "minutes"):
        length = getattr(train, name)
        if length is not None:
            between = max(1, length // VALIDATIONS) if name in ("steps", "images") else length / VALIDATIONS
            return [f"validate.every_{name}={between}"]
    return []


def _own_value(own: Recipe, search: Search) -> Any:
    """What the recipe says about a searched field, as the study writes it; None where it says nothing."""
    value: Any = own.model_dump(mode="json", by_alias=True)
    for key in search.field.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return json.dumps(value) if isinstance(search, Options) else value


class _End(NamedTuple):
    """How a trial ended.

    Attributes:
        state: for the study.
        score: the best of its validations, of a trial that is complete.
        note: what went wrong, for the study and its table.
        text: what a person should know of it, where it is not complete.
    """

    state: TrialOutcome
    score: float | None = None
    note: str = ""
    text: str = ""


def _try(attempt: Attempt, wanted: Recipe, run: Run, dataset: Path) -> _End:
    """Train a trial, or go on with it, to its end, or until others are better by far.

    Raises:
        Stopped: by a signal; the trial has been saved, and goes on when the study does.
    """
    try:
        with closing(training(wanted, run, dataset)) as work:
            for _ in work:
                if attempt.report(_scores(run)):
                    return _End("pruned", text="given up, others were better by now")
    except Stopped:
        raise
    except Diverged as error:
        return _End("pruned", note="diverged", text=f"diverged in step {error.step}")
    except (SfumatoError, MemoryError, torch.OutOfMemoryError) as error:
        note = str(error).splitlines()[0]
        return _End("failed", note=note, text=f"failed, {note}")
    attempt.report(_scores(run))
    best = _best_score(run)
    if best is not None:
        return _End("complete", score=best)
    return _End("failed", note="no validation gave a number", text="failed, no validation gave a number")


def _told(attempt: Attempt, end: _End, reached: str) -> str:
    """A trial in one line: its settings, what it reached, how it ended."""
    settings = ", ".join(map(_rounded, attempt.settings))
    return f"trial {attempt.trial.number}, {settings}: {', '.join(filter(None, (reached, end.text)))}"


def _rounded(words: str) -> str:
    """A setting with no more digits of its number than a person reads; all of them are in trials.csv and the run."""
    field, _, value = words.partition("=")
    try:
        return f"{field}={as_setting(float(value))}"
    except ValueError:
        return words


def _score_text(metric: str, score: float | None) -> str:
    """A score by its metric; of losses and distances, which are better when smaller, the score is the negative."""
    if score is None:
        return ""
    return f"{heading(metric)} {-score if is_better_lower(metric) else score:.4f}"


def _best_score(run: Run) -> float | None:
    """The best of all validations that gave a number; None without one."""
    return max(filter(math.isfinite, _scores(run)), default=None)


def _scores(run: Run) -> list[float]:
    """The scores of all validations so far; the log writes null for one that is not finite."""
    records = read_log(run.folder / "log.jsonl")
    scores = (record["score"] for record in records if record.get("kind") == "validate")
    return [-math.inf if score is None else score for score in scores]


def _check_hope(results: Sequence[Result]) -> None:
    failed = [result for result in results if result.state == "failed"]
    if len(failed) == len(results) >= HOPELESS:
        notes = [f"{result.folder}: {result.note}" for result in failed]
        raise UsageError(f"no trial could be trained:\n{listed(notes)}", remedy="make one of them run with train first")


def _best(results: Sequence[Result]) -> Result | None:
    complete = [result for result in results if result.state == "complete" and result.score is not None]
    return max(complete, key=lambda result: (result.score, -result.number), default=None)


def _write_results(folder: Path, results: Sequence[Result]) -> None:
    """STUDY/trials.csv: a row for each trial."""
    fields = list(dict.fromkeys(each.partition("=")[0] for result in results for each in result.settings))
    lines = [table_line(["trial", "state", "score", *fields, "run", "note"])]
    for result in results:
        values = dict(each.split("=", 1) for each in result.settings)
        cells = [values.get(field, "") for field in fields]
        lines.append(table_line([result.number, result.state, result.score, *cells, result.folder, result.note]))
    write_atomic(folder / "trials.csv", "".join(lines))


def _constant(recipe: Recipe, dataset: Dataset) -> ConstantMask | None:
    """What one mask for all images reaches in a validation of a segmenter; None of images."""
    if recipe.task != "segment":
        return None
    rows = evenly(dataset.rows("validation") or dataset.rows("train"), recipe.validate_.cases)
    held_out = HeldOut(dataset, rows, build_patches(recipe, dataset), recipe.train.seed)
    return held_out.constant("iou" if recipe.validate_.metric == "iou" else "dice")


def _verdict(results: Sequence[Result], constant: ConstantMask | None) -> TuningVerdict:
    """Whether the study says anything: not where no trial has learnt anything, nor where all scored alike."""
    scores = [result.score for result in results if result.state == "complete" and result.score is not None]
    if not scores:
        return "cannot be told"
    if constant is not None and max(scores) <= constant.scores.mean():
        say(
            f"no trial is better than {constant.name}, the same for every image (score {constant.scores.mean():.4f}): "
            "nothing says which settings are better; give longer trials"
        )
        return "no better"
    if len(scores) == 1 or max(scores) == min(scores):
        alike = "a single trial is complete" if len(scores) == 1 else f"all {len(scores)} complete trials score alike"
        say(f"{alike}: nothing says which settings are better")
        return "cannot be told"
    return "better"


def _score_of(results: Sequence[Result], baseline: Mapping[str, Any]) -> float | None:
    """The score of the trial that has the recipe's own values."""
    own = {setting(field, value) for field, value in baseline.items()}
    return next((result.score for result in results if set(result.settings) == own), None)


def _outcome(folder: Path, results: Sequence[Result], best: Result | None, before: float | None, metric: str) -> str:
    """The study in a sentence."""
    trials = counted(len(results), "trial")
    if best is None:
        return f"{folder}: {trials}, none of them complete yet"
    compared = "" if before is None else f" (the recipe as it was: {_score_text(metric, before)})"
    settings = ", ".join(map(_rounded, best.settings))
    return f"best of {trials}: {_score_text(metric, best.score)}{compared} with {settings}"
