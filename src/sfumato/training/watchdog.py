"""How the failure of one process ends all of them, and how it is told which one failed, and why.

Processes that compute together wait for each other. The first one that fails writes its number, exit code and cause
into the store that all share. There is room for one failure: what fails as its consequence stays silent. A thread of
each process looks there every second, also while its process waits for the others, and ends it without a word.

A process that was killed writes nothing, and one that hangs neither. So each thread leaves a pulse in the store: how
often it beat, and at how many meetings (messages between the processes) its process has arrived. Who waits too long, or
finds a connection broken, names the process whose pulse has stopped, or else the one that misses the meeting.
"""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import NamedTuple

from torch.distributed.distributed_c10d import Store
from torch.distributed.elastic.multiprocessing.errors import get_error_handler

from sfumato.errors import SfumatoError, Stopped
from sfumato.training.launch import cause_of, failure_line

BEAT = 1.0
"""Seconds between two looks into the store."""

PATIENCE = 300.0
"""Seconds that a process waits for the others at a meeting."""

_FAILURE, _SEEN = "failure", "seen"
_BROKEN = ("closed by peer", "Connection reset", "Connection refused", "Broken pipe", "Timed out", "NCCL")
"""What gloo, NCCL and the store say when another process is gone."""


class Failure(NamedTuple):
    """Which process failed, and who tells so.

    Attributes:
        rank: of the process that failed.
        cause: in one line.
        teller: the process that found out.
        code: exit code of all processes.
    """

    rank: int
    cause: str
    teller: int
    code: int = 1


class _Pulse(NamedTuple):
    """How often a thread beat, at how many meetings its process has arrived, and whether its work is at its end."""

    beats: int = 0
    meetings: int = 0
    ended: bool = False


class Watchdog:
    """Watches over the processes that compute together.

    Args:
        store: that all processes share, empty.
        rank: number of this process.
        world: number of processes.
        patience: seconds to wait for the others at a meeting.
    """

    def __init__(self, store: Store, *, rank: int, world: int, patience: float = PATIENCE) -> None:
        self.rank, self.world, self.patience = rank, world, patience
        self._store = store
        self._threads_store: Store = store.clone()  # type: ignore[attr-defined] # torch's stubs lack it
        self._beats = self._meetings = 0
        self._ended = False
        self._waiting_since: float | None = None
        self._over, self._known = threading.Event(), threading.Event()

    @contextmanager
    def meeting(self) -> Iterator[None]:
        """Around each message between the processes."""
        self._meetings += 1
        self._waiting_since = time.monotonic()
        yield
        self._waiting_since = None

    def wait_for_all(self) -> None:
        """Go on when every process has come here, however long one of them works for all."""
        self._meetings += 1
        gate = f"gate/{self._meetings}"
        if self._store.add(gate, 1) == self.world:
            self._store.set(f"{gate}/open", "1")
        self._store.wait([f"{gate}/open"], timedelta(days=30))

    @contextmanager
    def over(self) -> Iterator[None]:
        """Watch until the block ends in all processes; when it fails here, tell the others.

        Raises:
            SystemExit: another process failed before, and tells why.
        """
        thread = threading.Thread(target=self._watch, daemon=True)
        thread.start()
        try:
            yield
            self._ended = True
            self.wait_for_all()
        except Stopped:  # all of them, at the same step
            self.wait_for_all()
            raise
        except BaseException as error:
            self._fail(error)
            raise
        finally:
            self._over.set()
            thread.join()

    def _fail(self, error: BaseException) -> None:
        """In the main thread: tell the others of an error, or follow them where it says that one of them is gone."""
        ours = Failure(self.rank, cause_of(error), self.rank, getattr(error, "exit_code", 1))
        try:
            if not isinstance(error, SfumatoError) and any(word in str(error) for word in _BROKEN):
                signal.signal(signal.SIGTERM, signal.SIG_IGN)  # launchers end the rest before it could say why
                time.sleep(2 * BEAT)
                first = self._settle(self._store, self._missing(self._store) or ours)
            else:
                first = self._settle(self._store, ours)
        except RuntimeError:
            first = self._without_store()
            self._tell(first)
        if first != ours:
            raise SystemExit(first.code)
        if "TORCHELASTIC_ERROR_FILE" in os.environ:
            get_error_handler().record_exception(error)

    def _watch(self) -> None:
        """In the thread: beat, and end the process when another one failed or keeps it waiting."""
        try:
            while not self._over.wait(BEAT) and not self._known.is_set():
                failure = self._beat(self._threads_store)
                if failure is not None and not self._known.is_set():
                    os._exit(self._settle(self._threads_store, failure).code)
        except RuntimeError:  # at the end of the work the store may go a little sooner
            if not self._over.wait(3 * BEAT) and not self._known.is_set():
                self._tell(self._without_store())
                os._exit(1)

    def _beat(self, store: Store) -> Failure | None:
        """Leave a pulse; the failure that was written, or the one that is found now."""
        self._beats += 1
        store.set(f"pulse/{self.rank}", json.dumps(_Pulse(self._beats, self._meetings, self._ended)))
        if store.check([_FAILURE]):
            return Failure(*json.loads(store.get(_FAILURE)))
        since = self._waiting_since
        if since is None or time.monotonic() - since < self.patience:
            return None
        slow = f"a message between the processes takes longer than {self.patience:.0f} s"
        return self._missing(store) or Failure(self.rank, slow, self.rank)

    def _settle(self, store: Store, failure: Failure) -> Failure:
        """Write a failure unless there is one, and let all processes learn of it; the one that counts.

        Its teller waits for the others, which keep silent and give it time to speak: launchers take the first process
        that ends for the cause.
        """
        self._known.set()
        first = Failure(*json.loads(store.compare_set(_FAILURE, "", json.dumps(failure))))
        store.add(_SEEN, 1)
        if first.teller != self.rank:
            time.sleep(2 * BEAT)
            return first
        late = time.monotonic() + 3 * BEAT
        with suppress(RuntimeError):  # the process that keeps the store may have left: it has learned of it
            while store.add(_SEEN, 0) < self.world and time.monotonic() < late:
                time.sleep(BEAT / 20)
        if first.rank != self.rank or threading.current_thread() is not threading.main_thread():
            self._tell(first)
        return first

    def _missing(self, store: Store) -> Failure | None:
        """The first process whose pulse has stopped, or that was at fewer meetings than this one."""
        before = self._pulses(store)
        time.sleep(2.5 * BEAT)
        for rank, (old, new) in enumerate(zip(before, self._pulses(store), strict=True)):
            if rank == self.rank:
                continue
            if old.beats == new.beats:
                return Failure(rank, "it was killed, or stopped, or its machine is gone", self.rank)
            if new.ended:
                return Failure(rank, "it came to the end of its work before the others", self.rank)
            if new.meetings < self._meetings:
                return Failure(rank, f"it hangs: the others waited {self.patience:.0f} s for it", self.rank)
        return None

    def _pulses(self, store: Store) -> list[_Pulse]:
        names = [f"pulse/{rank}" for rank in range(self.world)]
        return [_Pulse(*json.loads(store.get(name))) if store.check([name]) else _Pulse() for name in names]

    def _without_store(self) -> Failure:
        return Failure(0, "it was killed, or its machine is gone, and the store that it keeps for all", self.rank)

    def _tell(self, failure: Failure) -> None:
        sys.stderr.write(failure_line(failure.cause, rank=failure.rank, world=self.world) + "\n")
        sys.stderr.flush()
