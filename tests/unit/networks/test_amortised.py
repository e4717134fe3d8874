"""The network that sees an image once: sizes, one call or several, what it starts as, what is trained, its twin."""

import math

import pytest
import torch
from torch import Tensor

from sfumato.diffusion.micro_batches import MicroBatches
from sfumato.diffusion.process import Condition, DrawAnswers
from sfumato.errors import UsageError
from sfumato.networks.amortised import Amortised
from sfumato.networks.blocks import block_mean, depth_to_space

LEVEL = torch.tensor([-1.0, 0.5, 1.0, 0.0])


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def build(*, awake: bool = True, **changes: object) -> Amortised:
    """A small one of two classes; awake, no branch is zero."""
    torch.manual_seed(0)
    words = {"channels_in": 2, "channels_out": 2, "channels_mask": 2, "channels_condition": 3, "channels": 8}
    network = Amortised(**{**words, "multipliers": (1, 2, 2, 2), "draw_channels": 8, **changes}).eval()  # type: ignore[arg-type]
    if awake:
        with torch.no_grad():
            for number, parameter in enumerate(network.parameters()):
                parameter.add_(random(*parameter.shape, seed=number), alpha=0.1)
    return network


def small(size: tuple[int, ...], stride: int) -> tuple[int, ...]:
    return tuple(-(-side // stride) for side in size)


@pytest.mark.parametrize("size", [(32, 32), (33, 18), (1, 7), (8, 12, 20), (5, 9, 6)])
@pytest.mark.parametrize(("stem", "stride"), [(2, 4), (1, 1), (1, 2), (4, 4)])
def test_states_of_any_size_and_answers_of_the_images(size: tuple[int, ...], stem: int, stride: int) -> None:
    network = build(dimensions=len(size), stem=stem, stride=stride)
    encoded = network.encode(random(1, 3, *size))
    x = random(2, 2, *small(size, stride))
    output = network(x, LEVEL[:2], Condition(encoded=encoded))
    assert encoded.logits.shape == (1, 2, *size) and output.shape == x.shape
    refined = network.refine(output.softmax(1) * 2 - 1, encoded)
    assert refined.shape == (2, 2, *size) and refined.isfinite().all()


THICK = ((1, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2), (2, 1, 2))
"""Halvings from stride 1 on, of slices that are thicker than their pixels."""


@pytest.mark.parametrize("size", [(8, 32, 32), (5, 33, 18), (1, 7, 3)])
@pytest.mark.parametrize(
    ("stem", "stride", "block"), [(2, 4, (2, 4, 4)), (1, 1, (1, 1, 1)), (1, 2, (1, 2, 2)), (4, 4, (2, 4, 4))]
)
def test_axes_are_halved_by_themselves_from_full_resolution_on(
    size: tuple[int, ...], stem: int, stride: int, block: tuple[int, ...]
) -> None:
    network = build(dimensions=3, stem=stem, stride=stride, halvings=THICK[: 3 + stem.bit_length() - 1])
    assert network.stride == block
    encoded = network.encode(random(1, 3, *size))
    x = random(2, 2, *(-(-side // each) for side, each in zip(size, block, strict=True)))
    output = network(x, LEVEL[:2], Condition(encoded=encoded))
    assert encoded.logits.shape == (1, 2, *size) and output.shape == x.shape
    refined = network.refine(output.softmax(1) * 2 - 1, encoded)
    assert refined.shape == (2, 2, *size) and refined.isfinite().all()


@pytest.mark.parametrize(("stem", "stride"), [(2, 4), (1, 2), (4, 4), (2, 2)])
def test_planes_that_are_never_halved_and_equal_are_images(stem: int, stride: int) -> None:
    """With the weights of images in the middle of those of volumes; in double precision but for one softmax."""
    levels = 3 + stem.bit_length() - 1
    flat = build(stem=stem, stride=stride).double()
    network = build(dimensions=3, stem=stem, stride=stride, halvings=[(1, 2, 2)] * levels).double()
    tensors = flat.state_dict()
    for name, tensor in network.state_dict().items():
        if tensor.shape == tensors[name].shape:
            tensor.copy_(tensors[name])
        else:
            tensor.zero_()[:, :, tensor.shape[2] // 2] = tensors[name]
    size = (33, 18)
    x, image = random(2, 2, *small(size, stride)).double(), random(1, 3, *size, seed=1).double()
    estimate = {"estimate_of": torch.tanh}
    with torch.no_grad():
        expected = flat(x, LEVEL[:2].double(), Condition(image=image, **estimate))
        planes = [each[:, :, None].expand(-1, -1, 3, -1, -1) for each in (x, image)]
        found = network(planes[0], LEVEL[:2].double(), Condition(image=planes[1], **estimate))
    for name in ("output", "refined", "own"):
        one, all_planes = getattr(expected, name)[:, :, None], getattr(found, name)
        assert all_planes.shape[2] == 3 and float((all_planes - one).abs().max()) < 1e-6 * float(one.abs().max())


def test_no_part_mixes_planes_before_they_are_halved() -> None:
    network = build(dimensions=3, stem=2, stride=2, halvings=[(1, 2, 2)] * 3 + [(2, 2, 2)])
    fine = (network.head, network.tell_fine[1], network.read_estimate, network.correct, network.draw.head)
    assert {each.kernel_size for each in fine} == {(1, 3, 3)}  # type: ignore[union-attr]
    assert {each.kernel_size for each in (network.look, network.draw.enter)} == {(1, 6, 6)}


def test_an_estimate_of_a_thick_block_reaches_its_own_planes() -> None:
    network = build(dimensions=3, stem=2, stride=4, halvings=THICK[:4])
    encoded = network.encode(random(1, 3, 16, 32, 32))
    one = torch.zeros(1, 2, 8, 8, 8)
    other = one.clone()
    other[:, :, 5, 3, 6] = 1.0
    changed = (network.refine(one, encoded) != network.refine(other, encoded)).any(1)[0].nonzero()
    block, place = torch.tensor([2, 4, 4]), torch.tensor([5, 3, 6])
    assert (changed.min(0).values >= block * (place - 2)).all() and (changed.max(0).values < block * (place + 3)).all()
    assert (changed == block * place).all(1).any()


def test_to_see_first_or_in_the_call_is_the_same() -> None:
    network, image, x = build(), random(2, 3, 32, 20), random(4, 2, 8, 5)
    together = network(x, LEVEL, Condition(image=image))
    apart = network(x, LEVEL, Condition(encoded=network.encode(image)))
    assert torch.equal(together, apart)


def test_several_draws_of_an_image_are_single_ones() -> None:
    """Those of one image lie side by side: each refined by its own image."""
    network, image, x = build(), random(2, 3, 32, 20), random(4, 2, 8, 5)
    condition = Condition(image=image, estimate_of=lambda output: output.tanh())
    answers = network(x, LEVEL, condition)
    for draw in range(4):
        one = slice(draw // 2, draw // 2 + 1)
        alone = network(
            x[draw : draw + 1], LEVEL[draw : draw + 1], Condition(image=image[one], estimate_of=condition.estimate_of)
        )
        for whole, single in ((answers.output, alone.output), (answers.refined, alone.refined)):
            torch.testing.assert_close(single, whole[draw : draw + 1], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(alone.own, answers.own[one], rtol=1e-4, atol=1e-4)


def test_micro_batches_cut_what_is_encoded() -> None:
    network, image, x = build(), random(2, 3, 32, 20), random(4, 2, 8, 5)
    encoded = network.encode(image)
    whole = network(x, LEVEL, Condition(encoded=encoded))
    for size in (1, 3, 4):
        torch.testing.assert_close(
            MicroBatches(network, size)(x, LEVEL, Condition(encoded=encoded)), whole, rtol=1e-4, atol=1e-4
        )


def test_a_fresh_network_says_of_every_draw_what_it_says_of_the_image() -> None:
    """At the stride the same in the mean, from whatever state."""
    network, image = build(awake=False), random(2, 3, 33, 18)
    for x in (random(2, 2, 9, 5), random(2, 2, 9, 5, seed=1)):
        answers = network(x, LEVEL[:2], Condition(image=image, estimate_of=lambda output: output.softmax(1) * 2 - 1))
        torch.testing.assert_close(answers.refined, answers.own, rtol=0, atol=1e-5)  # the logarithm of a softmax
        share = torch.stack([answers.own.softmax(1)[:, :, 4 * k : 4 * k + 4].mean((2, 3)) for k in range(1)])
        assert share.isfinite().all()
        torch.testing.assert_close(
            answers.output.softmax(1), block_mean(answers.own.softmax(1), 4), rtol=1e-5, atol=1e-6
        )
    assert answers.own.std() > 0.01, "and it says something"


def test_where_no_logits_are_wanted_the_output_is_that_of_the_draw_alone() -> None:
    output = build(awake=False, logits=False)(random(1, 2, 8, 8), LEVEL[:1], Condition(image=random(1, 3, 32, 32)))
    assert not output.any()
    answers = build(channels_in=1, channels_out=1, logits=False)(
        random(1, 1, 8, 8),
        LEVEL[:1],
        Condition(image=random(1, 3, 32, 32), estimate_of=lambda output: torch.cat([output, -output], 1).double()),
    )
    assert answers.output.shape == (1, 1, 8, 8) and answers.refined.shape == (1, 2, 32, 32)


def test_the_state_reaches_its_place_at_full_size() -> None:
    """An estimate of one block changes the refined answer around it, and nothing far away."""
    network = build()
    encoded = network.encode(random(1, 3, 64, 64))
    one = torch.zeros(1, 2, 16, 16)
    other = one.clone()
    other[:, :, 3, 12] = 1.0
    changed = (network.refine(one, encoded) != network.refine(other, encoded)).any(1)[0].nonzero()
    assert changed.min(0).values.tolist() >= [3 * 4 - 8, 12 * 4 - 8]
    assert changed.max(0).values.tolist() <= [3 * 4 + 12, 12 * 4 + 12] and len(changed) > 16


def test_every_pixel_of_a_block_has_an_answer_of_its_own_but_at_first() -> None:
    for awake, answers in ((True, 16), (False, 1)):
        logits = build(awake=awake, stem=4).encode(random(1, 3, 32, 32)).logits
        inside = logits[0, 1].reshape(8, 4, 8, 4).permute(0, 2, 1, 3).flatten(0, 1).flatten(1)
        assert {len(block.unique()) for block in inside} == {answers}
        assert len(inside[:, 0].unique()) == 64 and not torch.equal(logits[0, 0], logits[0, 1])


def test_one_step_trains_every_parameter() -> None:
    network = build().train()
    condition = Condition(image=random(2, 3, 32, 32), estimate_of=lambda output: output.softmax(1) * 2 - 1)
    answers = network(random(4, 2, 8, 8), LEVEL, condition)
    assert isinstance(answers, DrawAnswers)
    (answers.refined.square().mean() + answers.output.square().mean() + answers.own.square().mean()).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_twin_is_the_encoder_with_its_head() -> None:
    twin, network, image = build(twin=True), build(), random(2, 3, 33, 20)
    network.load_state_dict(twin.state_dict(), strict=False)
    answer = twin(torch.zeros(2, 2, 33, 20), LEVEL[:2], Condition(image=image))
    assert torch.equal(answer, network.encode(image).logits) and twin.stride == (1, 1)
    assert set(twin.state_dict()) < set(network.state_dict()) and twin.encode(image).features == ()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"stride": 8}, "network.stride=8"),
        ({"stride": 3}, "network.stride=3"),
        ({"stem": 4, "stride": 2}, "network.stride=2"),
        ({"stem": 3}, "stem 3"),
        ({"blocks": 0}, "0 blocks"),
        ({"multipliers": ()}, "0 levels"),
        ({"halvings": [(2, 2)] * 3}, "5 levels of 2 dimensions"),
        ({"dimensions": 3, "halvings": [(2, 2)] * 4}, "5 levels of 3 dimensions"),
        ({"channels_condition": 0}, "without an image"),
    ],
)
def test_measures_that_do_not_fit_are_refused(changes: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        build(**changes)


def test_no_image_or_another_kind_is_refused() -> None:
    for condition in (Condition(), Condition(image=random(1, 1, 32, 32))):
        with pytest.raises(UsageError, match="image"):
            build()(random(1, 2, 8, 8), LEVEL[:1], condition)


@pytest.mark.parametrize("axes", [2, 3])
def test_blocks_of_pixels(axes: int) -> None:
    """A mean over blocks undoes blocks of equal pixels; at a far border it is of what there is."""
    x = random(2, 8 * 3, *[4] * axes)
    spread = depth_to_space(x, 2)
    assert spread.shape == (2, 24 // 2**axes, *[8] * axes)
    first, corner = x.view(2, -1, 2**axes, *[4] * axes), (slice(None), slice(None), *[slice(0, None, 2)] * axes)
    assert torch.equal(spread[corner], first[:, :, 0])
    beside = (*corner[:-1], slice(1, None, 2))
    assert torch.equal(spread[beside], first[:, :, 1]), "channels count along the last axis first"
    torch.testing.assert_close(block_mean(spread, 2), first.mean(2))
    odd = random(1, 1, *[5] * axes, seed=1)
    torch.testing.assert_close(block_mean(odd, 2)[(0, 0, *[2] * axes)], odd[(0, 0, *[4] * axes)])


def test_noise_around_an_answer_is_noise_around_zero_with_the_answer_in_it() -> None:
    """D at x_t of a network with a prior is D at x_t + sigma mu of one without."""
    with_prior, without = build(prior=True), build()
    without.load_state_dict({name: each for name, each in with_prior.state_dict().items() if "centre" not in name})
    image, x, level = random(2, 3, 33, 18), random(2, 2, 9, 5), torch.tensor([0.25, 4.0])
    centre = with_prior.encode(image).features[-1]
    sigma = torch.tensor([1 / (1 + math.exp(-1)), 1.0]).view(2, 1, 1, 1)  # at s = e, and where no signal is left
    moved = without(x + sigma * centre, level, Condition(image=image))
    torch.testing.assert_close(with_prior(x, level, Condition(image=image)), moved, rtol=1e-5, atol=1e-5)
    assert centre.shape == x.shape and centre.std() > 0.01


def test_without_features_a_draw_sees_the_prior_alone() -> None:
    """Two images with one prior are one image to the network that draws."""
    network = build(prior=True, features=False)
    image, x = random(1, 3, 32, 32), random(1, 2, 8, 8)
    encoded, other = network.encode(image), network.encode(random(1, 3, 32, 32, seed=1))
    both = [each._replace(features=(*each.features[:-1], encoded.features[-1])) for each in (encoded, other)]
    outputs = [network(x, LEVEL[:1], Condition(encoded=each)) for each in (*both, other)]
    assert torch.equal(outputs[0], outputs[1]) and not torch.equal(outputs[0], outputs[2])
    assert not torch.equal(encoded.features[0], other.features[0])


def test_what_a_draw_says_at_the_stride_it_says_at_full_size() -> None:
    """Equation (5): a fresh network moves its own answer by as much as the draw differs from it in a block."""
    network = build(awake=False)
    encoded = network.encode(random(1, 3, 32, 32))
    own = block_mean(encoded.logits.softmax(1), 4)
    said = own.clone()
    said[0, 0, :, 4:] = 0.9
    said[0, 1] = 1 - said[0, 0]
    refined = network.refine(said * 2 - 1, encoded)
    moved = (refined - encoded.logits)[0, :, 18, 26]  # two blocks from where it begins
    around = (said / own).log()[0, :, 4, 5:8]
    assert around.amin(1).le(moved + 1e-5).all() and around.amax(1).ge(moved - 1e-5).all()
    torch.testing.assert_close(refined[..., :12], encoded.logits[..., :12], rtol=0, atol=1e-5)
