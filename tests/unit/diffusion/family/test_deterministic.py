"""The deterministic twin ignores the state and answers in one call."""

import torch

from sfumato.diffusion.denoiser import Denoiser
from sfumato.diffusion.family.deterministic import Deterministic
from sfumato.diffusion.process import Condition
from sfumato.diffusion.sampler.ancestral import ancestral
from sfumato.randomness import Noise

X0 = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64).view(2, 2, 1, 1).expand(2, 2, 3, 3)


def test_the_state_is_ignored():
    process = Deterministic()
    one, two = torch.zeros_like(X0), torch.full_like(X0, 9.0)
    for t in (1.0, torch.tensor([0.3, 0.9])):
        for x_t in (one, two):
            given, level = process.network_input(x_t, t)
            assert not given.any() and not level.any()
        assert torch.equal(process.estimate(X0, one, t), process.estimate(X0, two, t))
        assert torch.equal(process.loss(X0, X0, one, t), process.loss(X0, X0, two, t))
        assert not process.corrupt(X0, t, Noise([0, 1])).any()
    assert process.times(torch.rand(2)).tolist() == [1, 1]


def test_one_call_is_the_answer():
    calls = []

    def network(x: torch.Tensor, level: torch.Tensor, condition: Condition) -> torch.Tensor:
        calls.append(x)
        return X0.float() * 3

    process = Deterministic()
    x = process.prior(X0.float(), Noise([0, 1]))
    (step,) = ancestral(process, Denoiser(process, network), x, Condition(), Noise([0, 1]), times=[1.0, 0.0])
    assert len(calls) == 1 and step.t == 0
    torch.testing.assert_close(step.x, 2 * (X0.float() * 3).softmax(1) - 1)


def test_images_are_answered_directly():
    process = Deterministic(prediction="x0")
    assert torch.equal(process.estimate(X0, X0, 1.0), X0)
    torch.testing.assert_close(process.loss(X0 + 0.5, X0, X0, 1.0), torch.tensor([0.25, 0.25], dtype=torch.float64))
