"""Nothing that only POSIX has is needed to import the package, to lock, to save and to prepare.

The program `elsewhere.py` has an `os` and a `signal` without it, and renames as Windows does: onto nothing.
"""

import subprocess
import sys
from pathlib import Path


def test_the_package_is_imported_and_works_without_posix(tmp_path):
    command = [sys.executable, Path(__file__).with_name("elsewhere.py"), tmp_path]
    told = subprocess.run(command, capture_output=True, text=True)
    assert told.returncode == 0 and told.stdout.endswith("done\n"), told.stderr
