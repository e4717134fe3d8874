"""A network that is told of jumps is the plain one where there is none."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor

from sfumato.diffusion.process import Condition
from sfumato.networks.jumps import JUMP_LABELS, jump_labels, tell_jumps
from sfumato.networks.unet import UNet

LEVEL = torch.tensor([0.1, -0.2])
X = torch.linspace(-1, 1, 2 * 64).view(2, 1, 8, 8)


def network(augment: int = 0) -> UNet:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = UNet(channels_in=1, channels_out=1, channels=8, multipliers=(1,), augment_labels=augment + JUMP_LABELS)
        for weights in made.parameters():
            torch.nn.init.normal_(weights, std=0.1)
    return made.eval()


def told(of: UNet, **condition: Tensor) -> Tensor:
    with torch.inference_mode():
        answer: Tensor = of(X, LEVEL, Condition(**condition))
    return answer


def test_labels_of_no_jump_are_zero_and_others_differ() -> None:
    labels = jump_labels(torch.tensor([0.0, 0.25, 0.5, 1.0]))
    assert labels.shape == (4, JUMP_LABELS)
    assert not labels[0].any()
    assert torch.cdist(labels, labels).add(torch.eye(4)).min() > 0.5


@pytest.mark.parametrize("augment", [0, 3])
def test_jumps_are_told_and_no_jump_is_the_plain_network(augment: int) -> None:
    plain, jumping = network(augment), network(augment)
    tell_jumps(jumping, augment=augment)
    assert plain.state_dict().keys() == jumping.state_dict().keys()
    assert torch.equal(told(plain), told(jumping))
    assert torch.equal(told(plain), told(jumping, jump=torch.zeros(2)))
    far = told(jumping, jump=torch.tensor([0.0, 0.5]))
    assert torch.equal(far[0], told(plain)[0])
    assert not torch.allclose(far[1], told(plain)[1])


def test_jumps_stand_behind_the_other_labels() -> None:
    plain, jumping = network(3), network(3)
    tell_jumps(jumping, augment=3)
    others, jump = torch.tensor([[1.0, 2.0, 3.0]]).repeat(2, 1), torch.tensor([0.3, 0.7])
    both = told(plain, augment=torch.cat([others, jump_labels(jump)], 1))
    assert torch.equal(told(jumping, augment=others, jump=jump), both)
    alone = told(plain, augment=torch.cat([torch.zeros(2, 3), jump_labels(jump)], 1))
    assert torch.equal(told(jumping, jump=jump), alone)


def test_a_copy_is_told_too() -> None:
    jumping = network()
    tell_jumps(jumping, augment=0)
    jump = torch.tensor([0.3, 0.7])
    assert torch.equal(told(deepcopy(jumping), jump=jump), told(jumping, jump=jump))


def test_guidance_tells_both_branches() -> None:
    twice = Condition(label=torch.tensor([0, 1]), jump=torch.tensor([0.1, 0.2])).twice(2)
    assert twice.jump is not None
    assert twice.jump.tolist() == pytest.approx([0.1, 0.2, 0.1, 0.2])
