"""A study: trials of a search, asked for by one worker or many, kept by Optuna in any storage that it knows.

A worker asks for a trial while no other worker of the same folder asks (`FolderLock`), and holds a lock of its own as
long as it lives. The kernel drops that lock however the worker ends, so a trial that is at work though its worker's
lock is free was killed: it counts as failed, and its values are tried again, in the same folder, where training
resumes from the last checkpoint. Nobody waits for a heartbeat to stop.
"""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from sfumato.errors import SfumatoError, UsageError
from sfumato.files import check_free_or_file, read_text
from sfumato.lock import FolderLock
from sfumato.randomness import derive_seed
from sfumato.recipe.search import Options, Search, setting
from sfumato.shortage import raise_shortage

if TYPE_CHECKING:
    import optuna

Prune = Literal["median", "halving", "none"]
TrialOutcome = Literal["complete", "pruned", "failed"]

_MOST_TRIES = 3
"""How often a trial may lose its worker before it counts as failed."""

GRACE = timedelta(minutes=1)
"""A trial without a worker's name is as young as this: its worker is about to write it."""

_PLAN, _WORKER, _HOME, _FOLDER, _TRIES, _ERROR = "plan", "worker", "home", "folder", "tries", "error"
"""What is written beside trials in the storage. No path: a storage may stand on another machine."""


class Attempt(NamedTuple):
    """A trial to train.

    Attributes:
        trial: Optuna's.
        folder: name of its run folder; that of the first try.
        settings: its values as `--set` takes them.
    """

    trial: "optuna.Trial"
    folder: str
    settings: tuple[str, ...]

    def report(self, scores: Sequence[float]) -> bool:
        """Tell all validations so far, the oldest first; whether the trial is not worth going on with."""
        known = self.trial.study.trials[self.trial.number].intermediate_values
        for number, score in enumerate(scores, start=1):
            if number not in known:
                self.trial.report(score, number)
        return bool(scores and self.trial.should_prune())


class Result(NamedTuple):
    """A trial that is over.

    Attributes:
        number: Optuna's.
        state: how it ended.
        score: the best of its validations; None without one.
        settings: its values as `--set` takes them.
        folder: name of its run folder.
        note: why it failed.
    """

    number: int
    state: TrialOutcome
    score: float | None
    settings: tuple[str, ...]
    folder: str
    note: str


class Study:
    """A study at work in a folder; a context manager, so that others see that this worker lives.

    Args:
        folder: the study's folder.
        name: of the study in its storage.
        storage: URL of Optuna's storage; None for a file in the folder.
        searches: what is searched.
        plan: what every worker must agree on, as JSON.
        baseline: the recipe's own values of searched fields, tried first where the ranges hold them.
        prune: how trials are given up that fall behind.
        seed: of the values that are tried.

    Raises:
        UsageError: the storage cannot be opened, or holds a study of something else.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        storage: str | None,
        searches: Sequence[Search],
        plan: Mapping[str, Any],
        baseline: Mapping[str, Any],
        prune: Prune,
        seed: int,
    ) -> None:
        self._folder, self._seed = folder, seed
        self._worker = secrets.token_hex(4)
        self._home = _home(folder)
        self._lock = FolderLock(self._workers / self._worker, work="tunes")
        self._distributions = {search.field: _distribution(search) for search in searches}
        with study_lock(folder):
            if storage is None:
                check_free_or_file(folder / "study.db")
            self._study = _open(storage or f"sqlite:///{folder / 'study.db'}", name, _pruner(prune))
            self._begin(plan, baseline)

    def __enter__(self) -> "Study":  # noqa: PYI034 - jaxtyping checks methods one by one, where Self has no meaning
        self._lock.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._lock.remove_folder()

    def ask(self, trials: int) -> Attempt | None:
        """The next trial; None if so many are over or at work."""
        import optuna

        with study_lock(self._folder):
            self._take_back()
            if sum(_counts(trial) for trial in self._study.trials) >= trials:
                return None
            self._study.sampler = optuna.samplers.TPESampler(
                seed=derive_seed(self._seed, "trial", len(self._study.trials)) % 2**32,
                n_startup_trials=max(3, min(10, trials // 3)),
                constant_liar=True,
            )
            trial = self._study.ask(self._distributions)
            told = {_WORKER: self._worker, _HOME: self._home, _TRIES: 1, _FOLDER: f"trial-{trial.number:04d}"}
            for name, value in (told | trial.user_attrs | {_WORKER: self._worker, _HOME: self._home}).items():
                trial.set_user_attr(name, value)
        return Attempt(trial, trial.user_attrs[_FOLDER], _settings(trial.params))

    def tell(self, attempt: Attempt, state: TrialOutcome, *, score: float | None = None, note: str = "") -> None:
        """A trial is over."""
        from optuna.trial import TrialState

        if note:
            attempt.trial.set_user_attr(_ERROR, note)
        states = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
        self._study.tell(attempt.trial, score if state == "complete" else None, state=states[state])

    def results(self) -> list[Result]:
        """The trials that are over, in their order; those that lost their worker and were tried again left out."""
        return [_result(trial) for trial in self._study.trials if trial.state.is_finished() and _counts(trial)]

    @property
    def _workers(self) -> Path:
        return self._folder / "workers"

    def _begin(self, plan: Mapping[str, Any], baseline: Mapping[str, Any]) -> None:
        """Write what the study is about, or check that it is the same."""
        known = self._study.user_attrs.get(_PLAN)
        if known is None:
            self._study.set_user_attr(_PLAN, dict(plan))
            kept = {name: value for name, value in baseline.items() if _holds(self._distributions[name], value)}
            if kept:
                self._study.enqueue_trial(kept)
        elif other := [name for name, value in plan.items() if name in known and known[name] != value]:
            raise UsageError(
                f"{self._folder} holds a study with another {', '.join(other)}",
                expected="the command that started it; --trials may grow",
                remedy="give another --out for a new study",
            )

    def _take_back(self) -> None:
        """Trials whose worker is gone are failed, and their values tried again."""
        from optuna.trial import TrialState

        for trial in self._study.get_trials(states=(TrialState.RUNNING,)):
            if not self._is_dead(trial):
                continue
            self._study.tell(trial.number, state=TrialState.FAIL)
            attrs = trial.user_attrs
            if attrs.get(_TRIES, 1) < _MOST_TRIES:
                again = {_FOLDER: attrs[_FOLDER], _TRIES: attrs[_TRIES] + 1} if _FOLDER in attrs else {}
                self._study.enqueue_trial(trial.params, user_attrs=again)

    def _is_dead(self, trial: "optuna.trial.FrozenTrial") -> bool:
        worker, home = trial.user_attrs.get(_WORKER), trial.user_attrs.get(_HOME)
        if worker is None or home is None:
            return trial.datetime_start is not None and datetime.now() - trial.datetime_start > GRACE
        return home == self._home and worker != self._worker and not self._lives(worker)

    def _lives(self, worker: str) -> bool:
        try:
            with FolderLock(self._workers / worker, work="tunes") as lock:
                lock.remove_folder()
            return False
        except UsageError:
            return True


def study_lock(folder: Path) -> FolderLock:
    """While this is held, no other worker asks, prepares or writes in the study's folder."""
    return FolderLock(folder / "turn", work="tunes", wait=True)


def _home(folder: Path) -> str:
    """A word for the study's folder that says nothing about it: locks in other folders cannot be seen from here."""
    file = folder / "workers" / "home"
    with study_lock(folder):
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            file.write_text(secrets.token_hex(8), encoding="ascii")
    return read_text(file, encoding="ascii")


def _open(url: str, name: str, pruner: "optuna.pruners.BasePruner") -> "optuna.Study":
    """The study in its storage, made if it is not there."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        patient = {"connect_args": {"timeout": 60}}  # seconds that a worker waits for another to write
        storage = optuna.storages.RDBStorage(url, engine_kwargs=patient) if url.startswith("sqlite") else url
        return optuna.create_study(
            storage=storage, study_name=name, direction="maximize", load_if_exists=True, pruner=pruner
        )
    except SfumatoError:
        raise
    except Exception as error:  # every driver has its own
        raise_shortage(error, reading="the storage of the study")
        kind = url.partition("://")[0]
        raise UsageError(
            f"cannot open the {kind} storage of the study: {type(error).__name__}: {str(error).splitlines()[0]}",
            expected="a storage that Optuna knows, such as sqlite:///FILE, postgresql://... or mysql://...",
        ) from error


def _pruner(words: Prune) -> "optuna.pruners.BasePruner":
    """Nothing is given up for its first validation alone."""
    from optuna import pruners

    match words:
        case "median":
            return pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=2)
        case "halving":
            return pruners.SuccessiveHalvingPruner(min_resource=2)
        case "none":
            return pruners.NopPruner()


def _distribution(search: Search) -> "optuna.distributions.BaseDistribution":
    from optuna import distributions

    if isinstance(search, Options):
        return distributions.CategoricalDistribution(search.values)
    if search.whole:
        return distributions.IntDistribution(int(search.low), int(search.high), log=search.log)
    return distributions.FloatDistribution(search.low, search.high, log=search.log)


def _holds(distribution: "optuna.distributions.BaseDistribution", value: Any) -> bool:
    """Whether a search may come upon this value."""
    try:
        return distribution._contains(distribution.to_internal_repr(value))
    except (ValueError, TypeError):  # `auto` is no number
        return False


def _counts(trial: "optuna.trial.FrozenTrial") -> bool:
    """Whether a trial is one of those that were asked for: one that lost its worker is tried again instead."""
    from optuna.trial import TrialState

    if trial.state == TrialState.WAITING:
        return False
    lost = trial.state == TrialState.FAIL and _ERROR not in trial.user_attrs
    return not lost or trial.user_attrs.get(_TRIES, 1) >= _MOST_TRIES


def _result(trial: "optuna.trial.FrozenTrial") -> Result:
    from optuna.trial import TrialState

    states: dict[TrialState, TrialOutcome] = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}
    scores = [trial.value] if trial.state == TrialState.COMPLETE else list(trial.intermediate_values.values())
    note = trial.user_attrs.get(_ERROR, f"its worker ended {_MOST_TRIES} times")
    state = states.get(trial.state, "failed")
    return Result(
        number=trial.number,
        state=state,
        score=max((score for score in scores if score is not None), default=None),
        settings=_settings(trial.params),
        folder=trial.user_attrs[_FOLDER],
        note=note if state == "failed" else "",
    )


def _settings(params: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(setting(field, value) for field, value in params.items())
