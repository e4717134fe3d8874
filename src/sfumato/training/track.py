"""Trackers: a run's numbers in a program that draws them, while the run goes on.

A tracker has three methods: start, record, close. It works in a thread of its own, so that training never waits for a
network, and whatever it raises, whenever, costs the run this tracker and one warning.

What a tracker has is known by a *place*: the name of its run and the last step that it was told of whole. A resumed run
goes on from there with what RUN/log.jsonl says, so nothing is told twice and nothing that a kill cut off is missing; a
tracker that is added to a run half way gets its beginning too. Only numbers of the log are handed over, and pictures
where the caller gives them.
"""

import json
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from sfumato.atomic import write_atomic
from sfumato.errors import SfumatoError
from sfumato.files import read_text
from sfumato.recipe.track import Word
from sfumato.training.log import read_log

PAUSE_SECONDS = 5.0
"""Between two times that a tracker is handed what has come in."""

CLOSE_SECONDS = 60.0
"""How long the end of a run waits for its trackers."""

LONGEST_QUEUE = 100_000
"""Entries that may wait for a tracker before it counts as stuck."""


class LogEntry(NamedTuple):
    """What a tracker is told of a step.

    Attributes:
        step: number of steps done.
        numbers: finite numbers by their name, such as `train/loss`.
        picture: uint8 (h, w, c), if there is one.
    """

    step: int
    numbers: Mapping[str, float]
    picture: np.ndarray | None = None


class ResumePoint(NamedTuple):
    """Where a tracker goes on.

    Attributes:
        run: what the tracker calls this run; None before it has been told of it.
        step: the last step of which it was told everything.
    """

    run: str | None = None
    step: int = 0


@runtime_checkable
class Tracker(Protocol):
    """A program that keeps numbers. Any of the three methods may raise anything: the tracker is then left out."""

    @property
    def name(self) -> str:
        """Its name, also that of the extra which installs it."""
        ...

    def start(self, words: Mapping[str, Word], place: ResumePoint) -> ResumePoint:
        """Begin or continue a run.

        Args:
            words: what the recipe says; numbers and words out of a closed list.
            place: where the run folder says that this tracker stopped.

        Returns:
            Where it goes on, if it knows better: the run's name at least.
        """
        ...

    def record(self, entries: Sequence[LogEntry]) -> None:
        """Take entries in the order of their steps."""
        ...

    def close(self) -> None:
        """End the run; nothing comes after."""
        ...


class Tracking:
    """The trackers of a run; a context manager, within which `record` and `picture` may be called.

    Args:
        trackers: which.
        folder: the run folder, whose log says what happened before.
        words: what they may know of the recipe.
        step: the step from which the run goes on; later records of the log are not true any more.
        warn: told once for each tracker that fails.
    """

    def __init__(
        self,
        trackers: Sequence[Tracker],
        folder: Path,
        *,
        words: Mapping[str, Word],
        step: int = 0,
        warn: Callable[[str], None],
    ) -> None:
        self._threads = [_Thread(tracker, folder / "trackers" / f"{tracker.name}.json", words) for tracker in trackers]
        self._log, self._step, self._warn = folder / "log.jsonl", step, warn

    def record(self, record: Mapping[str, Any]) -> None:
        """Hand a record of the log to every tracker."""
        if self._threads:
            self._put(_entry(record))

    def picture(self, step: int, picture: np.ndarray) -> None:
        """Hand a picture, uint8 (h, w, c), to every tracker."""
        self._put(LogEntry(step, {}, picture))

    def _put(self, entry: LogEntry) -> None:
        for thread in self._threads:
            thread.put(entry)
        self._drop_failed()

    def _drop_failed(self) -> None:
        for thread in [thread for thread in self._threads if thread.failure is not None]:
            self._threads.remove(thread)
            thread.end(whole=False)
            self._warn(_warning(thread.tracker.name, thread.failure))

    def __enter__(self) -> "Tracking":  # noqa: PYI034 - jaxtyping checks methods one by one, where Self has no meaning
        before = (record for record in read_log(self._log) if record["step"] <= self._step) if self._threads else ()
        earlier = [_entry(record) for record in before]
        for thread in self._threads:
            thread.begin(earlier)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Our own errors come between two steps; any other may have cut one short, whose rest a resumed run will tell.
        whole = error is None or isinstance(error, SfumatoError)
        until = time.monotonic() + CLOSE_SECONDS
        for thread in self._threads:
            thread.end(whole=whole)
        for thread in self._threads:
            thread.wait(until - time.monotonic())
        self._drop_failed()


class _Thread:
    """One tracker at work beside the training."""

    def __init__(self, tracker: Tracker, file: Path, words: Mapping[str, Word]) -> None:
        self.tracker = tracker
        self.failure: Exception | None = None
        self._file, self._words = file, words
        self._waiting: deque[LogEntry] = deque()
        self._ends, self._whole = threading.Event(), True
        self._thread = threading.Thread(target=self._work, name=f"tracker {tracker.name}", daemon=True)

    def begin(self, earlier: Sequence[LogEntry]) -> None:
        self._waiting.extend(earlier)
        self._thread.start()

    def put(self, entry: LogEntry) -> None:
        self._waiting.append(entry)
        if len(self._waiting) > LONGEST_QUEUE:
            self.failure = TimeoutError(f"{LONGEST_QUEUE} entries wait for it")

    def end(self, *, whole: bool) -> None:
        self._whole = whole
        self._ends.set()

    def wait(self, seconds: float) -> None:
        self._thread.join(max(0.0, seconds))
        if self._thread.is_alive():
            self.failure = TimeoutError(f"it did not finish within {CLOSE_SECONDS:g} seconds")

    def _work(self) -> None:
        try:
            place = self.tracker.start(self._words, self._kept())
            self._keep(place)
            while not self._ends.wait(PAUSE_SECONDS):
                place = self._hand_over(place, whole=False)
            self._hand_over(place, whole=self._whole)
            self.tracker.close()
        except Exception as error:  # of a foreign program anything is possible, and nothing may stop the run
            self.failure = error

    def _hand_over(self, place: ResumePoint, *, whole: bool) -> ResumePoint:
        """Hand over what waits; of the newest step more may come, so it stays unless it is `whole`."""
        waiting = self._waiting
        newest = waiting[-1].step if waiting else 0
        ready = []
        while waiting and (whole or waiting[0].step < newest):
            ready.append(waiting.popleft())
        fresh = [entry for entry in ready if entry.step > place.step]
        if not fresh:
            return place
        self.tracker.record(fresh)
        place = place._replace(step=fresh[-1].step)
        self._keep(place)
        return place

    def _kept(self) -> ResumePoint:
        return ResumePoint(**json.loads(read_text(self._file))) if self._file.is_file() else ResumePoint()

    def _keep(self, place: ResumePoint) -> None:
        self._file.parent.mkdir(exist_ok=True)
        write_atomic(self._file, json.dumps(place._asdict()) + "\n", sync=False)


def _entry(record: Mapping[str, Any]) -> LogEntry:
    """The finite numbers of a log record, named after its kind."""
    numbers = {
        f"{record.get('kind', 'run')}/{name}": float(value)
        for name, value in record.items()
        if name != "step" and isinstance(value, int | float) and math.isfinite(value)
    }
    return LogEntry(record["step"], numbers)


def _warning(name: str, failure: Exception | None) -> str:
    if isinstance(failure, ModuleNotFoundError):
        return f"{name} is not installed: pip install 'sfumato[{name}]'. Training goes on without it"
    reason = str(failure).strip().split("\n")[0].rstrip(".") or type(failure).__name__
    return f"{name} failed and is left out: {reason}. Training goes on; log.jsonl in the run has all numbers"
