"""The forward and backward pass is one graph. Run apart, without the shape checks that the tests put in between."""

import subprocess
import sys

PROGRAM = """
import torch
from sfumato.diffusion.process import Condition
from sfumato.networks.unet import UNet

torch.set_num_threads(1)
network = UNet(channels_in=1, channels_out=1, channels_condition=1, classes=2, channels=8, multipliers=(1, 2), blocks=1,
               attention=(1,))
torch.nn.init.normal_(network.head.weight, generator=torch.Generator().manual_seed(0))
x, level = torch.randn(2, 1, 7, 8, generator=torch.Generator().manual_seed(0)), torch.zeros(2)
condition = Condition(image=x, label=torch.tensor([0, 2]))
results = []
for call in (network, torch.compile(network, fullgraph=True, backend="eager")):
    network.zero_grad()
    output = call(x, level, condition)
    output.square().sum().backward()
    results.append([output.detach()] + [parameter.grad.clone() for parameter in network.parameters()])
for plain, compiled in zip(*results, strict=True):
    torch.testing.assert_close(compiled, plain, rtol=1e-4, atol=1e-4)
"""


def test_one_graph_with_the_same_result():
    finished = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr[-2000:]
