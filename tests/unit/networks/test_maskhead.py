"""The mask head: its output is the formula, its queries are a set, and an empty mask is no dead end."""

import pytest
import torch

from sfumato.diffusion.process import Condition
from sfumato.errors import UsageError
from sfumato.networks.maskhead import MaskHead, allowed, semantic

SMALL = {"channels_in": 2, "channels_out": 3, "channels": 8, "multipliers": (1, 2, 2), "blocks": 1, "queries": 5}


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def build(**settings):
    torch.manual_seed(0)
    return MaskHead(**{**SMALL, "width": 16, "layers": 3, "head_channels": 8, **settings}).eval()


@pytest.mark.parametrize("size", [(4, 5), (2, 3, 4)])
@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_the_score_of_a_class_is_the_formula(size, scale):
    classes, masks = scale * random(2, 5, 4), scale * random(2, 5, *size, seed=1)
    shares = torch.einsum("bqk,bq...->bk...", classes.double().softmax(2)[..., :-1], masks.double().sigmoid())
    torch.testing.assert_close(semantic(classes, masks).double(), shares.log(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("value", [-300.0, 300.0])
def test_no_logit_is_too_large(value):
    masks = torch.full((1, 4, 2, 2), value, requires_grad=True)
    classes = torch.tensor([[[0.0, value, -value]]]).repeat(1, 4, 1).requires_grad_()
    scores = semantic(classes, masks)
    scores.sum().backward()
    assert scores.isfinite().all() and masks.grad.isfinite().all() and classes.grad.isfinite().all()
    where = min(value, 0.0)
    what = torch.tensor([0.0, value]) - 300
    torch.testing.assert_close(scores[0, :, 0, 0].detach(), torch.log(torch.tensor(4.0)) + what + where)


def test_what_and_where_that_exclude_each_other_leave_a_finite_score():
    """The query that has the mask is not of the class, and the one of the class has no mask."""
    classes = torch.tensor([[[0.0, 200.0], [200.0, 0.0]]], requires_grad=True)
    masks = torch.tensor([[[200.0], [-200.0]]], requires_grad=True)
    scores = semantic(classes, masks)
    scores.sum().backward()
    assert scores.item() < -80
    assert scores.isfinite().all() and masks.grad.isfinite().all() and classes.grad.isfinite().all()


def test_scores_stay_exact_in_16_bits():
    classes, masks = random(1, 6, 4), random(1, 6, 3, 3, seed=1)
    with torch.autocast("cpu", torch.bfloat16):
        rough = semantic(classes, masks)
    torch.testing.assert_close(rough, semantic(classes, masks), rtol=0, atol=0)


def test_an_empty_mask_is_looked_past_everywhere():
    masks = torch.tensor([[[-1.0, -2.0, -3.0], [1.0, -1.0, 2.0]], [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]])
    expected = [[[True, True, True], [True, False, True]], [[True, True, True], [True, True, True]]]
    assert allowed(masks).tolist() == expected


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_masks_that_are_empty_or_full_break_nothing(sign):
    network = build()
    with torch.no_grad():
        network.embed_pixels.weight.zero_()
        network.embed_pixels.bias.copy_(sign * torch.arange(16.0))
        network.where[-1].weight.zero_()
        network.where[-1].bias.fill_(5.0)
    output = network(random(2, 2, 8, 8), torch.zeros(2), Condition())
    output.sum().backward()
    assert output.isfinite().all()
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)


def test_the_order_of_queries_does_not_matter():
    network, x = build(), random(2, 2, 9, 8)
    before = network(x, torch.zeros(2), Condition())
    with torch.no_grad():
        network.queries.copy_(network.queries[[3, 0, 4, 2, 1]])
    torch.testing.assert_close(network(x, torch.zeros(2), Condition()), before, rtol=1e-4, atol=1e-4)


def test_what_a_query_may_look_at_follows_its_mask():
    """With one query and one layer: pixels outside of its mask do not change what it becomes."""
    network, seen = build(queries=1, layers=1, multipliers=(1, 2)), []
    network.layers[0].register_forward_hook(lambda _, given, found: seen.append((given, found)))
    network(random(1, 2, 8, 8), torch.zeros(1), Condition())
    (queries, pixels, where), found = seen[0]
    assert where.any() and not where.all()
    changed = torch.where(where[0, 0, :, None], pixels, pixels + 1)
    torch.testing.assert_close(network.layers[0].forward(queries, changed, where), found, rtol=1e-5, atol=1e-5)


def test_the_mask_at_a_coarse_level_is_the_mean_of_the_fine_one():
    network, seen = build(layers=2), []
    with torch.no_grad():
        network.embed_pixels.weight.mul_(5)
    network.layers[0].register_forward_hook(lambda _, given, found: seen.append((given, found)))
    network.embed_pixels.register_forward_hook(lambda _, __, found: seen.append(found))
    network(random(1, 2, 16, 8), torch.zeros(1), Condition())
    embedding, ((queries, _, where), _) = seen
    fine = torch.einsum("bqc,bchw->bqhw", network.where(network.normalise(queries)), embedding)
    coarse = torch.nn.functional.avg_pool2d(fine, 4).flatten(2)
    assert torch.equal(where, allowed(coarse))


def test_one_level_is_enough_and_unused_levels_have_no_weights():
    assert build(multipliers=(1,))(random(1, 2, 5, 5), torch.zeros(1), Condition()).shape == (1, 3, 5, 5)
    assert [len(build(layers=layers).enter) for layers in (1, 2, 3)] == [1, 2, 2]


@pytest.mark.parametrize("settings", [{"width": 3}, {"width": 5, "dimensions": 3}, {"multipliers": ()}, {"blocks": 0}])
def test_what_cannot_be_built_is_refused(settings):
    with pytest.raises(UsageError):
        build(**settings)
