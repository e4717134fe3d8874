#!/usr/bin/env bash
# importlib_metadata 10.2.0, a backport, and importlib.metadata of Python 3.11 to 3.13: importing one changes the other.
#
# One would expect: a package from the index has its own functions, and the module of the standard library goes on
# giving objects of its own classes, whatever else a program imports.
# What happens: importing importlib_metadata takes the finder of distributions away from the standard library and puts
# its own in its place. From then on importlib.metadata.distribution(), files() and entry points give objects of the
# backport: isinstance(..., importlib.metadata.Distribution), which was True a line before, is False.
#
# Why it matters: MLflow imports the backport, and so does MONAI where MLflow is installed. Code that checks types at
# run time (beartype, isinstance) and looks for plug-ins or versions works alone, and fails in the program that has
# imported MONAI first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check importlib-metadata==10.2.0
cat > "$folder/program.py" <<'PROGRAM'
import sys
from importlib import metadata


def seen() -> dict[str, tuple[str, bool]]:
    """What the standard library gives: the module of its class, and whether it is of the standard class."""
    distribution = metadata.distribution("pip")
    file = (metadata.files("pip") or [])[0]
    point = next(iter(distribution.entry_points))
    found = {
        "distribution": (distribution, metadata.Distribution),
        "file": (file, metadata.PackagePath),
        "entry point": (point, metadata.EntryPoint),
    }
    return {name: (type(each).__module__, isinstance(each, kind)) for name, (each, kind) in found.items()}


before = seen()
import importlib_metadata  # noqa: E402

after = seen()
print(f"Python {sys.version.split()[0]}, importlib_metadata {metadata.version('importlib_metadata')}")
for name in before:
    print(f"{name} by importlib.metadata: {before[name]} before, {after[name]} after the import of the backport")
changed = all(before[name][1] and not after[name][1] for name in before)
sys.exit(0 if changed else 1)
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
