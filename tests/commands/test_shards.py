"""Making images and masks in shares, killed and continued: the folder is the one that a single process would write."""

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.commands.conftest import TINY
from tests.preloaded import Preloaded

from sfumato.commands import generate as generating
from sfumato.commands import segment as segmenting
from sfumato.commands import toy as toys
from sfumato.commands import train
from sfumato.commands.flags.sampling import SamplingFlags
from sfumato.commands.flags.words import parse_shard
from sfumato.errors import DataError, UsageError
from sfumato.experiment.run import Run
from sfumato.experiment.sharded_job import Shard, ShardedJob, own_shard
from sfumato.local import LOCAL_FILE as LOCAL
from sfumato.lock import FolderLock

SECONDS = re.compile(rb",[\d.]+$|\"seconds_per_image\": [\d.]+", re.MULTILINE)
"""What a clock measured: the last column of a predictions manifest, and the summary's mean of it."""


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a folder that may be passed on, but for times and for the words of the command."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != LOCAL)
    files = {str(path.relative_to(folder)): path.read_bytes() for path in found}
    for name, text in files.items():
        if name.endswith("provenance.json"):
            record = json.loads(text)
            files[name] = json.dumps({**record, "time": "", "command": ""}).encode()
        elif Path(name).name in ("manifest.csv", "summary.json") and b"seconds" in text:
            files[name] = SECONDS.sub(b"", text)
    return files


def killed(work: Callable[[], object], *, at: int) -> None:
    """Work in another process, which is killed when its file number `at` is written and has not got its name yet."""
    child = os.fork()
    if child == 0:
        replace, left = Path.replace, [at]

        def dying(self: Path, target: Path) -> Path:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return replace(self, target)

        Path.replace = dying  # type: ignore[method-assign]
        try:
            work()
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def begun(out: Path) -> Path:
    """Where unfinished work is."""
    (place,) = out.parent.glob(f".{out.name}.unfinished-*")
    return place


@pytest.fixture(scope="module")
def model(generate_run: Path) -> Path:
    return Run(generate_run).weights()


@pytest.fixture(scope="module")
def whole(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "samples"
    generating.generate(model, out=out, count=18, size=24)
    return out


def test_images_killed_and_continued_are_those_of_a_quiet_run(model: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "samples"

    def make(batch: int) -> None:
        generating.generate(model, out=out, count=18, size=24, batch=batch)

    for number, at in enumerate((5, 7, 14)):
        killed(lambda number=number: make(3 + number), at=at)  # type: ignore[misc]
        assert not out.exists() and list(begun(out).rglob(".*.png.*.part")), "killed while a file was written"
        assert all(path.read_bytes().endswith(b"IEND\xaeB`\x82") for path in begun(out).rglob("*.png"))
    make(32)
    assert content(out) == content(whole)
    assert [path.name for path in tmp_path.iterdir()] == ["samples"]


def test_shares_in_any_order_are_the_whole(model: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "samples"
    for shard in ("2/3", "0/3", "2/3"):
        generating.generate(model, out=out, count=18, size=24, shard=shard)
        assert not out.exists()
    generating.generate(model, out=out, count=18, size=24, shard="1/2")  # some of its images are made already
    lines = [ledger.read_text().splitlines() for ledger in sorted(begun(out).glob("*/done.jsonl"))]
    assert [len(ledger) for ledger in lines] == [6, 3, 6]
    generating.generate(model, out=out, count=18, size=24, shard="0/1")
    assert content(out) == content(whole)
    assert [path.name for path in tmp_path.iterdir()] == ["samples"]
    before = (out / "manifest.csv").stat().st_mtime_ns
    result = generating.generate(model, out=out, count=18, size=24, shard="0/3")
    assert sum(result["images"].values()) == 18 and (out / "manifest.csv").stat().st_mtime_ns == before


def test_processes_of_torchrun_are_shares(model: Path, whole: Path, tmp_path: Path, preloaded: Preloaded) -> None:
    words = ["generate", model, "--out", tmp_path / "samples", "--count", "18", "--size", "24"]
    done = preloaded.start(words, processes=2)
    assert done.wait() == 0, done.stderr.read_text()
    assert content(tmp_path / "samples") == content(whole)


def test_masks_and_those_of_the_twin_are_shared_out_and_continued(
    segment_run: Path, dataset: Path, tmp_path: Path
) -> None:
    def masks(out: Path, shard: str | None = None) -> dict[str, object]:
        return segmenting.segment(
            segment_run, dataset, out=out, split="train", samples=2, sampling=SamplingFlags(steps=2), shard=shard
        )

    result = masks(tmp_path / "whole")
    assert result["review_first"] and (tmp_path / "whole" / "twin" / "manifest.csv").is_file()
    out = tmp_path / "shares"
    killed(lambda: masks(out, "1/2"), at=30)
    assert "review_first" not in masks(out, "0/2") and not out.exists()
    assert masks(out, "1/2") == {**result, "predictions": str(out), "seconds_per_image": pytest.approx(0, abs=60)}
    assert content(out) == content(tmp_path / "whole")


def test_the_planes_of_a_volume_stay_together(tmp_path: Path) -> None:
    toys.toy(tmp_path / "scans", volumes=True, cases=3, size=32)
    run = tmp_path / "run"
    train.segment(tmp_path / "scans", out=run, size="16", steps=2, batch=4, set=[*TINY, "data.keep_empty=0.5"])

    def masks(out: Path, shard: str | None = None) -> None:
        segmenting.segment(run, tmp_path / "scans", out=out, samples=2, sampling=SamplingFlags(steps=1), shard=shard)

    masks(tmp_path / "whole")
    masks(tmp_path / "out", "1/2")
    (ledger,) = begun(tmp_path / "out").glob("*/done.jsonl")
    assert [json.loads(line)["id"] for line in ledger.read_text().splitlines()] == ["/scan_001"]
    killed(lambda: masks(tmp_path / "out", "0/2"), at=9)
    masks(tmp_path / "out", "0/2")
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_another_command_is_refused_with_what_differs(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "samples"
    generating.generate(model, out=out, count=4, shard="0/2")
    with pytest.raises(UsageError, match=r"(?s)count: 4 then, 6 now.*steps: None then, 2 now") as refused:
        generating.generate(model, out=out, count=6, sampling=SamplingFlags(steps=2))
    assert "batch" not in str(refused.value) and "class" not in str(refused.value)
    generating.generate(model, out=out, count=6, sampling=SamplingFlags(steps=2), overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["samples"]
    with pytest.raises(UsageError, match="not empty"):
        generating.generate(model, out=out, count=4)
    generating.generate(model, out=out, count=6, sampling=SamplingFlags(steps=2), overwrite=True, shard="0/2")
    assert len(list(out.rglob("0*.png"))) == 6, "the old folder stays until the new one is whole"
    with FolderLock(begun(out) / "0-of-2", work="x"), pytest.raises(UsageError, match=r"0-of-2.*is at this shard"):
        generating.generate(model, out=out, count=6, sampling=SamplingFlags(steps=2), overwrite=True, shard="0/2")
    with FolderLock(begun(out) / "0-of-2", work="x"), pytest.raises(UsageError, match="is at another command"):
        generating.generate(model, out=out, count=4, overwrite=True)


def test_a_cut_line_counts_for_nothing_and_the_next_line_is_whole(tmp_path: Path) -> None:
    work = ShardedJob(out=tmp_path / "out", asked={"count": 3}, items=["a", "b", "c"])
    with work.share(Shard(0, 1)) as share:
        share.note("a", number=1)
    ledger = work.place / "0-of-1" / "done.jsonl"
    ledger.write_bytes(ledger.read_bytes() + b'{"id": "b", "numb')
    with work.share(Shard(0, 1)) as share:
        assert share.todo == ["b", "c"]
        share.note("c")
        share.note("b", number=2)
    assert len(ledger.read_bytes().splitlines()) == 3
    claim = work.claim(overwrite=False)
    with work.finishing(claim) as finished, work.finishing(claim) as second:
        assert second is None, "one process finishes"
        assert [facts.get("number") for facts in finished.facts] == [1, 2, None]
        assert not work.is_done()


def test_what_fails_before_anything_is_finished_leaves_nothing(tmp_path: Path) -> None:
    work = ShardedJob(out=tmp_path / "out", asked={"count": 2}, items=["a", "b"])
    with pytest.raises(DataError), work.share(Shard(0, 1)) as share:
        (share.files / "a.png").write_text("half")
        raise DataError("it cannot be read")
    assert not list(tmp_path.iterdir())
    with FolderLock(work.place / "1-of-2", work="is at this shard"):
        with pytest.raises(DataError), work.share(Shard(0, 2)):
            raise DataError("it cannot be read")
        assert work.place.is_dir(), "another process is at its share"
    with work.share(Shard(0, 1)) as share:
        share.note("a")
    with pytest.raises(DataError), work.share(Shard(0, 1)):
        raise DataError("it cannot be read")
    assert list(work.finished()) == ["a"], "finished work stays"


def test_work_is_kept_beside_a_folder_that_appeared(tmp_path: Path) -> None:
    work = ShardedJob(out=tmp_path / "out", asked={"count": 1}, items=["a"])
    claim = work.claim(overwrite=False)
    with work.share(Shard(0, 1)) as share:
        (share.files / "a.png").write_text("a")
        share.note("a")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years")
    with pytest.raises(UsageError, match="out-2"), work.finishing(claim):
        pass
    assert (tmp_path / "out" / "thesis.txt").read_text() == "years"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.png", "out", "out-2", "thesis.txt"]


def test_a_kill_after_the_folder_got_its_name_leaves_nothing(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "samples"
    generating.generate(model, out=out, count=2, shard="0/2")
    place, kept = begun(out), tmp_path / "kept"
    generating.generate(model, out=kept, count=2)
    (place / "files").rename(tmp_path / "moved")
    kept.rename(out)
    generating.generate(model, out=out, count=2)
    assert not place.exists() and len(list(out.rglob("0*.png"))) == 2


@pytest.mark.parametrize("words", ["2/2", "1", "-1/2", "a/b", "0/0", "1/"])
def test_shards_that_are_none_are_refused(words: str) -> None:
    assert own_shard(parse_shard(None)) == Shard(0, 1) and own_shard(parse_shard("1/2")) == Shard(1, 2)
    with pytest.raises(UsageError, match=re.escape(f"--shard {words}")):
        own_shard(parse_shard(words))
