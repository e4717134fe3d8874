"""Networks of diffusers as their config.json describes them, and what is done to weights that start another network."""

import diffusers
import pytest
import torch

from sfumato.diffusion.process import Condition
from sfumato.errors import ModelError, UsageError
from sfumato.networks.foreign import DiffusersUNet, MonaiUNet
from sfumato.networks.foreign.diffusers_unet import described
from sfumato.networks.foreign.folder import modern
from sfumato.networks.score import ADM, DDPMPP, ScoreUNet
from sfumato.networks.surgery import TENSOR_PLACES, Signature, transplant, unnamed
from sfumato.networks.unet import UNet

TINY = {
    "block_out_channels": [8, 16],
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "sample_size": None,
}
ODD = {
    "attention_head_dim": None,
    "downsample_padding": 0,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "norm_eps": 1e-6,
    "mid_block_scale_factor": 1,
    "center_input_sample": False,
    "act_fn": "silu",
}
"""Flags of the google/ddpm-* configurations; none of them is today's default but the last three."""

CONFIGS = {
    "google/ddpm": ODD,
    "scale and shift": {"resnet_time_scale_shift": "scale_shift", "attention_head_dim": 4},
    "resnet resampling": {"downsample_type": "resnet", "upsample_type": "resnet", "attention_head_dim": 8},
    "centred": {"center_input_sample": True, "mid_block_scale_factor": 2.0, "attention_head_dim": 4},
    "no middle": {"mid_block_type": None, "attention_head_dim": 4, "time_embedding_dim": 24, "attn_norm_num_groups": 2},
    "group norm in the middle": {"attn_norm_num_groups": 2, "add_attention": True, "act_fn": "gelu"},
    "classes": {"num_class_embeds": 4, "attention_head_dim": 4},
    "class as time": {"class_embed_type": "timestep", "attention_head_dim": 4},
}


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def awake(network, seed=0):
    """Every parameter moved, so that no branch is silent."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return network.eval()


def of_diffusers(**signature):
    return awake(DiffusersUNet(config={**TINY, **ODD}, **signature))


def ours(**signature):
    return awake(UNet(channels=8, multipliers=(1, 2), blocks=1, attention=(1,), head_channels=8, **signature))


def of_monai(**signature):
    return awake(MonaiUNet(channels=8, multipliers=(1, 2), blocks=1, attention=(1,), **signature))


def of_score(design):
    """A network of ours with the structure of another paper."""

    def build(**signature):
        return awake(ScoreUNet(design, channels=8, multipliers=(1, 2), blocks=1, attention=(1,), **signature))

    return build


KINDS = {
    "pretrained": of_diffusers, "monai": of_monai, "unet": ours, "ddpmpp": of_score(DDPMPP), "adm": of_score(ADM),
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
def test_any_configuration_computes_what_diffusers_computes(name):
    config, classes = {**TINY, **CONFIGS[name]}, 3 if "class" in name else 0
    theirs = awake(diffusers.UNet2DModel(**config))
    network = DiffusersUNet(config=described(config).config, channels_in=3, channels_out=3, classes=classes).eval()
    network.network.load_state_dict(theirs.state_dict())
    x, label = random(2, 3, 8, 8), torch.tensor([0, 2]) if classes else None
    for step in (0, 7, 999):
        expected = theirs(x, step, class_labels=label).sample
        ours = network(x, torch.full((2,), float(step)), Condition(label=label))
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)


def test_a_configuration_is_written_out_in_full_and_what_is_unknown_is_named():
    told = described({**TINY, **ODD, "_class_name": "UNet2DModel", "num_heads": 3})
    assert told.config["flip_sin_to_cos"] is False and told.config["add_attention"] is True
    assert told.config["block_out_channels"] == [8, 16] and not [key for key in told.config if key.startswith("_")]
    assert told.unknown == ("num_heads",)
    assert told.weights["conv_in.weight"].shape == (8, 3, 3, 3)


@pytest.mark.parametrize(
    ("config", "channels", "finding"),
    [
        ({"time_embedding_type": "fourier"}, 3, "time_embedding_type fourier"),
        ({"time_embedding_type": "learned", "num_train_timesteps": 10}, 3, "time_embedding_type learned"),
        ({"class_embed_type": "identity"}, 3, "class_embed_type identity"),
        ({"class_embed_type": "timestep"}, 3, "needs a class"),
        ({"down_block_types": ["SkipDownBlock2D", "DownBlock2D"]}, 1, "Skip blocks"),
        ({"block_out_channels": [8, 16, 32]}, 3, "builds no UNet2DModel"),
    ],
)
def test_what_ours_has_no_place_for_is_refused(config, channels, finding):
    with pytest.raises(UsageError, match=finding):
        DiffusersUNet(config={**TINY, **config}, channels_in=channels, channels_out=channels)


@pytest.mark.parametrize("names", [("query", "key", "value", "proj_attn"), ("q", "k", "v", "proj_out")])
def test_old_names_of_attention(names):
    state = diffusers.UNet2DModel(**TINY, **ODD).state_dict()
    now = dict(zip(("to_q", "to_k", "to_v", "to_out.0"), names, strict=True))
    old = {}
    for name, tensor in state.items():
        for new, early in now.items():
            if f".{new}." in name:
                name = name.replace(new, early)
                tensor = tensor[..., None, None] if early in "qkv" and tensor.ndim == 2 else tensor
        old[name.replace("group_norm", "norm") if "q" in names else name] = tensor
    assert old.keys() != state.keys()
    read = modern(old)
    assert read.keys() == state.keys()
    assert all(torch.equal(read[name], state[name]) for name in state)


RGB, GREY = Signature("generate", 3), Signature("generate", 1)


def shape(signature):
    return {
        "channels_in": signature.state,
        "channels_out": signature.state * signature.answers,
        "channels_condition": signature.image + signature.estimate,
        "classes": len(signature.classes),
    }


def moved(kind, donor, own):
    """A network, one that started from it, and the report."""
    first, second = KINDS[kind](**shape(donor)), KINDS[kind](**shape(own))
    report = transplant(second, first.state_dict(), places=TENSOR_PLACES[kind], donor=donor, own=own, source="it")
    return first, second, report


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


LEVEL = torch.tensor([1.0, 300.0])


def test_the_same_signature_matches_whole(kind):
    first, second, report = moved(kind, RGB, RGB)
    assert report.matched and not report.adapted + report.new + report.unused
    x = random(2, 3, 8, 8)
    assert torch.equal(first(x, LEVEL, Condition()), second(x, LEVEL, Condition()))


def test_a_grey_network_is_that_of_rgb_on_grey_images(kind):
    first, second, report = moved(kind, RGB, GREY)
    assert len(report.adapted) == 3 and not report.new + report.unused
    x = random(2, 1, 8, 8)
    expected = first(x.expand(-1, 3, -1, -1), LEVEL, Condition()).mean(1, keepdim=True)
    torch.testing.assert_close(second(x, LEVEL, Condition()), expected, rtol=0, atol=1e-5)


def test_an_rgb_network_is_that_of_grey_on_grey_images(kind):
    first, second, _ = moved(kind, GREY, RGB)
    x = random(2, 1, 8, 8)
    expected = first(x, LEVEL, Condition()).expand(-1, 3, -1, -1)
    torch.testing.assert_close(second(x.expand(-1, 3, -1, -1), LEVEL, Condition()), expected, rtol=0, atol=1e-5)


def test_a_learned_variance_stays_one(kind):
    first, second, _ = moved(kind, RGB._replace(answers=2), GREY._replace(answers=2))
    x = random(2, 1, 8, 8)
    both = first(x.expand(-1, 3, -1, -1), LEVEL, Condition()).unflatten(1, (2, 3)).mean(2)
    torch.testing.assert_close(second(x, LEVEL, Condition()), both, rtol=0, atol=1e-5)


def test_an_image_or_an_estimate_that_is_added_changes_nothing(kind):
    first, second, _ = moved(kind, RGB, RGB._replace(image=1, estimate=3))
    x = random(2, 3, 8, 8)
    told = Condition(image=random(2, 4, 8, 8, seed=1))
    torch.testing.assert_close(second(x, LEVEL, told), first(x, LEVEL, Condition()), rtol=0, atol=1e-5)


def test_classes_that_are_added_change_nothing(kind):
    first, second, report = moved(kind, RGB, RGB._replace(classes=("a", "b")))
    assert report.new == [f"{TENSOR_PLACES[kind].label}.weight"]
    x = random(2, 3, 8, 8)
    for label in (None, torch.tensor([0, 1])):
        torch.testing.assert_close(
            second(x, LEVEL, Condition(label=label)), first(x, LEVEL, Condition()), rtol=0, atol=1e-5
        )


def test_classes_keep_their_names_and_others_start_as_none(kind):
    first, second, _ = moved(kind, RGB._replace(classes=("a", "b")), RGB._replace(classes=("c", "b", "d")))
    x, level = random(1, 3, 8, 8), LEVEL[:1]
    for ours, theirs in {0: 2, 1: 1, 2: 2, 3: 2}.items():
        torch.testing.assert_close(
            second(x, level, Condition(label=torch.tensor([ours]))),
            first(x, level, Condition(label=torch.tensor([theirs]))),
            rtol=0, atol=1e-5,
        )  # fmt: skip


def test_without_classes_a_network_is_that_of_no_class(kind):
    first, second, report = moved(kind, RGB._replace(classes=("a", "b")), RGB)
    assert report.adapted == [f"{TENSOR_PLACES[kind].join}.bias"]
    x = random(2, 3, 8, 8)
    torch.testing.assert_close(second(x, LEVEL, Condition()), first(x, LEVEL, Condition()), rtol=0, atol=1e-5)


def test_a_network_of_masks_looks_at_the_image_as_the_generator_did(kind):
    first, second, report = moved(kind, RGB, Signature("segment", 3, image=1))
    stem, head = TENSOR_PLACES[kind].stem, TENSOR_PLACES[kind].head
    assert report.adapted == [f"{stem}.weight"] and report.new == [f"{head}.weight", f"{head}.bias"]
    image, mask = random(1, 1, 8, 8), random(1, 3, 8, 8, seed=1)
    seen = second.get_submodule(stem)(torch.cat([mask, image], 1))
    expected = first.get_submodule(stem)(image.expand(-1, 3, -1, -1))
    torch.testing.assert_close(seen, expected, rtol=0, atol=1e-5)
    assert not second(mask, LEVEL[:1], Condition(image=image)).any()


def test_masks_are_no_start_for_images(kind):
    with pytest.raises(UsageError, match="model of masks"):
        moved(kind, Signature("segment", 2, image=3), RGB)


def test_nothing_that_fits_is_an_error():
    with pytest.raises(ModelError, match="not one of its 1 tensors"):
        transplant(
            ours(**shape(RGB)), {"x": torch.ones(3)}, places=TENSOR_PLACES["unet"], donor=RGB, own=RGB, source="it"
        )


@pytest.mark.parametrize(
    ("rows", "names", "expected"),
    [(3, ("a", "b"), [0.0, 1.0, 2.0]), (2, ("a", "b"), [0.0, 1.0, 0.5]), (5, ("a", "b"), [2.0])],
)
def test_rows_without_names(rows, names, expected):
    table, known = unnamed(torch.arange(float(rows))[:, None], names)
    assert table[:, 0].tolist() == expected and known == (names if rows != 5 else ())
