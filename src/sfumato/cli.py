"""The command line: parses, calls a command, shows. Commands are named by import path, so `--help` loads no torch."""

import json
import os
import re
import shlex
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from cyclopts import App, CycloptsError, MissingArgumentError

from sfumato import __version__
from sfumato.commands.flags.numbers import check_numbers
from sfumato.commands.output.console import SafeConsole, Terminal
from sfumato.commands.output.encoding import write_anything
from sfumato.errors import DataError, ResourceError, SfumatoError, Stopped, UsageError
from sfumato.escape import visible
from sfumato.files import NotAFile
from sfumato.local import led_by_others
from sfumato.networks.factory import allow_code
from sfumato.progress import listening
from sfumato.shortage import shortage
from sfumato.terminal import lasting_streams
from sfumato.training.launch import adopt_slurm, cause_of, failure_line, started_rank, started_world
from sfumato.training.signals import Terminated, ended_in_order

ABOUT = """\
Diffusion models for medical images: segment and synthesise, from a folder of scans to a number one can trust.

Every verb reads folders and writes one new folder. Everywhere: --json prints the result on stdout, --debug shows the
traceback of an error, --allow-code PATH lets a recipe or model build its network by the code in a file or folder of
yours. Exit codes: 0 ok, 1 bug, 2 usage, 3 data, 4 memory or disk, 5 model, 75 stopped after saving, 128 + number: ended
by a signal, with nothing left behind.
"""
ALLOW_CODE = "--allow-code"
PLAIN_FLAG = re.compile(r"--[a-z][a-z-]*")
DASHED = re.compile(r"-[^\w.-]")
"""How a word begins that has a dash and is neither a flag nor a number."""

BUG = "This is a bug in sfumato, not yours. Please report it with the lines above."

app = App(
    name="sfumato",
    help=ABOUT,
    version=__version__,
    result_action="return_value",
    config=check_numbers,
    error_console=SafeConsole(stderr=True),
)
train_app = App(name="train", help="Train a model on images and masks (segment) or on images (generate).")
tune_app = App(name="tune", help="Search for better settings of a training, by short runs of it.")
evaluate_app = App(name="evaluate", help="Score predictions against references.")
app.command(train_app)
app.command(tune_app)
app.command(evaluate_app)

COMMANDS = (
    (app, "demo", "demo:demo", "Toy data, both jobs, a report: all on this machine, in minutes."),
    (app, "toy", "toy:toy", "Make a toy dataset with known truth and known ambiguity."),
    (app, "check", "check:check", "Everything that is wrong with a source, at once, and what it is like."),
    (app, "prepare", "prepare:prepare", "Decode a source once into a dataset that trains fast."),
    (app, "convert", "convert:convert", "A source in another form: folder, zip, npz or nnU-Net raw."),
    (train_app, "segment", "train:segment", "Train a segmentation model on images and masks."),
    (train_app, "generate", "train:generate", "Train a model that makes images, class by class."),
    (tune_app, "segment", "tune:segment", "Find better settings for training a segmentation model."),
    (tune_app, "generate", "tune:generate", "Find better settings for training a model that makes images."),
    (app, "resume", "train:resume", "Continue a run exactly where it stopped, or extend it."),
    (app, "segment", "segment:segment", "Segment images: masks, probabilities, uncertainty, review order."),
    (app, "generate", "generate:generate", "Make images with a trained model."),
    (app, "pair", "pair:pair", "Make images with masks, and keep those that a segmenter reads as the mask says."),
    (app, "reconstruct", "reconstruct:reconstruct", "Noise images to a level and denoise them again."),
    (app, "interpolate", "interpolate:interpolate", "Make the images between two seeds or two images."),
    (
        evaluate_app,
        "masks",
        "evaluate:masks",
        "Predicted masks against true ones: overlap, outlines, calibration, readers.",
    ),
    (app, "audit", "audit:audit", "Does the diffusion part matter? Calls, twin and misled states in one table."),
    (app, "prove", "prove:prove", "Does synthetic data help? Models trained with and without it."),
    (
        evaluate_app,
        "images",
        "evaluate_images:images",
        "Generated images against real ones: distances, diversity, copies.",
    ),
    (app, "reference", "reference:reference", "Statistics of real images in one file, for comparisons without them."),
    (app, "report", "report:report", "One self-contained HTML page about any folders."),
    (app, "ema", "ema:ema", "A model of another average of the weights, after training."),
    (app, "import", "exchange:import_", "A diffusers model as one file that describes itself."),
    (app, "export", "exchange:export", "A model for others: safetensors, or a diffusers pipeline."),
    (app, "bench", "bench:bench", "How fast a recipe trains and samples on this machine, and what fits."),
    (app, "info", "info:info", "What a run, model, dataset or image is."),
    (app, "doctor", "doctor:doctor", "What this machine is, what is installed, and what is wrong with it."),
)
for parent, name, target, about in COMMANDS:
    parent.command(f"sfumato.commands.{target}", name=name, help=about)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    for stream in (sys.stdout, sys.stderr):
        write_anything(stream)
    words = list(sys.argv[1:] if arguments is None else arguments)
    with lasting_streams(), listening(Terminal()):
        code = _run(words)
    if code:
        sys.exit(code)


def _run(words: Sequence[str]) -> int:
    """Run one command and tell what came of it; the exit code."""
    flags = {flag: flag in words for flag in ("--json", "--debug")}
    adopt_slurm()
    os.environ.setdefault("PYTHONSAFEPATH", "1")  # processes that are started look for no module in the current folder
    try:
        with ended_in_order():
            left = _with_values(_without_code([word for word in words if word not in flags]))
            result = app(left, exit_on_error=False, print_error=True)
        if flags["--json"]:
            _write(json.dumps(result, indent=2, default=str), sys.stdout)
    except CycloptsError as error:
        _tell_of_dashes(error, words)
        return 2
    except KeyboardInterrupt:
        return 130
    except Terminated as end:
        _write(f"ended by {signal.Signals(end.number).name}", sys.stderr)
        return end.exit_code
    except Exception as error:
        code = _explain(error, debug=flags["--debug"])
        if flags["--json"] and (known := getattr(error, "result", None)) is not None:
            _write(json.dumps(known, indent=2, default=str), sys.stdout)
        return code
    finally:
        for line in led_by_others():
            _write(f"note: {line}", sys.stderr)
    return 0


def _without_code(words: Sequence[str]) -> list[str]:
    """The words without `--allow-code PATH`; every such path is allowed.

    Raises:
        UsageError: a path is missing, or no code is there.
    """
    left, rest = [], iter(words)
    for word in rest:
        flag, equals, path = word.partition("=")
        if flag != ALLOW_CODE:
            left.append(word)
            continue
        path = path if equals else next(rest, "")
        if not path:
            raise UsageError(f"{ALLOW_CODE} without a path", expected=f"{ALLOW_CODE} nets.py, or a folder of modules")
        allow_code(Path(path))
    return left


def _with_values(words: Sequence[str]) -> list[str]:
    """The words, each flag joined to a value that begins with a dash and is no flag, such as `-(x)-`."""
    left = list[str]()
    for word in words:
        if left and PLAIN_FLAG.fullmatch(left[-1]) and DASHED.match(word):
            left[-1] += f"={word}"
        else:
            left.append(word)
    return left


def _tell_of_dashes(error: CycloptsError, words: Sequence[str]) -> None:
    """Where a flag has no value, but is followed by a word that begins with a dash: how such a value is written."""
    pairs = pairwise(words)
    named = next((pair for pair in pairs if PLAIN_FLAG.fullmatch(pair[0]) and pair[0] in str(error)), None)
    if isinstance(error, MissingArgumentError) and named is not None and named[1].startswith("-"):
        told = f"{named[0]}={shlex.quote(named[1])}"
        _write(f"a value that begins with a dash is written behind an equals sign: {told}", sys.stderr)


def _explain(error: Exception, *, debug: bool) -> int:
    """Tell the person; the exit code. The last line says which of several processes failed, and why."""
    known = error if isinstance(error, SfumatoError) else _of_the_machine(error) or _no_file(error)
    if isinstance(error, Stopped) and started_rank() > 0:
        return error.exit_code
    if debug or known is None:
        _write("".join(traceback.format_exception(error)), sys.stderr)
    _write(BUG if known is None else _told_shortly(known), sys.stderr)
    if started_world() > 1 and not isinstance(error, Stopped):
        _write(failure_line(cause_of(known or error), rank=started_rank(), world=started_world()), sys.stderr)
    return 1 if known is None else known.exit_code


def _told_shortly(error: SfumatoError) -> str:
    """An error with the beginnings of its lists, and the file with all of it, which nobody else may read."""
    short, full = str(error), error.in_full()
    if short == full:
        return short
    try:
        descriptor, file = tempfile.mkstemp(prefix="sfumato-", suffix=".txt")
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as whole:  # noqa: PTH123
            whole.write(full + "\n")
    except OSError:
        return short
    return f"{short}\n  all of it: {file}"


def _of_the_machine(error: Exception) -> SfumatoError | None:
    """What a machine ran out of, forbids, or takes for no name, in words; None for anything else."""
    import errno

    known = shortage(error)
    if known is not None or not isinstance(error, OSError):
        return known
    place = error.filename or "a file"
    if error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
        return ResourceError(f"{place}: {error.strerror}", remedy="check the permissions, or give another --out")
    if error.errno in {errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP, errno.EEXIST}:
        return UsageError(f"{place}: {error.strerror}", remedy="another path")
    return None


def _no_file(error: Exception) -> DataError | None:
    """A pipe, folder or device where a file should be, in words; None for anything else."""
    if not isinstance(error, NotAFile):
        return None
    return DataError(f"{error.filename} cannot be read: {error.strerror}", expected="a file", code="DATA-001")


def _write(text: str, stream: Any) -> None:
    stream.write(visible(text.rstrip("\n"), keep="\n") + "\n")
    stream.flush()


if __name__ == "__main__":
    raise SystemExit("python -m sfumato is how it is started")
