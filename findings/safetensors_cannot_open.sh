#!/usr/bin/env bash
# safetensors 0.8.0: a file that is there, but cannot be opened, is told as "No such file or directory".
#
# Expected: the error of the system, as `open` gives it: PermissionError for a file that one may not read, OSError with
# errno EMFILE where too many files are open. Seen: `safe_open` and `load_file` raise FileNotFoundError("No such file or
# directory: PATH") for both, without an errno.
#
# It matters to who loads weights: code that downloads again, falls back to another name or starts from scratch on
# FileNotFoundError does so where the weights lie there, unreadable on a shared disk, or in a process of many files.
# The case of too many files is shown here, since the super-user may read everything.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numpy==2.4.6 safetensors==0.8.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import errno
import os
import resource
import sys

import numpy as np
import safetensors
import safetensors.numpy


def said(act) -> OSError | None:
    try:
        act()
    except OSError as error:
        return error
    return None


ACTS = {
    "open": lambda: open("model.safetensors", "rb"),
    "safe_open": lambda: safetensors.safe_open("model.safetensors", "np"),
    "load_file": lambda: safetensors.numpy.load_file("model.safetensors"),
}
safetensors.numpy.save_file({"weight": np.zeros(4)}, "model.safetensors")
safetensors.safe_open("model.safetensors", "np")  # sound, and all modules are loaded
before = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, before[1]))
held = []
while (descriptor := said(lambda: held.append(os.open(os.devnull, os.O_RDONLY)))) is None:
    pass
errors = {name: said(act) for name, act in ACTS.items()}
for descriptor in held:
    os.close(descriptor)
resource.setrlimit(resource.RLIMIT_NOFILE, before)
print(f"safetensors {safetensors.__version__}: a file of {os.path.getsize('model.safetensors')} bytes, 64 files open")
for name, error in errors.items():
    print(f"{name}: {type(error).__name__}, errno {getattr(error, 'errno', None)}: {error}")
told = [errors[name] for name in ("safe_open", "load_file")]
wrong = all(isinstance(error, FileNotFoundError) and error.errno is None for error in told)
sys.exit(0 if errors["open"].errno == errno.EMFILE and wrong else 1)
PYTHON
