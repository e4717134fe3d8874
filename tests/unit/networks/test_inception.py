"""Networks of others as spaces of features: Inception by its two kinds of files, DINOv2 by a folder."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _device as devices

from sfumato.errors import ModelError
from sfumato.networks.foreign.dinov2 import load_dinov2
from sfumato.networks.foreign.inception import Inception, InceptionFile, InceptionProgram, load_inception
from sfumato.provenance import digest


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("inception") / "pt_inception.pth"
    torch.save(Inception().state_dict(), path)
    return path


def test_tensors_are_those_of_the_published_file(weights: Path):
    state = torch.load(weights, weights_only=True)
    assert len(state) == 566
    assert sum(tensor.numel() for name, tensor in state.items() if name.endswith(("weight", "bias"))) == 23_850_960
    shapes = {
        "Conv2d_4a_3x3.conv.weight": (192, 80, 3, 3),
        "Mixed_5b.branch5x5_2.conv.weight": (64, 48, 5, 5),
        "Mixed_6a.branch3x3dbl_3.bn.running_var": (96,),
        "Mixed_6c.branch7x7dbl_4.conv.weight": (160, 160, 7, 1),
        "Mixed_7a.branch7x7x3_2.conv.weight": (192, 192, 1, 7),
        "Mixed_7c.branch3x3dbl_3b.conv.weight": (384, 384, 3, 1),
        "Mixed_7b.branch_pool.conv.weight": (192, 1280, 1, 1),
        "fc.weight": (1008, 2048),
    }
    assert {name: tuple(state[name].shape) for name in shapes} == shapes


def test_features_of_grey_and_colour(weights: Path):
    extractor = load_inception(str(weights))
    assert isinstance(extractor, InceptionFile) and not extractor.network.training
    grey = torch.rand(1, 1, 20, 24) * 2 - 1
    features = extractor.features(grey)
    assert features.shape == (1, 2048) and not features.requires_grad
    torch.testing.assert_close(features, extractor.features(grey.expand(-1, 3, -1, -1)))
    assert extractor.probabilities(features).sum().item() == pytest.approx(1, abs=1e-5)
    with pytest.raises(ModelError, match="2 channels"):
        extractor.features(torch.zeros(1, 2, 8, 8))


class Program(nn.Module):
    """Stands for the TorchScript file: means of the channels, from whole numbers."""

    def forward(self, x: Tensor, return_features: bool = False) -> Tensor:
        return x.float().mean(dim=(2, 3)) if return_features else x.float()


def test_a_torchscript_program_is_given_whole_numbers(tmp_path: Path):
    torch.jit.script(Program()).save(str(tmp_path / "inception.pt"))
    extractor = load_inception(str(tmp_path / "inception.pt"))
    assert isinstance(extractor, InceptionProgram)
    images = torch.tensor([-1.0, 1.0, 0.0])[:, None, None, None].expand(3, 1, 4, 4)
    torch.testing.assert_close(extractor.features(images), torch.tensor([0.0, 255.0, 128.0])[:, None].expand(3, 3))


def test_other_files_are_refused(tmp_path: Path):
    with pytest.raises(ModelError, match="is no file"):
        load_inception(str(tmp_path / "missing.pth"))
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ModelError, match="other weights"):
        load_inception(str(tmp_path / "other.pth"))
    torch.save(Program(), tmp_path / "pickle.pth")
    with pytest.raises(ModelError, match="other weights"):
        load_inception(str(tmp_path / "pickle.pth"))


def test_dinov2_of_a_folder(tmp_path: Path):
    transformers = pytest.importorskip("transformers")
    devices._device_constructors.cache_clear()  # as at the start of a process
    config = transformers.Dinov2Config(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=224)
    transformers.Dinov2Model(config).save_pretrained(tmp_path / "dino")
    extractor = load_dinov2(str(tmp_path / "dino"))
    with torch.device("meta"):
        assert torch.linspace(0, 1, 3).is_meta, "networks are built without memory after it as before"
    features = extractor.features(torch.rand(2, 1, 30, 20) * 2 - 1)
    assert features.shape == (2, 16) and digest(extractor.file) is not None
    with pytest.raises(ModelError, match="cannot be read"):
        load_dinov2(str(tmp_path))
