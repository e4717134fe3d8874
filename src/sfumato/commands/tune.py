"""`sfumato tune segment`, `sfumato tune generate`: short runs over fields of the recipe, the poor ones given up early.

Every trial is a run like any other, STUDY/trial-0007, of the same length on the same prepared data; its score is the
best of its validations. The same command again goes on, and the same command at the same time is another worker.
"""

import json
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, get_args

import torch

from sfumato.atomic import write_atomic
from sfumato.commands.flags.device import Device
from sfumato.commands.flags.numbers import Count, Index, Positive
from sfumato.commands.flags.source import AS_FOUND, SourceFlags
from sfumato.data.contents import dataset_contents, digest_of
from sfumato.data.pack import Pack
from sfumato.errors import SfumatoError, Stopped, UsageError, listed
from sfumato.evenly import evenly
from sfumato.experiment.hyperparameter_search import Attempt, Prune, Result, Study, TrialOutcome, study_lock
from sfumato.experiment.output_folder import check_kept_folder
from sfumato.experiment.run import Run, write_recipe
from sfumato.experiment.trainer import prepared, training
from sfumato.metrics.table import heading, is_better_lower
from sfumato.progress import hushed, say
from sfumato.provenance import digest
from sfumato.recipe import LENGTHS, Recipe, TaskKind, load_recipe
from sfumato.recipe.search import DEFAULT_SEARCH, Options, Search, parse_searches, setting
from sfumato.recipe.train import COUNTED, Train, Validate
from sfumato.tables import table_line
from sfumato.tasks.constant_mask import ConstantMask
from sfumato.tasks.segment import constant_of
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

HOPELESS = 3
"""So many failures and no success end a study: something is wrong with all of it."""


def segment(
    source: Path,
    /,
    *,
    flags: SourceFlags = AS_FOUND,
    out: Path | None = None,
    search: list[str] | None = None,
    trials: Count = 20,
    minutes_per_trial: Positive | None = None,
    steps_per_trial: Count | None = None,
    recipe: Path | None = None,
    set: list[str] | None = None,  # noqa: A002 - the flag is --set
    study: str | None = None,
    prune: Prune = "median",
    device: Device = "auto",
    seed: Index = 0,
) -> dict[str, Any]:
    """Find better settings for training a segmentation model.

    Args:
        source: Images or volumes with masks in any form that prepare reads, or a prepared dataset.
        flags: How to read the source.
        out: The study's folder; the same command again resumes it. By default runs/NAME-tune-segment.
        search: A field and its values, like train.learning_rate=1e-5..1e-2:log or network.channels=16,32; repeatable.
        trials: Trials in all, over all resumes and workers.
        minutes_per_trial: Length of a trial in minutes spent training.
        steps_per_trial: Length in steps.
        recipe: The recipe to search around (YAML).
        set: Settings over the recipe, like train.batch=8; may be repeated.
        study: Any storage of Optuna by its URL, for workers on several machines. By default STUDY/study.db.
        prune: Give up trials below the median of the others, by successive halving, or none.
        device: Where to work.
        seed: Of the values that are tried.
    """
    choose_device(device)
    return _tune(
        "segment",
        source,
        out=out,
        search=search,
        trials=trials,
        minutes=minutes_per_trial,
        steps=steps_per_trial,
        file=recipe,
        settings=[*flags.settings(), *(set or [])],
        storage=study,
        prune=prune,
        seed=seed,
    )


def generate(
    source: Path,
    /,
    *,
    flags: SourceFlags = AS_FOUND,
    out: Path | None = None,
    search: list[str] | None = None,
    trials: Count = 20,
    minutes_per_trial: Positive | None = None,
    steps_per_trial: Count | None = None,
    recipe: Path | None = None,
    set: list[str] | None = None,  # noqa: A002 - the flag is --set
    study: str | None = None,
    prune: Prune = "median",
    device: Device = "auto",
    seed: Index = 0,
) -> dict[str, Any]:
    """Find better settings for training a model that makes images.

    Args:
        source: Images or volumes in any form that prepare reads, or a prepared dataset.
        flags: How to read the source.
        out: The study's folder; the same command again resumes it. By default runs/NAME-tune-generate.
        search: A field and its values, like train.learning_rate=1e-5..1e-2:log or network.channels=16,32; repeatable.
        trials: Trials in all, over all resumes and workers.
        minutes_per_trial: Length of a trial in minutes spent training.
        steps_per_trial: Length in steps.
        recipe: The recipe to search around (YAML).
        set: Settings over the recipe, like train.batch=8; may be repeated.
        study: Any storage of Optuna by its URL, for workers on several machines. By default STUDY/study.db.
        prune: Give up trials below the median of the others, by successive halving, or none.
        device: Where to work.
        seed: Of the values that are tried.
    """
    choose_device(device)
    return _tune(
        "generate",
        source,
        out=out,
        search=search,
        trials=trials,
        minutes=minutes_per_trial,
        steps=steps_per_trial,
        file=recipe,
        settings=[*flags.settings(), *(set or [])],
        storage=study,
        prune=prune,
        seed=seed,
    )


def _tune(
    task: TaskKind,
    source: Path,
    *,
    out: Path | None,
    search: list[str] | None,
    trials: int,
    minutes: float | None,
    steps: int | None,
    file: Path | None,
    settings: list[str],
    storage: str | None,
    prune: Prune,
    seed: int,
) -> dict[str, Any]:
    """What both jobs do."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            "tune under torchrun", expected="one process for each worker", remedy="start the same command several times"
        )
    searches = parse_searches(search or [DEFAULT_SEARCH], task=task, file=file, settings=settings)
    own = load_recipe(task, file, settings=settings)
    length = _length(own, minutes=minutes, steps=steps)
    folder = out or Path("runs") / f"{source.stem}-tune-{task}"
    check_kept_folder(folder, source)
    with study_lock(folder):
        dataset, _ = prepared(source, own, folder)
    base = load_recipe(task, file, settings=[*settings, *length])
    plan = {
        "recipe": sha256(base.to_yaml().encode()).hexdigest(),
        "search": [list(each) for each in searches],
        "dataset": digest(dataset),
        "cases": digest_of(dataset_contents(Pack.open(dataset))),
    }
    metric = _METRICS[task] if own.validate_.metric == "auto" else own.validate_.metric
    baseline = {each.field: value for each in searches if (value := _own_value(own, each)) is not None}
    with (
        going_on_later(lambda: f"{folder} keeps its trials"),
        Study(
            folder,
            name=f"{task}-{folder.resolve().name}",
            storage=storage,
            searches=searches,
            plan=plan,
            baseline=baseline,
            prune=prune,
            seed=seed,
        ) as study,
    ):
        while (attempt := study.ask(trials)) is not None:
            wanted = load_recipe(task, file, settings=[*settings, *length, *attempt.settings])
            run = Run(folder / attempt.folder)
            with hushed():
                end = _try(attempt, wanted, run, dataset)
            study.tell(attempt, end.state, score=end.score, note=end.note)
            say(_told(attempt, end, _score_text(metric, _best_score(run))))
            results = study.results()
            _check_hope(results)
            with study_lock(folder):
                _write_results(folder, results)
                if best := _best(results):
                    recipe = load_recipe(task, file, settings=[*settings, *best.settings])
                    write_recipe(folder / _BEST, recipe)
        found = _summary(folder, study.results(), baseline, metric)
        verdict = _verdict(study.results(), _constant(base, Pack.open(dataset)))
        if verdict["verdict"] == "better":
            say(f"train with it: --recipe {folder / _BEST}")
        return found | verdict


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


def _constant(recipe: Recipe, pack: Pack) -> ConstantMask | None:
    """What one mask for all images reaches in a validation of a segmenter; None of images."""
    if recipe.task != "segment":
        return None
    rows = evenly(pack.rows("validation") or pack.rows("train"), recipe.validate_.cases)
    return constant_of(pack, rows, "iou" if recipe.validate_.metric == "iou" else "dice")


def _verdict(results: Sequence[Result], constant: ConstantMask | None) -> dict[str, str]:
    """Whether the study says anything: not where no trial has learnt anything, nor where all scored alike."""
    scores = [result.score for result in results if result.state == "complete" and result.score is not None]
    if not scores:
        return {"verdict": "cannot be told"}
    if constant is not None and max(scores) <= constant.scores.mean():
        say(
            f"no trial is better than {constant.name}, the same for every image (score {constant.scores.mean():.4f}): "
            "nothing says which settings are better; give longer trials"
        )
        return {"verdict": "no better"}
    if len(scores) == 1 or max(scores) == min(scores):
        alike = "a single trial is complete" if len(scores) == 1 else f"all {len(scores)} complete trials score alike"
        say(f"{alike}: nothing says which settings are better")
        return {"verdict": "cannot be told"}
    return {"verdict": "better"}


def _summary(folder: Path, results: Sequence[Result], baseline: Mapping[str, Any], metric: str) -> dict[str, Any]:
    states = Counter(result.state for result in results)
    told = {"study": str(folder), "trials": len(results), **{state: states[state] for state in get_args(TrialOutcome)}}
    best = _best(results)
    trials = counted(len(results), "trial")
    if best is None:
        say(f"{folder}: {trials}, none of them complete yet")
        return {**told, "best": None}
    own = {setting(field, value) for field, value in baseline.items()}
    before = next((result.score for result in results if set(result.settings) == own), None)
    compared = "" if before is None else f" (the recipe as it was: {_score_text(metric, before)})"
    settings = ", ".join(map(_rounded, best.settings))
    say(f"best of {trials}: {_score_text(metric, best.score)}{compared} with {settings}")
    return {**told, "best": best._asdict(), "baseline": before, "recipe": str(folder / _BEST)}
