"""What `bench` says of this machine hangs together; how fast it is, is nobody's business here."""

from pathlib import Path

import pytest
import torch
from tests.commands.conftest import TINY

from sfumato.commands.bench import bench
from sfumato.errors import UsageError
from sfumato.experiment.workload import Workload, set_up_workload
from sfumato.training.precision import resolve_precision
from sfumato.training.speed import free_memory, kept_bytes, matmul_rate, peak_memory, time_in_turn
from sfumato.verbs.bench import STEP_PARTS

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def result(dataset: Path) -> dict:  # type: ignore[type-arg]
    return bench(str(dataset), set=[*TINY, "sample.steps=6"], batch=8, seconds=0.8, count=100)


def test_the_parts_of_a_step_are_about_the_whole(result) -> None:  # type: ignore[no-untyped-def]
    train = result["train"]
    assert tuple(train["parts"]) == STEP_PARTS and result["batch"] == 8
    seconds = {name: part["seconds"] for name, part in train["parts"].items()}
    assert all(value >= 0 for name, value in seconds.items() if name != "rest")
    assert sum(seconds.values()) == pytest.approx(train["seconds_per_step"])
    assert sum(part["share"] for part in train["parts"].values()) == pytest.approx(1)
    assert abs(seconds["rest"]) < 0.5 * train["seconds_per_step"]
    assert seconds["backward"] > seconds["load"] > 0 and seconds["forward"] > 0
    assert train["images_per_second"] == pytest.approx(8 / train["seconds_per_step"])
    assert 0 < train["share_of_matmul"] < 1 and result["load"]["images_per_second"] > train["images_per_second"]


def test_more_calls_take_longer_and_more_images_too(result) -> None:  # type: ignore[no-untyped-def]
    rows = result["sample"]["steps"]
    assert [row["steps"] for row in rows] == [1, 4, 6, 8, 18, 50], "those of the recipe among them"
    times = [row["seconds_per_image"] for row in rows]
    assert times[0] > 0 and times[0] < times[4] < times[5]
    assert times[5] / times[4] == pytest.approx(50 / 18, rel=0.6)
    assert all(row["seconds_for_count"] == pytest.approx(100 * row["seconds_per_image"]) for row in rows)


def test_a_run_is_measured_with_its_recipe(generate_run: Path) -> None:
    part = bench("sample", generate_run, seconds=0.2)
    assert set(part) == {"hardware", "batch", "sample"} and part["batch"] == 8
    assert [row["steps"] for row in part["sample"]["steps"]] == [1, 4, 8, 18, 50]
    assert set(bench("load", generate_run, seconds=0.1)) == {"hardware", "batch", "load"}
    with pytest.raises(UsageError, match="has its recipe"):
        bench("train", generate_run, batch=4)


def test_images_are_measured_with_their_own_recipe(dataset: Path) -> None:
    settings = [*TINY, "data.augment=non_leaking", "train.accumulate=3", "train.ema_widths=[0.1, 0.2]"]
    train = bench("train", dataset, task="generate", set=settings, batch=6, seconds=0.3)["train"]
    assert train["parts"]["augment"]["seconds"] > 0 and train["flops_per_image"] > 0


def test_operations_and_memory_grow_with_the_work(dataset: Path, result) -> None:  # type: ignore[no-untyped-def]
    small, large = (set_up_workload(dataset, "segment", None, [*TINY, f"train.batch={n}"]) for n in (4, 12))
    assert large.operations() == 3 * small.operations() == 12 * result["train"]["flops_per_image"]
    kept = [kept_bytes(work.parts.network, lambda w=work: w.forward(w.pieces()[0])) for work in (small, large)]
    assert kept[1] == pytest.approx(3 * kept[0], rel=0.2) and large.bytes_by_image() >= kept[1] / 12
    pieces = set_up_workload(dataset, "segment", None, [*TINY, "train.batch=12", "train.accumulate=3"])
    assert pieces.operations() == large.operations()
    assert small.fits(16)
    memory = result["memory"]
    assert memory["peak_bytes"] > memory["bytes_per_image"] > 0 and "estimated" in memory["how"]
    assert memory["largest_batch"] > 8 and memory["advice"] == "the batch of 8 fits"


def test_a_batch_that_is_too_large_comes_with_advice(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Workload, "bytes_by_image", lambda _: 100.0)
    monkeypatch.setattr("sfumato.verbs.bench.free_memory", lambda: 350)
    memory = bench("train", dataset, set=[*TINY], batch=8, seconds=0.1)["memory"]
    assert memory["largest_batch"] == 3 and "train.accumulate=3" in memory["advice"]
    memory = bench("train", dataset, set=[*TINY, "train.accumulate=3"], batch=8, seconds=0.1)["memory"]
    assert memory["advice"] == "the batch of 8 fits", "in three pieces"
    monkeypatch.setattr("sfumato.verbs.bench.free_memory", lambda: 0)
    assert (
        "a single image does not fit" in bench("train", dataset, set=[*TINY], batch=8, seconds=0.1)["memory"]["advice"]
    )


def test_what_cannot_be_measured_is_refused(tmp_path: Path, dataset: Path) -> None:
    with pytest.raises(UsageError, match="neither a run nor a prepared dataset"):
        bench(str(tmp_path))
    with pytest.raises(UsageError, match="bench speed"):
        bench("speed", dataset)


def test_times_are_of_one_round_each_and_the_first_does_not_count() -> None:
    done: list[str] = []
    took = time_in_turn({"a": lambda: done.append("a"), "b": lambda: done.append("b")}, seconds=0, device=CPU)
    assert done == ["a", "b"] * 2 and set(took) == {"a", "b"} and min(took.values()) > 0
    assert matmul_rate(CPU, resolve_precision("auto", CPU), seconds=0.05) > 1e8


def test_memory_is_counted_once_and_without_weights() -> None:
    layer, x = torch.nn.Linear(64, 32), torch.randn(100, 64)
    assert kept_bytes(layer, lambda: layer(x)) == x.nbytes
    assert kept_bytes(layer, lambda: layer(x).exp() + layer(x)) == x.nbytes + 100 * 32 * 4
    assert peak_memory(CPU) > 2**26 and free_memory() > 0
