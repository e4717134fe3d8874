"""Everything that is wrong with a source is told in one round, whatever kinds of faults come together."""

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from sfumato.cli import main

OBJECT = np.zeros((16, 16), np.uint8)
OBJECT[3:9, 4:12] = 255


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).integers(0, 255, shape, np.uint8)


class Source:
    """A folder of images and masks, to which faults are added."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for kind in ("images", "masks"):
            (root / kind).mkdir(parents=True)
        for number in range(9):
            self.add(f"sound{number}")

    def add(self, name: str, image: np.ndarray | None = None, mask: np.ndarray | None = None) -> None:
        Image.fromarray(noise(16, 16) if image is None else image).save(self.image(name))
        Image.fromarray(OBJECT if mask is None else mask).save(self.mask(name))

    def image(self, name: str) -> Path:
        return self.root / "images" / f"{name}.png"

    def mask(self, name: str) -> Path:
        return self.root / "masks" / f"{name}.png"


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """A source with a fault of nearly every kind."""
    made = Source(tmp_path / "source")
    for name in ("cut", "empty", "text", "frames", "nan", "lonely", "cutmask", "nomask"):
        made.add(name)
    made.image("cut").write_bytes(made.image("cut").read_bytes()[:120])
    made.image("empty").write_bytes(b"")
    made.image("text").write_text("no image")
    made.image("frames").unlink()
    frames = [Image.fromarray(noise(16, 16)) for _ in range(2)]
    frames[0].save(made.root / "images" / "frames.tif", save_all=True, append_images=frames[1:])
    made.image("nan").unlink()
    tifffile.imwrite(made.root / "images" / "nan.tif", np.full((16, 16), np.nan, np.float32))
    made.image("lonely").unlink()
    made.mask("nomask").unlink()
    made.mask("cutmask").write_bytes(made.mask("cutmask").read_bytes()[:60])
    made.add("size", mask=OBJECT[:8, :8])
    made.add("colours", mask=noise(16, 16, 3))
    made.add("deep", image=noise(16, 16).astype(np.uint16) * 200)
    return made


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    assert stop.value.code == 3
    return capsys.readouterr().err


def codes(told: str) -> set[str]:
    return set(re.findall(r"DATA-\d+", told)) - {"DATA-022"}


OF_FILES = {"DATA-003", "DATA-005", "DATA-006", "DATA-008", "DATA-010", "DATA-012", "DATA-013", "DATA-015"}
FILES = ("cut.png", "empty.png", "text.png", "frames.tif", "nan.tif", "lonely.png", "nomask.png", "cutmask.png",
         "size.png", "colours.png")  # fmt: skip


@pytest.mark.parametrize("workers", [1, 2])
def test_prepare(source: Source, tmp_path: Path, capsys: pytest.CaptureFixture[str], workers: int) -> None:
    words = ("--size", 16, "--intensity", "unit", "--workers", workers)
    told = refused(capsys, "prepare", source.root, "--out", tmp_path / "set", *words)
    assert codes(told) == OF_FILES | {"DATA-009"}
    assert not [name for name in FILES if name not in told]
    assert "2 files have no partner: the others are read" in told
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_convert(source: Source, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = refused(capsys, "convert", source.root, "--to", "folder", "--out", tmp_path / "copy")
    assert codes(told) == OF_FILES
    assert not [name for name in FILES if name not in told]


def test_values_of_no_class_are_told_with_the_rest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = Source(tmp_path / "source")
    for number in range(4):
        made.add(f"objects{number}", mask=np.arange(256, dtype=np.uint16).reshape(16, 16) * 3)
    made.image("sound0").write_bytes(b"")
    made.mask("sound1").unlink()
    for verb in (("prepare", "--size", 16), ("convert", "--to", "folder")):
        told = refused(capsys, verb[0], made.root, "--out", tmp_path / "out", *verb[1:])
        assert codes(told) == {"DATA-003", "DATA-010", "DATA-014"}, told


def test_both_files_of_a_case_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = Source(tmp_path / "source")
    made.image("sound3").write_bytes(b"")
    made.mask("sound3").write_bytes(b"x")
    for verb in (("prepare", "--size", 16), ("convert", "--to", "folder")):
        told = refused(capsys, verb[0], made.root, "--out", tmp_path / "out", *verb[1:])
        assert codes(told) == {"DATA-003", "DATA-005"}, told


def test_where_most_files_have_no_partner_nothing_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = Source(tmp_path / "source")
    for number in range(7):
        made.mask(f"sound{number}").unlink()
    made.image("sound8").write_bytes(b"")
    told = refused(capsys, "prepare", made.root, "--out", tmp_path / "set")
    assert codes(told) == {"DATA-010"} and "are read" not in told


def test_a_dry_run_refuses_what_the_real_one_would(
    source: Source, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb in (("prepare",), ("train", "segment"), ("convert", "--to", "folder")):
        for words in ((), ("--dry-run",)):
            told = refused(capsys, *verb, source.root, "--out", tmp_path / f"out{words}", *words)
            assert {"DATA-010", "DATA-012", "DATA-013"} <= codes(told), (verb, words)
    assert not (tmp_path / "out('--dry-run',)").exists()
