"""Damaged files of every form by the hundred thousand: what a reader lets through that is neither pixels nor an error.

The forms and the damage are those of `tests/faults/test_fuzz.py`. Each batch is read in a process of its own, with a
limit on memory and time; a batch that fails is told with its form, its seed and the smallest damage that fails, and a
process that was killed with the file that it read last.

    python benchmarks/fuzz.py --minutes 10
    python benchmarks/fuzz.py --form "TIFF LZW" --seed 17     # the same batch again
"""

import argparse
import multiprocessing
import os
import resource
import sys
import time
import traceback
import zlib
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.faults.mutations import EDITS, Edit, check, check_content, damaged
from tests.faults.sound import SOUND, Sound

PHASES = (Phase.generate, Phase.shrink)

FILES = 100
"""Damaged files in a batch."""

MEMORY = 512 * 2**20
"""Bytes that reading may take beyond what the process has at its start."""

SECONDS = 120
"""Processor time of a batch."""


class Batch(NamedTuple):
    """What came of a batch.

    Attributes:
        files: how many were read.
        accepted: how many of them gave pixels.
        failure: what went wrong; empty if nothing did.
    """

    files: int
    accepted: int
    failure: str


def run(sound: Sound, seed: int, folder: Path) -> Batch:
    """A batch in a process of its own."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=work, args=(sound, seed, folder / "last", theirs))
    process.start()
    theirs.close()
    try:
        if not ours.poll(10 * SECONDS):
            process.kill()
        batch: Batch = ours.recv()
    except EOFError:
        process.join()
        kept = folder / f"killed {sound.name.replace('/', ' ')} {seed}"
        (folder / "last").rename(kept)
        batch = Batch(0, 0, f"the process was killed (exit code {process.exitcode}) while it read {kept}")
    process.join()
    return batch


def work(sound: Sound, seed: int, last: Path, answer: Connection) -> None:
    """Read the files of a batch, within limits."""
    allowed = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE") + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff says there what it finds wrong
    results: list[bool] = []

    @seeded(zlib.crc32(f"{sound.name} {seed}".encode()))
    @settings(max_examples=FILES, phases=PHASES, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(edits=EDITS)
    def damage(edits: list[Edit]) -> None:
        content = damaged(sound, edits)
        last.write_bytes(content)
        results.append(check_content(sound, content))

    failure = ""
    try:
        damage()
    except BaseException as error:  # whatever it is, it is what was looked for
        failure = "".join(traceback.format_exception(error, limit=-4))
    answer.send(Batch(len(results), sum(results), failure))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--form", help="of this form only")
    parser.add_argument("--seed", type=int, help="a single round with this seed")
    parser.add_argument("--keep", type=Path, help="folder for files that end a process")
    arguments = parser.parse_args()
    os.nice(10)
    forms = [sound for sound in SOUND if arguments.form in (None, sound.name)]
    for sound in forms:
        assert check(sound, []), f"{sound.name} is not sound"  # and imports all that reading needs, once
    files, accepted, failures = Counter[str](), Counter[str](), 0
    end, seed = time.monotonic() + 60 * arguments.minutes, arguments.seed or 0
    with TemporaryDirectory() as name:
        folder = arguments.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        while time.monotonic() < end:
            for sound in forms:
                batch = run(sound, seed, folder)
                files[sound.name] += batch.files
                accepted[sound.name] += batch.accepted
                if batch.failure:
                    failures += 1
                    print(f"--- {sound.name}, seed {seed}\n{batch.failure}", flush=True)
            if arguments.seed is not None:
                break
            seed += 1
    for sound in forms:
        print(f"{sound.name:34} {files[sound.name]:7} files, {accepted[sound.name]:7} accepted")
    print(f"{'all':34} {files.total():7} files, {accepted.total():7} accepted, {failures} failures")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
