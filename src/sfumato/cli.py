"""The command line: parses, calls a command, shows. Commands are named by import path, so `--help` loads no torch."""

import json
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from cyclopts import App, CycloptsError

from sfumato import __version__
from sfumato.errors import ResourceError, SfumatoError

ABOUT = """\
Diffusion models for medical images: segment and synthesise, from a folder of scans to a number one can trust.

Every verb reads folders and writes one new folder. Everywhere: --json prints the result on stdout, --debug shows the
traceback of an error. Exit codes: 0 ok, 1 bug, 2 usage, 3 data, 4 memory or disk, 5 model, 75 stopped after saving.
"""
BUG = "This is a bug in sfumato, not yours. Please report it with the lines above."

app = App(name="sfumato", help=ABOUT, version=__version__, result_action="return_value")
train = App(name="train", help="Train a model on images and masks (segment) or on images (generate).")
evaluate = App(name="evaluate", help="Score predictions against references.")
app.command(train)
app.command(evaluate)

COMMANDS = (
    (app, "demo", "demo:demo", "Toy data, both jobs, a report: all on this machine, in minutes."),
    (app, "toy", "toy:toy", "Make a toy dataset with known truth and known ambiguity."),
    (app, "check", "check:check", "Everything that is wrong with a source, at once, and what it is like."),
    (app, "prepare", "prepare:prepare", "Decode a source once into a dataset that trains fast."),
    (app, "convert", "convert:convert", "A source in another form: folder, zip, npz or nnU-Net raw."),
    (train, "segment", "train:segment", "Train a segmentation model on images and masks."),
    (train, "generate", "train:generate", "Train a model that makes images, class by class."),
    (app, "resume", "train:resume", "Continue a run exactly where it stopped, or extend it."),
    (app, "segment", "segment:segment", "Segment images: masks, probabilities, uncertainty, review order."),
    (app, "generate", "generate:generate", "Make images with a trained model."),
    (app, "reconstruct", "reconstruct:reconstruct", "Noise images to a level and denoise them again."),
    (app, "interpolate", "interpolate:interpolate", "Make the images between two seeds or two images."),
    (evaluate, "masks", "evaluate:masks", "Dice and IoU of predicted masks, beside the deterministic twin."),
    (app, "report", "report:report", "One self-contained HTML page about any folders."),
    (app, "info", "info:info", "What a run, model or dataset is."),
)
for parent, name, target, about in COMMANDS:
    parent.command(f"sfumato.commands.{target}", name=name, help=about)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    flags = {flag: flag in words for flag in ("--json", "--debug")}
    words = [word for word in words if word not in flags]
    try:
        result = app(words, exit_on_error=False, print_error=True)
    except CycloptsError:
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        code = _explain(error, debug=flags["--debug"])
        if flags["--json"] and (known := getattr(error, "result", None)) is not None:
            _write(json.dumps(known, indent=2, default=str), sys.stdout)
        sys.exit(code)
    if flags["--json"]:
        _write(json.dumps(result, indent=2, default=str), sys.stdout)


def _explain(error: Exception, *, debug: bool) -> int:
    """Tell the person; the exit code."""
    known = error if isinstance(error, SfumatoError) else _resource(error)
    if debug or known is None:
        _write("".join(traceback.format_exception(error)), sys.stderr)
    _write(BUG if known is None else str(known), sys.stderr)
    return 1 if known is None else known.exit_code


def _resource(error: Exception) -> ResourceError | None:
    """Out of disk or memory, in words; None for anything else."""
    import errno

    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return ResourceError(f"the disk is full: {error.filename or error}", remedy="free some space and run it again")
    memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if memory or "can't allocate memory" in str(error):
        return ResourceError(
            f"out of memory: {error}",
            remedy="a smaller --batch, or --set train.accumulate=2 for the same batch in two pieces",
        )
    return None


def _write(text: str, stream: Any) -> None:
    stream.write(text.rstrip("\n") + "\n")
    stream.flush()
