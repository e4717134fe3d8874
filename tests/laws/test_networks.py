"""What holds for every network: any size, any condition, every item on its own, one graph, 16 bits, less memory."""

import os
import subprocess
import sys
from itertools import product

import pytest
import torch

from sfumato.diffusion.process import Condition
from sfumato.errors import UsageError
from sfumato.networks.measure import Call, count_flops, count_parameters

from .networks import NETWORKS, awake

VOLUMES = [name for name, entry in NETWORKS.items() if entry.volumes]
BY_AXIS = [name for name, entry in NETWORKS.items() if entry.halvings]
HALVINGS = {
    "waiting": ((1, 2, 2), (2, 2, 2)),
    "never": ((2, 2, 1), (2, 2, 1)),
    "in turns": ((1, 1, 2), (2, 1, 1)),
}
"""An axis that waits for the finer ones, one that is never halved, and axes that are halved one after the other."""


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=NETWORKS)
def name(request):
    return request.param


@pytest.mark.parametrize("size", [(16, 16), (13, 17), (5, 5), (1, 8), (1, 1)])
def test_images_of_any_size(name, size):
    network = awake(name, channels_in=3, channels_out=2, channels_condition=1, classes=4)
    condition = Condition(image=random(2, 1, *size, seed=1), label=torch.tensor([0, 4]))
    output = network(random(2, 3, *size), torch.tensor([-1.0, 1.0]), condition)
    assert output.shape == (2, 2, *size)
    assert output.isfinite().all()


@pytest.mark.parametrize("name", VOLUMES)
@pytest.mark.parametrize("size", [(8, 8, 8), (5, 6, 9), (1, 4, 4)])
def test_volumes_of_any_size(name, size):
    network = awake(name, channels_in=1, channels_out=1, channels_condition=2, dimensions=3)
    output = network(random(1, 1, *size), torch.zeros(1), Condition(image=random(1, 2, *size, seed=1)))
    assert output.shape == (1, 1, *size)
    assert output.isfinite().all()


@pytest.mark.parametrize("halvings", HALVINGS.values(), ids=HALVINGS)
@pytest.mark.parametrize("name", BY_AXIS)
@pytest.mark.parametrize("size", [(8, 8, 8), (5, 6, 9), (1, 3, 7)])
def test_volumes_of_any_size_whose_axes_are_halved_by_themselves(name, size, halvings):
    network = awake(name, channels_in=1, channels_out=1, channels_condition=2, dimensions=3, halvings=halvings)
    output = network(random(1, 1, *size), torch.zeros(1), Condition(image=random(1, 2, *size, seed=1)))
    assert output.shape == (1, 1, *size)
    assert output.isfinite().all()


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("name", BY_AXIS)
def test_to_name_every_halving_is_to_name_none(name, dimensions):
    """To the bit, initial weights and answers."""
    size, outputs = (9, 6, 7)[:dimensions], []
    for halvings in (None, ((2,) * dimensions,) * 2):
        network = awake(name, dimensions=dimensions, channels_condition=1, halvings=halvings)
        outputs.append(network(random(2, 2, *size), torch.zeros(2), Condition(image=random(2, 1, *size, seed=1))))
    assert torch.equal(*outputs)


@pytest.mark.parametrize("halvings", [((1, 2, 2),), ((1, 2, 2),) * 3, ((2, 2),) * 2, ((4, 2, 2), (1, 2, 2)), ()])
@pytest.mark.parametrize("name", BY_AXIS)
def test_halvings_of_other_levels_or_axes_are_refused(name, halvings):
    with pytest.raises(UsageError, match="for 3 levels of 3 dimensions"):
        awake(name, dimensions=3, halvings=halvings)


@pytest.mark.parametrize(("name", "halvings"), [*((name, None) for name in VOLUMES), *product(BY_AXIS, HALVINGS)])
def test_a_volume_does_not_see_its_batch(name, halvings):
    """In double precision: a mask head looks where its masks are above zero, which rounding may decide."""
    more = {} if halvings is None else {"halvings": HALVINGS[halvings]}
    network = awake(name, classes=3, channels_condition=1, dimensions=3, **more).double()
    x, image = random(3, 2, 5, 6, 9).double(), random(3, 1, 5, 6, 9, seed=1).double()
    level = torch.tensor([-2.0, 0.0, 2.0], dtype=torch.float64)
    label = torch.tensor([0, 3, 2])
    together = network(x, level, Condition(image=image, label=label))
    for item in range(3):
        one = slice(item, item + 1)
        alone = network(x[one], level[one], Condition(image=image[one], label=label[one]))
        torch.testing.assert_close(alone, together[one], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("halvings", HALVINGS.values(), ids=HALVINGS)
@pytest.mark.parametrize("name", BY_AXIS)
def test_every_parameter_of_a_network_of_volumes_receives_a_gradient(name, halvings):
    network = awake(name, channels_condition=1, dimensions=3, halvings=halvings).train()
    condition = Condition(image=random(1, 1, 8, 12, 12, seed=1))
    network(random(1, 2, 8, 12, 12), torch.tensor([0.1]), condition).square().mean().backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert without == []


def convolved(name, size, halvings):
    """Of every convolution of neighbours: how many planes it sees, and the size of its answer."""
    network, found = awake(name, dimensions=3, halvings=halvings), []
    for module in network.modules():
        weight = getattr(module, "weight", None)
        if weight is not None and weight.ndim == 5 and weight.shape[3] > 1:
            module.register_forward_hook(lambda each, _, y: found.append((each.weight.shape[2], tuple(y.shape[2:]))))
    network(random(1, 2, *size), torch.zeros(1), Condition())
    return found


@pytest.mark.parametrize("name", BY_AXIS)
def test_planes_are_not_mixed_before_they_are_halved(name):
    found = convolved(name, (8, 16, 24), HALVINGS["waiting"])
    assert {planes for planes, size in found if size[1] >= 16} == {1}
    assert {planes for planes, size in found if size[1] < 16} == {3}


@pytest.mark.parametrize("name", BY_AXIS)
def test_an_axis_that_is_never_halved_keeps_its_size_and_is_mixed(name):
    found = convolved(name, (8, 16, 7), HALVINGS["never"])
    assert {size[2] for _, size in found} == {7} and min(planes for planes, _ in found) == 3


def inflated(network, flat):
    """Weights of a network of volumes that does to each plane what one of images does, and mixes no planes."""
    tensors = flat.state_dict()
    for name, tensor in network.state_dict().items():
        given = tensors[name]
        if tensor.shape == given.shape:
            tensor.copy_(given)
        else:
            tensor.zero_()[:, :, tensor.shape[2] // 2] = given


PLANES = [(name, halvings) for name in BY_AXIS if name != "maskhead" for halvings in ("waiting", "flat", "one")]
PLANES.remove(("ncsnpp", "waiting"))  # beyond the first and the last plane its filter sees zeros
PLANES.remove(("ncsnpp", "one"))
PLANES.remove(("amortised", "one"))  # where the state is halved first, its block has pixels of two planes


@pytest.mark.parametrize(("name", "kind"), PLANES)
def test_a_volume_of_equal_planes_is_one_plane(name, kind):
    """In double precision, but that an amortised network takes the softmax of its own answer in single.

    A mask head is left out: it knows where a plane is.
    """
    halvings = {"waiting": HALVINGS["waiting"], "flat": ((1, 2, 2),) * 2, "one": ((2, 2, 2), (1, 2, 2))}[kind]
    flat = awake(name, channels_condition=1).double()
    network = awake(name, channels_condition=1, dimensions=3, halvings=halvings).double()
    inflated(network, flat)
    x, image, level = (each.double() for each in (random(2, 2, 9, 6), random(2, 1, 9, 6, seed=1), random(2)))
    expected = flat(x, level, Condition(image=image))[:, :, None]
    planes = [each[:, :, None].expand(-1, -1, 4, -1, -1) for each in (x, image)]
    found = network(planes[0], level, Condition(image=planes[1]))
    rounding = 1e-6 if name == "amortised" else 1e-9
    assert (found - expected).abs().max() < rounding * expected.abs().max()


def test_no_label_is_the_learned_null_class(name):
    network, x, level = awake(name, classes=3), random(2, 2, 8, 8), torch.zeros(2)
    null = network(x, level, Condition(label=torch.full((2,), 3)))
    torch.testing.assert_close(network(x, level, Condition()), null, rtol=0, atol=0)
    assert (network(x, level, Condition(label=torch.tensor([0, 1]))) - null).abs().amax((1, 2, 3)).min() > 1e-3


def test_no_augmentation_is_zero_augmentation(name):
    network, x, level = awake(name, augment_labels=4), random(2, 2, 8, 8), torch.zeros(2)
    plain = network(x, level, Condition())
    torch.testing.assert_close(network(x, level, Condition(augment=torch.zeros(2, 4))), plain, rtol=0, atol=0)
    assert (network(x, level, Condition(augment=torch.ones(2, 4))) - plain).abs().max() > 1e-3


def test_the_image_condition_is_seen(name):
    network, x, level = awake(name, channels_condition=1), random(1, 2, 8, 8), torch.zeros(1)
    outputs = [network(x, level, Condition(image=random(1, 1, 8, 8, seed=seed))) for seed in (1, 2)]
    assert (outputs[0] - outputs[1]).abs().max() > 1e-3


def test_the_level_and_the_state_change_the_output(name):
    network, x = awake(name), random(1, 2, 8, 8)
    outputs = torch.cat([network(x, torch.tensor([level]), Condition()) for level in (-2.0, 0.0, 0.1, 2.0)])
    assert torch.pdist(outputs.flatten(1)).min() > 1e-3
    assert (network(random(1, 2, 8, 8, seed=1), torch.zeros(1), Condition()) - outputs[1]).abs().max() > 1e-3


def test_an_item_does_not_see_its_batch(name):
    network = awake(name, classes=3, channels_condition=1)
    x, image, level = random(3, 2, 9, 8), random(3, 1, 9, 8, seed=1), torch.tensor([-2.0, 0.0, 2.0])
    label = torch.tensor([0, 3, 2])
    together = network(x, level, Condition(image=image, label=label))
    for item in range(3):
        one = slice(item, item + 1)
        alone = network(x[one], level[one], Condition(image=image[one], label=label[one]))
        torch.testing.assert_close(alone, together[one], rtol=1e-4, atol=1e-4)


def test_every_parameter_receives_a_gradient(name):
    network = awake(name, classes=2, augment_labels=3, channels_condition=1).train()
    condition = Condition(image=random(2, 1, 16, 16), label=torch.tensor([0, 2]), augment=random(2, 3))
    network(random(2, 2, 16, 16), torch.tensor([0.1, 0.2]), condition).square().mean().backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert without == []


@pytest.mark.slow
def test_a_fresh_network_learns(name):
    torch.manual_seed(0)
    network = NETWORKS[name].build(channels_in=2, channels_out=2)
    x = random(2, 2, 8, 8)
    optimizer, losses = torch.optim.Adam(network.parameters(), lr=5e-3), []
    for _ in range(30):
        loss = (network(x, torch.zeros(2), Condition()) - x.tanh()).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_gradient_checkpointing_changes_memory_and_nothing_else(name):
    kept, gradients, outputs = [], [], []
    for wanted in (False, True):
        network = awake(name, gradient_checkpointing=wanted).train()
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, s=sizes: (s.append(t.numel()), t)[1], lambda t: t):
            output = network(random(2, 2, 16, 16), torch.tensor([0.1, 0.2]), Condition())
            kept.append(sum(sizes))
            output.square().mean().backward()
        outputs.append(output.detach())
        gradients.append([parameter.grad for parameter in network.parameters()])
    torch.testing.assert_close(outputs[1], outputs[0])
    torch.testing.assert_close(gradients[1], gradients[0])
    assert kept[1] < 0.7 * kept[0]


def test_sixteen_bits_are_enough(name):
    network, x = awake(name, classes=2), random(2, 2, 16, 16)
    level, condition = torch.tensor([-1.0, 1.0]), Condition(label=torch.tensor([0, 1]))
    exact = network(x, level, condition)
    with torch.autocast("cpu", torch.bfloat16):
        rough = network(x, level, condition).float()
    assert (rough - exact).norm() < 0.05 * exact.norm()


COMPILED = """
import torch
from sfumato.diffusion.process import Condition
from tests.laws.networks import NETWORKS, awake

torch.set_num_threads(1)
x = torch.randn(2, 2, 16, 16, generator=torch.Generator().manual_seed(0))
level, condition = torch.tensor([-1.0, 1.0]), Condition(image=x[:, :1], label=torch.tensor([0, 2]))
volume = x[..., None].expand(-1, -1, -1, -1, 4)
thick = {"dimensions": 3, "halvings": ((2, 2, 1), (2, 2, 2))}
for name, more in [*((name, {}) for name in NETWORKS), ("ncsnpp", thick), ("amortised", thick)]:
    if more:
        x, condition = volume, Condition(image=volume[:, :1], label=condition.label)
    torch._dynamo.reset()
    network, results = awake(name, classes=2, channels_condition=1, **more).train(), []
    for call in (network, torch.compile(network, fullgraph=True, backend="eager")):
        network.zero_grad()
        output = call(x, level, condition)
        output.square().sum().backward()
        results.append([output.detach()] + [parameter.grad.clone() for parameter in network.parameters()])
    for plain, compiled in zip(*results, strict=True):
        rounding = 1e-4 * plain.abs().max().item()  # gradients of edm2 are 1e10; what cancels in them is float32
        torch.testing.assert_close(compiled, plain, rtol=1e-3, atol=rounding, msg=lambda text: name + ": " + text)
"""


@pytest.mark.slow
def test_one_graph_with_the_same_result():
    """Run apart, without the shape checks that the tests put in between."""
    environment = {**os.environ, "PYTHONSAFEPATH": ""}  # the program imports from these tests
    command = [sys.executable, "-c", COMPILED]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr[-2000:]


def test_what_the_network_was_not_built_for_is_refused(name):
    x, level = random(1, 2, 8, 8), torch.zeros(1)
    network = awake(name)
    for condition in (
        Condition(label=torch.zeros(1, dtype=torch.long)),
        Condition(augment=torch.zeros(1, 2)),
        Condition(image=torch.zeros(1, 1, 8, 8)),
    ):
        with pytest.raises(UsageError):
            network(x, level, condition)
    with pytest.raises(UsageError):
        awake(name, channels_condition=1)(x, level, Condition())


def test_operations_and_parameters_are_counted(name):
    network = awake(name, channels_condition=1)
    small, large = (count_flops(network, Call(2, 1, size, labelled=False)) for size in ((16, 16), (32, 32)))
    assert 3.5 * small < large < 20 * small
    assert count_parameters(network) == sum(parameter.numel() for parameter in network.parameters())
