"""Work that is shared out, stopped and continued: beside its output lies a ledger of what is finished, until all is.

    .OUT.unfinished-KEY/  files/   the output so far: it becomes OUT when every item is finished
                          aside/   what the end needs and the output does not keep
                          0-of-2/  of each shard: done.jsonl, a line for each item that it finished, and
                                   asked.json, what is made, in the words of the command; KEY is their hash

Shard i of n has the items i, i + n, i + 2n, ... An item is finished when its line is in the ledger of any shard; its
files were written before. So work may go on with another number of shards, and a killed process loses the one item that
it was at. Who comes last finds all items finished, writes what is about all of them, and gives the folder its name.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from sfumato.atomic import write_atomic
from sfumato.errors import UsageError, listed
from sfumato.experiment.claim import Claim, home_of, resolved
from sfumato.experiment.output_folder import claim_output
from sfumato.files import append_to, matching, matching_below, read_file
from sfumato.local import plain_path, token
from sfumato.lock import FolderLock
from sfumato.plain import in_form, ours, parse_json, read_object
from sfumato.progress import say
from sfumato.provenance import read_provenance
from sfumato.shortage import shortages_told
from sfumato.training.launch import adopt_slurm, started_rank, started_world
from sfumato.training.signals import going_on_later

ItemFacts = Mapping[str, Any]
"""What is kept of a finished item for the tables at the end; plain data."""

ASKED, LEDGER = "asked.json", "done.jsonl"


ONLY_HOW = frozenset({"out", "batch", "device", "shard", "overwrite", "dry_run", "interactive"})
"""Flags on which no file depends."""


class Shard(NamedTuple):
    """Which share of the work: `number` of `total`, from 0."""

    number: int
    total: int

    @property
    def folder(self) -> str:
        """The name of the folder with its ledger."""
        return f"{self.number}-of-{self.total}"


SHARE = "number/count from 0/4 to 3/4, say"


def own_shard(share: tuple[int, int]) -> Shard:
    """The share of this process: each process that a launcher started has one, within the share that it is given.

    The processes do not meet: no shard waits for a slower one, and none ends because another failed.

    Args:
        share: number and count, like (0, 4).

    Raises:
        UsageError: there is no such share.
    """
    number, count = share
    if not 0 <= number < count:
        raise UsageError(f"--shard {number}/{count}", expected=SHARE)
    adopt_slurm()
    return Shard(number * started_world() + started_rank(), count * started_world())


def asked_by(flags: Mapping[str, object], **resolved: object) -> dict[str, object]:
    """What the files of a command depend on: its flags, all but those that only say where and how it works.

    Args:
        flags: of the command, by their names in Python.
        **resolved: what they became, such as the hash of the model in place of its path.
    """
    given = {name: value for name, value in {**flags, **resolved}.items() if name not in ONLY_HOW}
    paths = {name: token(plain_path(value)) for name, value in given.items() if isinstance(value, Path)}
    return {name.rstrip("_").replace("_", "-"): value for name, value in (given | paths).items()}


class Finished(NamedTuple):
    """All of the work.

    Attributes:
        files: the folder that becomes the output.
        aside: the folder with what the output does not keep.
        facts: of each item, in the order of the items.
    """

    files: Path
    aside: Path
    facts: list[ItemFacts]


@dataclass(frozen=True, kw_only=True)
class ShardTask:
    """What one process has to do, and where it writes.

    Attributes:
        files: the folder for what the output keeps.
        aside: the folder for what it does not.
        todo: ids of the items that nobody has finished yet, in order.
        ledger: where finished items are noted.
    """

    files: Path
    aside: Path
    todo: Sequence[str]
    ledger: BinaryIO

    def note(self, item: str, **facts: Any) -> None:
        """An item is finished: its files are written."""
        self.ledger.write(json.dumps({"id": item, **facts}).encode() + b"\n")
        self.ledger.flush()


@dataclass(frozen=True, kw_only=True)
class ShardedJob:
    """Something to make, item by item.

    Args:
        out: the folder that is made.
        asked: all that its files depend on, plain data by the words that the person knows it by.
        items: ids, each once, in the order in which they are shared out and listed.
    """

    out: Path
    asked: Mapping[str, object]
    items: Sequence[str]

    @property
    def place(self) -> Path:
        """Where the work is until it is finished."""
        key = hashlib.blake2b(_text(self.asked).encode(), digest_size=6).hexdigest()
        return home_of(self._out) / f"{self._prefix}{key}"

    @property
    def _out(self) -> Path:
        return resolved(self.out)

    @property
    def _prefix(self) -> str:
        return f".{self._out.name}.unfinished-"

    def progress_text(self) -> str:
        """How far the work is."""
        if self.is_done():
            return f"{self.out} is finished"
        done, total = len(self.finished()), len(self.items)
        return f"{self.out}: {done} of {total} are finished, and it appears when all are"

    def is_done(self) -> bool:
        """Whether the output is there and was made by the same command."""
        return not self.place.exists() and _text(read_provenance(self.out).get("asked")) == _text(self.asked)

    def finished(self) -> dict[str, ItemFacts]:
        """What the ledgers of all shards know, by item."""
        return _finished(self.place)

    def claim(self, *, overwrite: bool, inputs: Sequence[Path] = (), used: Sequence[Path] = ()) -> Claim | None:
        """Claim the output; None where the same command has finished it, unless it is to be replaced.

        Raises:
            UsageError: `out` holds something else, see `claim_output`, or another command has begun to make it.
        """
        self._sweep()
        if self.is_done() and not overwrite:
            return None
        claim = claim_output(self.out, overwrite=overwrite, inputs=inputs, used=used)
        for other in self._others():
            if not overwrite and _finished(other):
                words = next(_words(other))
                there = read_object(words, ours(words))
                raise UsageError(
                    f"another command has begun to make {self.out}:\n{listed(_differences(there, self.asked))}",
                    expected="the same command, which continues it",
                    remedy="give another --out, or --overwrite to drop what was begun",
                )
        return claim

    @contextmanager
    def share(self, shard: Shard) -> Iterator[ShardTask]:
        """A share of what is left, held by this process; what other commands began is dropped.

        Where it fails before anybody has finished an item, nothing stays.

        Raises:
            UsageError: another process is at this shard.
        """
        for other in self._others():
            _drop(other)
        try:
            with self._held(shard) as share:
                yield share
        except BaseException:
            with suppress(UsageError, OSError):
                if not self.finished():
                    _drop(self.place)
            raise

    @contextmanager
    def _held(self, shard: Shard) -> Iterator[ShardTask]:
        ours = self.place / shard.folder
        with FolderLock(ours, work="is at this shard"), going_on_later(self.progress_text), shortages_told(self.out):
            for folder in ("files", "aside"):
                (self.place / folder).mkdir(exist_ok=True)
            write_atomic(ours / ASKED, _text(self.asked))
            _mend(ours / LEDGER)
            finished = self.finished()
            todo = [item for item in self.items[shard.number :: shard.total] if item not in finished]
            if finished:
                say(f"{len(finished)} of {len(self.items)} are finished already: {len(todo)} are left to this process")
            with BufferedWriter(append_to(ours / LEDGER)) as ledger:
                yield ShardTask(files=self.place / "files", aside=self.place / "aside", todo=todo, ledger=ledger)

    @contextmanager
    def finishing(self, claim: Claim) -> Iterator[Finished | None]:
        """All of the work, for the process that comes last; when the block ends well, the output has its name.

        None while items are left to other shards, or where another process has come last too.

        Args:
            claim: of the output, from before the work.

        Raises:
            UsageError: something else has come to have the name; the output is kept beside it.
        """
        facts = self.finished()
        with ExitStack() as held:
            lock = None if any(item not in facts for item in self.items) else self._hold(held)
            if lock is None:
                yield None
                return
            files = self.place / "files"
            for draft in matching_below(files, ".*.part"):  # of files that were being written in the moment of a kill
                draft.unlink()
            with shortages_told(self.out):
                yield Finished(files, self.place / "aside", [facts[item] for item in self.items])
            try:
                claim.give(files, self.place)
            finally:
                if not files.is_dir():
                    lock.remove_folder()

    def _hold(self, held: ExitStack) -> FolderLock | None:
        """The lock of the process that alone finishes the work; None for others."""
        with suppress(UsageError):
            lock = held.enter_context(FolderLock(self.place, work="finishes"))
            if (self.place / "files").is_dir():
                return lock
            lock.remove_folder()  # another has finished a moment ago: our lock is alone there
        return None

    def _sweep(self) -> None:
        """Remove what a kill left of finished work, when the output had its name already."""
        if any(_words(self.place)) and not (self.place / "files").is_dir():
            shutil.rmtree(self.place, ignore_errors=True)

    def _others(self) -> list[Path]:
        """What other commands began to make under the same name."""
        beside = self.place.parent.iterdir() if self.place.parent.is_dir() else ()
        return [path for path in sorted(beside) if path.name.startswith(self._prefix) and path != self.place]


def _words(place: Path) -> Iterator[Path]:
    """The files that say what is made; they come after the folder `files`."""
    return (file for shard in matching(place, "*-of-*") for file in matching(shard, ASKED))


def _finished(place: Path) -> dict[str, ItemFacts]:
    finished: dict[str, ItemFacts] = {}
    for ledger in (file for shard in matching(place, "*-of-*") for file in matching(shard, LEDGER)):
        with in_form(ours(ledger)):
            for facts in (parse_json(line, ours(ledger)) for line in _whole_lines(ledger)):
                finished[str(facts["id"])] = facts
    return finished


def _whole_lines(ledger: Path) -> list[bytes]:
    """The lines of a ledger; what a kill cut is left out: its item is made again."""
    *lines, _cut = read_file(ledger).split(b"\n")
    return lines


def _mend(ledger: Path) -> None:
    """Drop a cut last line, so that the next one has a line of its own."""
    if ledger.exists():
        write_atomic(ledger, b"".join(line + b"\n" for line in _whole_lines(ledger)))


def _drop(place: Path) -> None:
    """Remove what was begun, unless a process is at it."""
    for shard in matching(place, "*-of-*"):
        with FolderLock(shard, work="is at another command"):
            pass
    shutil.rmtree(place, ignore_errors=True)


def _text(asked: object) -> str:
    return json.dumps(asked, indent=2, sort_keys=True, default=str)


def _differences(there: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """What was asked then and now, where the two are not the same."""
    return [
        f"{word}: {there.get(word)} then, {now.get(word)} now"
        for word in dict.fromkeys([*there, *now])
        if _text(there.get(word)) != _text(now.get(word))
    ]
