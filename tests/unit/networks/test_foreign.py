"""The U-Nets of diffusers and MONAI behind our call."""

import sys

import pytest
import torch

from sfumato.diffusion.process import Condition
from sfumato.errors import UsageError
from sfumato.networks.foreign import MonaiUNet, diffusers_unet

SMALL = {"channels_in": 2, "channels_out": 1, "channels": 16, "multipliers": (1, 2), "blocks": 1, "attention": (1,)}


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def awake(network):
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05)
    return network.eval()


@pytest.mark.parametrize("kind", [diffusers_unet, MonaiUNet])
def test_same_call_as_ours(kind):
    network = awake(kind(**SMALL, channels_condition=1, classes=3))
    x, level, image = random(2, 2, 9, 6), torch.tensor([10.0, 500.5]), random(2, 1, 9, 6, seed=1)
    output = network(x, level, Condition(image=image))
    assert output.shape == (2, 1, 9, 6)
    null = network(x, level, Condition(image=image, label=torch.full((2,), 3)))
    torch.testing.assert_close(output, null, rtol=0, atol=0)
    for other in (
        network(x, level, Condition(image=image, label=torch.tensor([0, 1]))),
        network(x, level + 100, Condition(image=image)),
        network(x, level, Condition(image=image + 1)),
    ):
        assert (other - null).abs().max() > 1e-5


def test_monai_takes_volumes_and_diffusers_says_that_it_does_not():
    network = MonaiUNet(**SMALL, dimensions=3)
    assert network(random(1, 2, 3, 4, 4), torch.zeros(1), Condition()).shape == (1, 1, 3, 4, 4)
    with pytest.raises(UsageError, match="volumes"):
        diffusers_unet(**SMALL, dimensions=3)


@pytest.mark.parametrize(("kind", "package"), [(diffusers_unet, "diffusers"), (MonaiUNet, "monai")])
def test_a_missing_package_is_named(kind, package, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError) as caught:
        kind(**SMALL)
    assert f"pip install sfumato[{package}]" in str(caught.value)
