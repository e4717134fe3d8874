"""A program: sfumato without what only POSIX has, as far as it looks. A rename is onto nothing, and of nothing that is
mapped into memory.

It imports every module of the package, then prepares, saves, replaces and locks in the folder that it is given.
"""

import builtins
import importlib
import os
import pkgutil
import signal
import sys
import types
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import sfumato

MODULES = ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "readline", "curses")

OF_OS = """
fork forkpty getuid geteuid getgid getegid getgroups getpgid getpgrp setsid setpgid killpg wait3 wait4 waitid
sched_getaffinity sched_setaffinity sched_yield sysconf sysconf_names confstr pathconf statvfs fstatvfs chown fchown
lchown chroot mkfifo mknod nice uname pread pwrite preadv pwritev readv writev sync fdatasync posix_fallocate
posix_fadvise posix_spawn lockf getloadavg getpriority setpriority ttyname openpty register_at_fork initgroups
sendfile splice getresuid O_DIRECTORY O_NOFOLLOW O_NONBLOCK O_CLOEXEC O_SYNC O_NOCTTY O_TMPFILE
"""

OF_SIGNAL = """
SIGHUP SIGUSR1 SIGUSR2 SIGKILL SIGQUIT SIGALRM SIGCHLD SIGCONT SIGSTOP SIGPIPE SIGTSTP SIGXFSZ SIGXCPU SIGWINCH
SIGBUS SIGSYS SIGTRAP alarm setitimer getitimer pause sigwait sigpending pthread_kill pthread_sigmask siginterrupt
"""


def without(module: types.ModuleType, names: Container[str], **others: object) -> types.ModuleType:
    """A module that lacks some names."""
    less = types.ModuleType(module.__name__)
    less.__dict__.update({name: value for name, value in vars(module).items() if name not in names} | others)
    return less


def leave_posix() -> None:
    """Let modules of sfumato, and no others, find what Windows has."""
    less = {
        "os": without(os, OF_OS.split(), name="nt", open=_open_file),
        "signal": without(signal, OF_SIGNAL.split()),
    }
    ordinary_import, ordinary_rename = builtins.__import__, Path.rename

    def restricted_import(name: str, *rest: Any, **named: Any) -> types.ModuleType:
        importer = dict(zip(("globals", "locals", "fromlist", "level"), rest, strict=False)) | named
        if importer.get("level", 0) == 0 and _is_ours(importer.get("globals")):
            if name in MODULES:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            if name in less:
                return less[name]
        return ordinary_import(name, *rest, **named)

    def restricted_rename(path: Path, target: Path) -> Path:
        if os.path.lexists(target):
            raise FileExistsError(target)
        if _is_mapped(path):
            raise PermissionError(path)
        return ordinary_rename(path, target)

    builtins.__import__ = restricted_import
    Path.rename = restricted_rename


def _is_mapped(folder: Path) -> bool:
    """Whether this process has a file in a folder mapped into its memory; Linux alone says it."""
    maps = Path("/proc/self/maps")
    return maps.exists() and f"{folder.resolve()}{os.sep}" in maps.read_text()


def _open_file(path: Path, *rest: int) -> int:
    if Path(path).is_dir():
        raise PermissionError(path)
    return os.open(path, *rest)


def _is_ours(importer: Mapping[str, Any] | None) -> bool:
    return str((importer or {}).get("__name__")).startswith("sfumato.")


def import_all() -> None:
    """Every module of the package."""
    for module in pkgutil.walk_packages(sfumato.__path__, "sfumato."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def work(here: Path) -> None:
    """What every command stands on."""
    import torch

    from sfumato.commands.toy import toy
    from sfumato.experiment.output_folder import output_folder
    from sfumato.lock import FolderLock
    from sfumato.provenance import write_provenance
    from sfumato.training import checkpoint, hardware, signals, speed
    from sfumato.verbs.prepare import Preparation, prepare

    toy(here / "scans", cases=12, size=16)
    for overwrite in (False, True):
        as_said = Preparation(intensity="percentile")
        prepare(here / "scans", out=here / "dataset", preparation=as_said, overwrite=overwrite)
        with output_folder(here / "out", overwrite=overwrite) as folder:
            write_provenance(folder, inputs={})
    for step in (1, 2, 3):
        tensors = {"model": {"weight": torch.zeros(2)}}
        checkpoint.save(here / "checkpoints", step=step, tensors=tensors, headers={}, state={"step": step})
    newest = checkpoint.newest(here / "checkpoints")
    assert newest is not None and newest.state == {"step": 3}
    with FolderLock(here / "run", work="trains") as lock, signals.signals_to_stop() as stop:
        assert not stop()
        lock.remove_folder()
    assert 0 < speed.free_memory() <= hardware.total_memory() and hardware.available_cores() > 0


if __name__ == "__main__":
    leave_posix()
    import_all()
    work(Path(sys.argv[1]))
    print("done")
