"""Which pairs are kept: the threshold on a case by hand, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sfumato.data.dataset import Dataset
from sfumato.diffusion.guidance import UNGUIDED, Guidance
from sfumato.errors import UsageError
from sfumato.evaluation.pairs import check as checking
from sfumato.evaluation.pairs.check import Check, Reader, check_fits
from sfumato.evaluation.pairs.making import Maker, stored_mask
from sfumato.evaluation.pairs.sources import ChangedMasks, SampledMasks
from sfumato.experiment.inference import GeneratedImage, SampleRequest
from sfumato.experiment.sampling import Drawing
from sfumato.tasks.task import Sampler

from .made import model_of, pack_of

SHARES = (0, 1, 2, 4, 8)
"""Pixels of each real mask of 8 that the reader misses."""


MODEL = model_of(pack_of())
READ = Reader.masks
SAMPLER = Sampler(name="ddim", times=(1.0, 0.0))


@pytest.fixture(autouse=True)
def reader(monkeypatch: pytest.MonkeyPatch) -> Reader:
    """A reader who misses the first pixels of a mask that he finds in the image; so many as its name says."""

    def masks(self, images: torch.Tensor, names: list[str]) -> np.ndarray:  # type: ignore[no-untyped-def]
        found = (images[:, 0] > 0).numpy().astype(np.uint8)
        for mask, name in zip(found, names, strict=True):
            rows, columns = mask.nonzero()
            missed = int(name.rpartition("/")[2])
            mask[rows[:missed], columns[:missed]] = 0
        return found

    made = Reader(model=MODEL, sampler=SAMPLER, members=1)
    monkeypatch.setattr(Reader, "masks", masks)
    monkeypatch.setattr(Reader, "of", lambda model: made)  # noqa: ARG005
    return made


def test_the_threshold_is_the_quantile_of_real_dice() -> None:
    """Of 8 pixels m are missed: Dice 2 (8 - m) / (16 - m)."""
    dataset = pack_of(missed=SHARES)
    check = Check.of(MODEL, dataset, quantile=0.25, batch=2)
    dice = [2 * (8 - m) / (16 - m) for m in SHARES]
    assert check.real == pytest.approx(dice)
    assert check.threshold == pytest.approx(sorted(dice)[1]), "a quarter of five values lies below the second"
    assert check.keeps(check.threshold) and not check.keeps(check.threshold - 1e-6)
    image, mask = dataset.images([0]), dataset.masks([0]).numpy()
    picture = ((image + 1) * 127.5).round().to(torch.uint8).movedim(1, -1).numpy()
    assert check.dice(picture, mask, ["x/1"]) == pytest.approx([14 / 15])
    assert check.summary()["threshold"] == check.threshold


def test_empty_pairs_count_where_real_cases_are_empty(reader: Reader) -> None:
    image, mask = np.zeros((1, 8, 8, 1), np.uint8), np.zeros((1, 8, 8), np.uint8)
    for empty in (True, False):
        check = Check(reader=reader, real=(0.5,), quantile=0.1, may_be_empty=empty)
        assert check.dice(image, mask, ["/0"]) == [float(empty)]


def test_what_can_be_no_check_is_refused() -> None:
    for quantile in (-0.1, 1.0):
        with pytest.raises(UsageError, match="quantile"):
            Check.of(MODEL, pack_of(missed=SHARES), quantile=quantile)
    dataset = pack_of(missed=SHARES)
    cases = [replace(case, split="train") for case in dataset.cases]
    unread = Dataset(dataset.spec, cases, dataset._sizes, dataset._images, dataset._masks)
    with pytest.raises(UsageError, match="validation"):
        Check.of(MODEL, unread, quantile=0.1)
    with pytest.raises(UsageError, match="size: "):
        other = model_of(pack_of())
        check_fits(other._replace(spec=replace(other.spec, size=(16, 16))), model_of(pack_of()))


def test_attempts_are_judged_and_named_by_their_seed(monkeypatch: pytest.MonkeyPatch, reader: Reader) -> None:
    """The reader misses as many pixels as the seed says; pairs with fewer than the threshold allows are kept."""
    from sfumato.evaluation.pairs import making

    def make(model, sampler, wanted, **_):  # type: ignore[no-untyped-def]
        mask = np.zeros((8, 8), np.uint8)
        mask[2, :8] = 1
        for each in wanted:
            yield GeneratedImage(each, mask[..., None] * np.uint8(255), mask)

    monkeypatch.setattr(making, "make", make)
    check = Check(reader=reader, real=(0.8,), quantile=0.0, may_be_empty=False)
    maker = Maker(model=MODEL, drawing=Drawing(SAMPLER, UNGUIDED, 1), check=check)
    wanted = [SampleRequest(number, None, seed) for number, seed in enumerate((0, 2, 3, 8, 1))]
    pairs = list(maker.pairs(wanted, batch=2))
    assert [pair.wanted for pair in pairs] == wanted and {pair.source for pair in pairs} == {"joint"}
    assert [pair.kept for pair in pairs] == [True, True, False, False, True], "2 (8 - m) / (16 - m) >= 0.8"
    unchecked = list(replace(maker, check=None).pairs(wanted, batch=3))
    assert all(pair.kept and pair.dice is None for pair in unchecked)


def test_masks_are_stored_as_those_of_the_training_data() -> None:
    rule = pack_of().spec.mask_rule
    assert rule is not None
    mask = np.array([[0, 1], [2, 1]], np.uint8)
    for values, threshold, dtype, expected in (
        ((0, 128, 255), None, np.uint8, [[0, 128], [255, 128]]),
        ((0, 7, 1000), None, np.uint16, [[0, 7], [1000, 7]]),
        ((), 128, np.uint8, [[0, 255]]),
    ):
        given = mask if threshold is None else mask[:1]
        stored = stored_mask(given, rule._replace(values=values, threshold=threshold))
        assert stored.dtype == dtype and stored.tolist() == expected
        if threshold is None:
            assert (rule._replace(values=values).apply(stored) == given).all()


def test_members_of_a_reader_are_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean decides: not the majority, and not who is surest."""
    from sfumato.diffusion.process import Step

    seeds_seen: list[int] = []

    def draw_masks(process, network, sampler, images, classes, *, seeds, window):  # type: ignore[no-untyped-def]
        seeds_seen.extend(seeds)
        shares = torch.tensor([0.6, 0.6, 0.0, 0.95, 0.2, 0.2]).view(-1, 1, 1, 1)
        x0 = torch.cat([1 - 2 * shares, 2 * shares - 1], 1).expand(-1, -1, *images.shape[2:])
        yield Step(0.0, x0, x0)

    monkeypatch.setattr(checking, "draw_masks", draw_masks)
    reader = Reader(model=MODEL, sampler=SAMPLER, members=3)
    masks = READ(reader, torch.zeros(2, 1, 8, 8), ["a", "b"])
    assert masks.shape == (2, 8, 8) and not masks.any()
    assert len(set(seeds_seen)) == 6


def test_an_attempt_costs_what_all_its_networks_cost(reader: Reader) -> None:
    model = model_of(pack_of(), "image_from_mask", "generate")
    sampler = model.sampler(sampler="heun", steps=3)
    plain = Maker(model=model, drawing=Drawing.of(model, sampler))
    assert plain.calls == 5
    assert replace(plain, drawing=Drawing.of(model, sampler, Guidance(scale=2.0))).calls == 10
    inside = Guidance(scale=2.0, interval=(0.0, 0.01))
    assert 5 < replace(plain, drawing=Drawing.of(model, sampler, inside)).calls < 10, "some of them are guided"
    masks = model_of(pack_of(), "mask", "generate")
    drawn = SampledMasks(model=masks, sampler=masks.sampler(steps=4))
    check = Check(reader=replace(reader, members=3), real=(0.5,), quantile=0.1, may_be_empty=False)
    assert replace(plain, masks=drawn, check=check).calls == 5 + 4 + 3
    assert replace(plain, masks=ChangedMasks(dataset=pack_of(), strength=1.0)).calls == 5
