"""What a machine runs out of is told as such, and never as damage of a sound file."""

import ast
import errno
import gc
import importlib.util
import os
import re
import resource
import sqlite3
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import tifffile
import torch
from PIL import Image

import sfumato
from sfumato.data.formats.image import read_image
from sfumato.data.formats.nifti import write_volume
from sfumato.data.formats.scan import is_volume
from sfumato.errors import DataError, ModelError, ResourceError
from sfumato.shortage import raise_shortage, shortage, shortages_told
from sfumato.training import checkpoint
from sfumato.training.weights import load_weights

Act = Callable[[Path], object]


def raised(act: Act, folder: Path) -> BaseException:
    with pytest.raises(BaseException) as caught:
        act(folder)
    return caught.value


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # before 3.12.8 half a file stays
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)  # archives try to write their end once more
    yield
    gc.collect()
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, shape, np.uint8)


def zipped(folder: Path) -> None:
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("a", noise(9000).tobytes())


def in_database(folder: Path) -> None:
    base = sqlite3.connect(folder / "a.db")
    base.execute("create table a(b)")
    base.execute("insert into a values (?)", (bytes(9000),))
    base.commit()


WRITERS: dict[str, Act] = {
    "numpy": lambda folder: np.save(folder / "a.npy", noise(9000)),
    "npz": lambda folder: np.savez(folder / "a.npz", a=noise(9000)),
    "bytes": lambda folder: (folder / "a").write_bytes(bytes(9000)),
    "pillow": lambda folder: Image.fromarray(noise(90, 90)).save(folder / "a.png"),
    "tifffile": lambda folder: tifffile.imwrite(folder / "a.tif", noise(90, 90)),
    "safetensors": lambda folder: safetensors.numpy.save_file({"a": noise(9000)}, folder / "a.safetensors"),
    "zip": zipped,
    "truncate": lambda folder: ((folder / "a").touch(), os.truncate(folder / "a", 9000)),
    "sqlite": in_database,
}


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("writer", WRITERS)
def test_a_limit_on_the_size_of_files(tmp_path: Path, writer: str) -> None:
    found = shortage(raised(WRITERS[writer], tmp_path), disk=tmp_path)
    assert found is not None
    assert found.finding.startswith(
        f"a file would become larger than files may be here: {tmp_path}: the limit is 2,000"
    )
    assert "ulimit -f" in found.remedy


@pytest.fixture
def no_more_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    Image.init(), np.zeros(1).tofile(os.devnull)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, before[1]))
    held = []
    try:
        while True:
            held.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
    yield
    for descriptor in held:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """A folder of sound files, among them a checkpoint."""
    Image.fromarray(noise(30, 30)).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", noise(30, 30))
    np.save(tmp_path / "a.npy", noise(2, 30, 30))
    np.savez(tmp_path / "a.npz", a=noise(2, 30, 30))
    write_volume(tmp_path / "a.nii.gz", noise(4, 4, 4), np.eye(4))
    (tmp_path / "IM0001").write_bytes(bytes(128) + b"DICM")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "a.png", "a.png")
    safetensors.numpy.save_file({"a": noise(9)}, tmp_path / "a.safetensors")
    for step in (1, 2):
        tensors = {"model": {"weight": torch.zeros(4)}}
        checkpoint.save(tmp_path / "checkpoints", step=step, tensors=tensors, headers={}, state={})
    return tmp_path


READERS: dict[str, Act] = {
    **{
        name: lambda folder, name=name: read_image(str(folder / name))
        for name in ("a.png", "a.tif", "a.npy::0", "a.npz::a/0", "a.nii.gz::axial/0", "a.zip::a.png", "IM0001")
    },
    "is_volume": lambda folder: is_volume(folder / "IM0001"),
    "weights": lambda folder: load_weights(folder / "a.safetensors"),
    "checkpoint": lambda folder: checkpoint.newest(folder / "checkpoints"),
}


@pytest.mark.parametrize("reader", READERS)
def test_too_many_open_files_are_no_damage(sound: Path, reader: str, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("no_more_files")
    error = raised(READERS[reader], sound)
    assert not isinstance(error, DataError | ModelError), error
    found = shortage(error)
    assert found is not None
    assert "too many files are open at once" in found.finding
    assert "the limit is 64" in found.finding


LARGE = {
    "a.png": lambda path, pixels: Image.fromarray(pixels).save(path, compress_level=1),
    "a.jpg": lambda path, pixels: Image.fromarray(pixels).save(path),
    "a.gif": lambda path, pixels: Image.fromarray(pixels).save(path),
    "a.tif": lambda path, pixels: tifffile.imwrite(path, pixels, compression="zlib"),
    "lzw.tif": lambda path, pixels: Image.fromarray(pixels).save(path, compression="tiff_lzw"),
    "a.npz": lambda path, pixels: np.savez(path, a=pixels),
    "a.nii.gz": lambda path, pixels: write_volume(path, pixels[..., None], np.eye(4)),
}


READ_IN_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from sfumato.data.formats.image import read_image
from sfumato.errors import ResourceError
small, large = sys.argv[1:]
read_image(small)  # what it needs is loaded now
pages = int(Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 10 * 2**20, resource.RLIM_INFINITY))
try:
    read_image(large)
except ResourceError as error:
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(error)
"""
"""Ten more megabytes than are there, in a process of its own: this one keeps for itself what tests gave back."""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no way to know how much memory is in use")
@pytest.mark.parametrize("name", LARGE)
def test_too_little_memory_is_no_damage(tmp_path: Path, name: str) -> None:
    pixels = np.zeros((9400, 9400), np.uint8)
    pixels[::3] = noise(3134, 1)
    member = {"a.npz": "::a", "a.nii.gz": "::axial/0"}.get(name, "")
    for folder, shown in (("small", pixels[:8, :8]), ("large", pixels)):
        (tmp_path / folder).mkdir()
        LARGE[name](tmp_path / folder / name, shown)
    files = [f"{tmp_path / folder / name}{member}" for folder in ("small", "large")]
    told = subprocess.run(
        [sys.executable, "-c", READ_IN_LITTLE_MEMORY, *files], capture_output=True, text=True, check=False
    )
    assert re.search(f"out of memory while .*large/{name}.* was read", told.stdout), told
    assert "--workers" in told.stdout


def test_a_damaged_header_is_no_shortage(tmp_path: Path) -> None:
    """Python's parser says that memory ran out where brackets are nested too deeply."""
    header = ("{'descr': " + "-" * 9000 + "1}").encode().ljust(9500) + b"\n"
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\0" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(DataError, match=r"a\.npy cannot be read"):
        read_image(f"{tmp_path / 'a.npy'}::0")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "quota"),
        (OSError(errno.EIO, "Input/output error"), "disk or network share fails"),
        (OSError(errno.ESTALE, "Stale file handle"), "disk or network share fails"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "no more processes or threads"),
        (OSError("90000 requested and 1872 written"), "the disk is full"),
        (MemoryError(), "out of memory"),
        (RuntimeError("can't start new thread"), "no more processes or threads"),
        (RuntimeError("unable to mmap 100 bytes from file </x>: Cannot allocate memory (12)"), "out of memory"),
        (RuntimeError("unable to open shared memory object </torch_1> in read-write mode: Too many open files (24)"),
         "too many files"),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"), "the disk is full"),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), "out of memory"),
        (OSError("out of memory error when reading image file"), "out of memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), "out of memory"),
    ],
)  # fmt: skip
def test_how_it_is_said(error: Exception, words: str) -> None:
    found = shortage(error)
    assert found is not None and words in found.finding and found.remedy


@pytest.mark.parametrize(
    "error",
    [
        ValueError("out of memory"), KeyError("(os error 28)"), FileNotFoundError(errno.ENOENT, "No such file"),
        PermissionError(errno.EACCES, "Permission denied"), RuntimeError("shape mismatch (12)"), OSError("broken data"),
        SyntaxError("database or disk is full"),
    ],
)  # fmt: skip
def test_what_is_none(error: Exception) -> None:
    assert shortage(error) is None
    raise_shortage(error, reading="a.png")


def test_what_led_to_an_error_counts_unless_it_was_dealt_with() -> None:
    def because() -> None:
        try:
            raise MemoryError
        except MemoryError as error:
            raise ValueError("broken") from error

    def dealt_with() -> None:
        try:
            raise MemoryError
        except MemoryError:
            raise ValueError("broken") from None

    assert shortage(raised(lambda _: because(), Path())) is not None
    assert shortage(raised(lambda _: dealt_with(), Path())) is None


def test_work_on_a_disk(tmp_path: Path) -> None:
    told = pytest.raises(ResourceError, match=rf"the disk is full: [\d.]+ (?:GB|MB) are free at {tmp_path}/out")
    with told, shortages_told(tmp_path / "out"):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(ZeroDivisionError), shortages_told(tmp_path):
        _ = 1 / 0


def test_a_thread_that_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    start = "_start_joinable_thread" if hasattr(threading, "_start_joinable_thread") else "_start_new_thread"
    monkeypatch.setattr(threading, start, refused)
    assert shortage(raised(lambda _: threading.Thread(target=print).start(), Path())) is not None


# --- every reader asks

BROAD = {"OSError", "Exception", "RuntimeError", "FAULTS", "SafetensorError"}
OF_FILES = ("data", "training", "evaluation", "reporting", "networks", "experiment/run.py", "experiment/inference.py")
DEALT_WITH = {
    "data/preparation/spool.py": "a file without a size has another key",
    "data/preparation/chunk.py": "a chunk that cannot be read is made again",
    "evaluation/validation_cases.py": "what cannot be kept is measured again, and said",
    "training/loop.py": "smaller pieces are tried",
    "training/watchdog.py": "the store of a group of processes",
    "training/track.py": "trackers never end a run",
    "networks/factory.py": "code of the person",
    "training/log.py": "a log that cannot be written never ends a run",
    "reporting/reading.py": "a page has more than one picture, and says which it lacks",
    "reporting/sections/checks.py": "a page has more than one picture, and says which it lacks",
}
"""Why the handlers of a file do not ask."""


def test_every_handler_of_what_readers_raise_asks_what_ran_out() -> None:
    """Else a sound file would be called damaged, or taken for another kind, on a machine that is short of something."""
    root = Path(sfumato.__file__).parent
    files = [path for path in root.rglob("*.py") if path.relative_to(root).as_posix().startswith(OF_FILES)]
    silent = [
        f"{path.relative_to(root)}:{handler.lineno}"
        for path in files
        if path.relative_to(root).as_posix() not in DEALT_WITH
        for handler in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(handler, ast.ExceptHandler) and _is_broad(handler) and not _asks(handler)
    ]
    assert files and not silent


def _is_broad(handler: ast.ExceptHandler) -> bool:
    return handler.type is not None and bool(_names(handler.type) & BROAD)


def _asks(handler: ast.ExceptHandler) -> bool:
    return bool(_names(handler) & {"raise_shortage", "shortage", "out_of_memory", "_unreadable", "ResourceError"})


def _names(tree: ast.AST) -> set[str]:
    """All names in a piece of code."""
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return names | {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


@pytest.mark.parametrize("kind", [SystemError, ImportError, ModuleNotFoundError])
def test_a_library_that_cannot_be_loaded_where_memory_is_limited(kind: type[Exception], tmp_path: Path) -> None:
    (tmp_path / "heavy.py").write_text(f"raise {kind.__name__}('error return without exception set')")
    spec = importlib.util.spec_from_file_location("heavy", tmp_path / "heavy.py")
    error = raised(lambda _: spec.loader.exec_module(importlib.util.module_from_spec(spec)), tmp_path)
    assert shortage(error) is None
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (2**46, hard))
    try:
        told = shortage(error)
        assert (told is None) == (kind is ModuleNotFoundError) and shortage(kind("raised elsewhere")) is None
        assert told is None or "the limit is 70,368,744,177,664" in str(told)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.parametrize(("verb", "library"), [("prepare", "scipy.stats"), ("check", "torch"), ("report", "torch")])
def test_a_verb_loads_no_library_that_it_does_not_need(verb: str, library: str) -> None:
    """They are large and slow to load, and memory may be limited."""
    program = f"import sys, sfumato.commands.{verb}; sys.exit('{library}' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
