"""Shapes are checked: jaxtyping + beartype wrap the modules that state any on import. Nothing waits for the disk."""

import gc
import os
import re
import signal
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

gc.disable()
"""While tests are collected: among the objects of large libraries there is nothing to find, again and again."""

os.environ.setdefault("OMP_NUM_THREADS", "1")
"""Set before NumPy and torch are loaded: threads of two workers that wait for each other cost twice the time."""

import jaxtyping
import torch
from jaxtyping import install_import_hook


def stating_shapes() -> list[str]:
    """The modules of the package that import shapes, by their dotted names; the types of all others are mypy's."""
    root = Path(find_spec("sfumato").origin).parent
    imports = re.compile(r"^from (jaxtyping|sfumato\.typing) import", re.MULTILINE)
    stating = [path for path in sorted(root.rglob("*.py")) if imports.search(path.read_text("utf-8"))]
    return [".".join(path.relative_to(root.parent).with_suffix("").parts) for path in stating]


install_import_hook(stating_shapes(), "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

torch.set_num_threads(1)

sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
"""Compiled once, not at each of the many starts of the command line: containers often come with this set."""

os.fsync = lambda _: None
"""It guards against power cuts, which no test makes; what a process wrote survives its death without."""

signal.signal(signal.SIGINT, signal.default_int_handler)
"""A shell's job in the background ignores it, and so would all that the tests start, and wait to see interrupted."""
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_finish() -> None:
    """From here on what tests leave behind is found; what was loaded is not looked through for it."""
    gc.enable()
    gc.freeze()


END_TO_END = ("/tests/commands/", "/tests/faults/")
"""Tests of whole commands, which take a sixth longer where each call in them is checked, as the others' are."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Shapes are not checked in tests of whole commands, but for those of the two trainings and what they make."""
    checked = ("test_train.py", "test_segment.py", "test_generate.py")
    whole = any(room in item.path.as_posix() for room in END_TO_END) and item.path.name not in checked
    jaxtyping.config.update("jaxtyping_disable", whole)
    return (yield)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=3, help="SIGKILLs of each kill test; a fifth as many SIGTERMs")


@pytest.fixture(autouse=True, scope="session")
def heard() -> Iterator[None]:
    """What commands say is written, as the command line writes it."""
    from sfumato.commands.output.console import Terminal
    from sfumato.progress import listening

    with listening(Terminal()):
        yield


@pytest.fixture(autouse=True)
def led_nowhere() -> Iterator[None]:
    """What one test was led to by a record of others is not told by the next one."""
    from sfumato.local import led_by_others

    yield
    led_by_others()


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    return request.config.getoption("--kills")
