"""Masks to make images from: changed, never lost, the same for the same seed, of the right class and split."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sfumato.data.dataset import Dataset
from sfumato.errors import UsageError
from sfumato.evaluation.pairs import sources
from sfumato.evaluation.pairs.sources import ChangedMasks, SampledMasks, change, changes
from sfumato.experiment.inference import GeneratedImage, SampleRequest
from sfumato.randomness import Noise
from sfumato.tasks.task import Sampler

from .made import model_of, pack_of

SIDE = 32


def blobs(count: int = 12) -> np.ndarray:
    """Masks (n, 1, h, w), each an oblong of another size at another place."""
    masks = np.zeros((count, 1, SIDE, SIDE), np.uint8)
    for number, (mask,) in enumerate(masks):
        mask[4 + number : 12 + number, 3 : 9 + number] = 1
    return masks


def wanted(count: int = 200, label: str | None = None) -> list[SampleRequest]:
    return [SampleRequest(number, label, seed) for number, seed in enumerate(range(100, 100 + count))]


@pytest.mark.parametrize("modality", ["ct", "photo", None])
@pytest.mark.parametrize("strength", [0.3, 1.0, 2.0])
def test_masks_are_changed_and_not_lost(modality: str | None, strength: float) -> None:
    dataset = pack_of(blobs(), modality=modality)
    real = {mask[0].tobytes() for mask in blobs()}
    given = ChangedMasks(dataset=dataset, strength=strength)(wanted())
    assert all(each.mask.dtype == np.uint8 and set(np.unique(each.mask)) == {0, 1} for each in given)
    unchanged = sum(each.mask.tobytes() in real for each in given)
    assert unchanged == 0
    assert len({each.mask.tobytes() for each in given}) > 150, "not the same again and again"
    assert {each.source for each in given} == {f"changed case{k}" for k in range(12)}


def test_a_change_that_loses_a_class_is_drawn_again() -> None:
    """One pixel in a corner is out of sight after most changes; it is never lost."""
    masks = np.zeros((1, 1, SIDE, SIDE), np.uint8)
    masks[..., 0, 0] = 1
    given = ChangedMasks(dataset=pack_of(masks, modality="ct"), strength=0.5)(wanted(20))
    assert all(each.mask.any() and each.mask.tobytes() != masks.tobytes() for each in given)


def test_a_stronger_change_goes_further() -> None:
    dataset, noise = pack_of(blobs(1), modality="ct"), range(60)
    before = torch.from_numpy(blobs(1)[:, 0]).repeat(60, 1, 1)
    distances = []
    for strength in (0.2, 1.0, 2.0):
        after = change(before, changes(dataset, strength), Noise(noise))
        distances.append(float((after != before).float().mean()))
    assert distances == sorted(distances) and distances[-1] > 2 * distances[0]
    assert changes(dataset, 1.0).mirror == changes(dataset, 1.0).upend == 0, "left is anatomy in CT"
    assert changes(pack_of(blobs(1), modality="photo"), 1.0).upend == 0.5


def test_a_mask_follows_from_its_seed_alone() -> None:
    source = ChangedMasks(dataset=pack_of(blobs()), strength=1.0)
    whole = source(wanted(20))
    alone = [source([each._replace(number=0)])[0] for each in reversed(wanted(20))]
    for one, other in zip(whole, reversed(alone), strict=True):
        assert np.array_equal(one.mask, other.mask) and one.source == other.source


def test_masks_are_of_the_class_and_of_training_alone() -> None:
    dataset = pack_of(blobs(), labels=["a", "b"] * 6)
    cases = [replace(case, split="test" if row > 7 else "train") for row, case in enumerate(dataset.cases)]
    dataset = Dataset(dataset.spec, cases, dataset._sizes, dataset._images, dataset._masks)
    given = ChangedMasks(dataset=dataset, strength=1.0)(wanted(100, "b"))
    assert {each.source for each in given} == {f"changed case{k}" for k in (1, 3, 5, 7)}
    with pytest.raises(UsageError, match="class c"):
        ChangedMasks(dataset=dataset, strength=1.0)(wanted(1, "c"))


def test_empty_masks_stay_and_hopeless_ones_are_refused() -> None:
    (given,) = ChangedMasks(dataset=pack_of(np.zeros((1, 1, SIDE, SIDE), np.uint8)), strength=1.0)(wanted(1))
    assert not given.mask.any()
    full = pack_of(np.ones((1, 1, SIDE, SIDE), np.uint8))
    with pytest.raises(UsageError, match="changed nothing"):
        ChangedMasks(dataset=full, strength=1.0)(wanted(1))
    for strength in (0.0, -1.0, 2.1):
        with pytest.raises(UsageError, match="--change"):
            changes(full, strength)


def test_a_model_of_masks_is_asked_for_the_class_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[SampleRequest] = []

    def make(model, sampler, wanted, *, batch):  # type: ignore[no-untyped-def]
        asked.extend(wanted)
        for each in wanted:
            yield GeneratedImage(each, np.zeros((8, 8, 0), np.uint8), np.full((8, 8), each.seed % 2, np.uint8))

    monkeypatch.setattr(sources, "make", make)
    model = model_of(pack_of(labels=["a"]), "mask", "generate")
    source = SampledMasks(model=model, sampler=Sampler(name="ddim", times=(1.0, 0.0)))
    given = source([SampleRequest(0, "a", 7), SampleRequest(1, "z", 8)])
    assert [each.label for each in asked] == ["a", None] and len({each.seed for each in asked}) == 2
    assert [each.mask[0, 0] for each in given] == [each.seed % 2 for each in asked]
    assert {each.source for each in given} == {"model 5ha256"}
