"""Masks of images that are seen once: whole and window by window, kept or looked at again."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from sfumato.builder.process import build_process
from sfumato.builder.sampling import build_sampler
from sfumato.diffusion.family.low_rank import LowRankLogits
from sfumato.diffusion.process import Condition
from sfumato.diffusion.tiled import Windows
from sfumato.networks.amortised import Amortised
from sfumato.randomness import Noise
from sfumato.recipe import load_recipe
from sfumato.tasks import seen as module
from sfumato.tasks.segment import draw_masks
from sfumato.tasks.task import Sampler, last

CLASSES, STRIDE = 3, 4


@pytest.fixture(scope="module")
def network() -> Amortised:
    """Weights of some size everywhere, so that state, image and refinement all show."""
    made = Amortised(
        channels_in=CLASSES, channels_out=CLASSES, channels_mask=CLASSES, channels_condition=1, channels=8,
        multipliers=(1, 2, 2, 2), draw_channels=8, stride=STRIDE,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return made.eval().requires_grad_(False)


def drawn(
    network: nn.Module,
    images: Tensor,
    seeds: list[int],
    window: tuple[int, ...] | None,
    known: module.SeenImages | None = None,
) -> Tensor:
    recipe = load_recipe("segment", settings=["process.critical_log_snr=-3", "sample.steps=3", "sample.sampler=ddim"])
    process = build_process(recipe)
    sampler = build_sampler(recipe.sample, process, critical=-3.0)
    return last(draw_masks(process, network, sampler, images, CLASSES, seeds=seeds, window=window, known=known)).x0


def images(*size: int) -> Tensor:
    return torch.rand(2, 1, *size, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("size", [(64, 96), (61, 83), (30, 70)])
def test_a_mask_of_many_windows_has_the_size_of_the_image_and_adds_up(
    network: Amortised, size: tuple[int, ...]
) -> None:
    x0 = drawn(network, images(*size), [1, 2], (32, 32))
    assert x0.shape == (2, CLASSES, *size)
    assert float((((x0 + 1) / 2).sum(1) - 1).abs().max()) < 1e-5


def test_a_window_that_covers_the_image_changes_nothing(network: Amortised) -> None:
    whole = drawn(network, images(61, 83), [1, 2], None)
    for window in ((61, 83), (64, 84), (512, 512)):
        assert torch.equal(drawn(network, images(61, 83), [1, 2], window), whole)


def test_a_member_depends_on_its_image_and_seed_alone(network: Amortised) -> None:
    pair = images(61, 83)
    together = drawn(network, pair[[0, 0, 1]], [5, 6, 5], (32, 32))
    assert torch.equal(drawn(network, pair[:1], [5], (32, 32))[0], together[0])
    assert torch.equal(drawn(network, pair[1:], [5], (32, 32))[0], together[2])
    assert not torch.equal(together[0], together[1])


def test_what_is_not_kept_is_seen_again_to_the_same_bits(network: Amortised, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    encode = Amortised.encode
    monkeypatch.setattr(Amortised, "encode", lambda self, image: looked.append(1) or encode(self, image))
    kept = drawn(network, images(64, 64)[:1], [1], (32, 32))
    once = len(looked)
    monkeypatch.setattr(module, "KEPT_BYTES", 0)
    again = drawn(network, images(64, 64)[:1], [1], (32, 32))
    assert torch.equal(again, kept) and once == 9 and len(looked) - once > 3 * 9


def test_windows_of_state_and_image_are_the_same(network: Amortised) -> None:
    for size in ((64, 96), (61, 83), (257, 129)):
        found = module.seen(network, images(*size), (32, 40))
        assert found is not None
        for small, place in zip(found.states.places, found._pixels.places, strict=True):
            for few, many in zip(small[1:], place[1:], strict=True):
                assert isinstance(few, slice) and isinstance(many, slice)
                assert (many.start, many.stop) == (STRIDE * few.start, STRIDE * few.stop)


@pytest.fixture(scope="module")
def network_of_volumes() -> Amortised:
    """Of slices that are twice as thick as their pixels are wide: a pixel of the state is 1 x 2 x 2."""
    torch.manual_seed(0)
    return (
        Amortised(
            channels_in=CLASSES, channels_out=CLASSES, channels_mask=CLASSES, channels_condition=1, channels=8,
            multipliers=(1, 2, 2, 2), draw_channels=8, stem=1, stride=2, dimensions=3,
            halvings=((1, 2, 2), (2, 2, 2), (2, 2, 2)),
        )
        .eval()
        .requires_grad_(False)
    )  # fmt: skip


@pytest.mark.parametrize("size", [(8, 16, 24), (5, 17, 19)])
def test_volumes_are_drawn_window_by_window_at_the_stride_of_each_axis(
    network_of_volumes: Amortised, size: tuple[int, ...]
) -> None:
    volume, window = images(*size)[:1], (4, 16, 16)
    found = module.seen(network_of_volumes, volume, window)
    assert found is not None and found.stride == (1, 2, 2) and found.states.size == (4, 8, 8)
    for small, place in zip(found.states.places, found._pixels.places, strict=True):
        for few, many, side in zip(small[1:], place[1:], found.stride, strict=True):
            assert isinstance(few, slice) and isinstance(many, slice)
            assert (many.start, many.stop) == (side * few.start, side * few.stop)
    x0 = drawn(network_of_volumes, volume, [1], window)
    assert x0.shape == (1, CLASSES, *size) and float((((x0 + 1) / 2).sum(1) - 1).abs().max()) < 1e-5
    assert torch.equal(drawn(network_of_volumes, volume, [1], size), drawn(network_of_volumes, volume, [1], None))


def test_far_windows_do_not_change_an_answer(network: Amortised) -> None:
    """A window's estimate depends on what it sees: changing the image far away changes nothing in the first call."""
    one, two = images(32, 160)[:1], images(32, 160)[:1].clone()
    two[..., 128:] = 0.5
    first, second = (module.seen(network, each, (32, 32)) for each in (one, two))
    assert first is not None and second is not None
    assert torch.equal(first.of_windows([0]).logits, second.of_windows([0]).logits)
    assert not torch.equal(first.of_windows([8]).logits, second.of_windows([8]).logits)


@pytest.mark.parametrize("window", [None, (32, 32)])
def test_images_that_were_seen_before_serve_other_masks_of_them(
    network: Amortised, window: tuple[int, int] | None
) -> None:
    pair, rows = images(61, 83), [1, 1, 0]
    known = module.seen(network, pair, window)
    assert known is not None
    again = drawn(network, pair[rows], [4, 5, 6], window, known.of_masks(rows))
    assert torch.equal(again, drawn(network, pair[rows], [4, 5, 6], window))


class _Counted(nn.Module):
    """A network without a state that says the image again, in as many channels as it is asked for, and counts."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, channels))
        self.images = 0

    def forward(self, x: Tensor, level: Tensor, condition: Condition) -> Tensor:
        assert condition.image is not None and not x.any()
        self.images += len(x)
        return condition.image[:, :1] * self.weight.view(1, -1, *(1,) * (x.ndim - 2))


@pytest.mark.parametrize("space", [(20, 16), (6, 20, 16)])
@pytest.mark.parametrize("windowed", [False, True])
def test_logits_that_are_drawn_cost_a_pass_for_an_image(space: tuple[int, ...], windowed: bool) -> None:
    """Five members of each of two images, each by its seed alone; of windows a pass each."""
    process = LowRankLogits(classes=2, rank=3)
    network = _Counted(process.channels(2)[1]).eval()
    image = torch.rand(2, 1, *space, generator=torch.Generator().manual_seed(0)) * 2 - 1
    sampler = Sampler(name="ancestral", times=(1.0, 0.0))
    window = tuple(max(4, side // 2) for side in space) if windowed else None

    def masks_of(images: Tensor, seeds: Sequence[int]) -> Tensor:
        return last(draw_masks(process, network, sampler, images, 2, seeds=seeds, window=window)).x0

    masks = masks_of(image.repeat_interleave(5, 0), range(10))
    passes = 1 if window is None else len(Windows(space, window).places)
    assert network.images == 2 * passes
    assert len(masks.flatten(1).unique(dim=0)) == 10
    assert torch.equal(masks_of(image[1:], [7]), masks[7:8])
    if not windowed:
        state = process.prior(torch.zeros(1, 2, *space), Noise([7]))
        answer = network(torch.zeros(1, 2, *space), torch.zeros(1), Condition(image=image[1:]))
        torch.testing.assert_close(process.estimate(answer, state, 1.0), masks[7:8])
