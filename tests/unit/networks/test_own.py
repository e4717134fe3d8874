"""A network of the user's own: named, allowed, built, checked; nothing else is called, or even imported."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sfumato.builder.network import build_network
from sfumato.data.intensity import Intensity
from sfumato.data.spec import Spec
from sfumato.errors import UsageError
from sfumato.networks import factory
from sfumato.recipe import load_recipe

SPEC = Spec(
    size=(16, 16),
    channels=1,
    dtype="uint8",
    intensity=Intensity("unit", 0, 255, "8 bit"),
    classes=("a", "b"),
    mask_classes=("background", "lesion"),
    mask_rule=None,
    readers=1,
)
NETWORK = """
import torch
from sfumato import network_factory

class Own(torch.nn.Module):
    def __init__(self, inwards, outwards, width):
        super().__init__()
        self.enter, self.leave = torch.nn.Conv2d(inwards, width, 3, padding=1), torch.nn.Conv2d(width, outwards, 1)

    def forward(self, x, level, condition):
        if condition.image is not None:
            x = torch.cat([x, condition.image], 1)
        return self.leave(self.enter(x).relu())

@network_factory
def build(*, channels_in, channels_out, channels_condition, classes, augment_labels, size, width=4):
    return Own(channels_in + channels_condition, channels_out, width)

@network_factory
def narrow(**shape):
    return Own(shape["channels_in"] + shape["channels_condition"], 7, 4)

@network_factory
def wrong(**shape):
    return 3

named = network_factory(lambda **shape: build(**shape))

def unmarked(**shape):
    raise AssertionError("must not be called")
"""
SCRIPT = "from pathlib import Path\nPath({ran!r}).touch()  # network_factory\n"


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing allowed or marked, a current folder of its own, and no installed packages but those of a test."""
    monkeypatch.chdir(tmp_path)
    for name in ("path", "meta_path"):
        monkeypatch.setattr(sys, name, list(getattr(sys, name)))
    monkeypatch.setattr(sys, "modules", sys.modules.copy())
    monkeypatch.setattr(factory, "_allowed", [])
    monkeypatch.setattr(factory, "_marked", {})
    monkeypatch.setattr(factory, "_site_folders", lambda: [str(tmp_path / "site")])


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    """A file that `SCRIPT` makes when it is run."""
    return tmp_path / "ran"


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def install(site: Path, name: str, *files: str, **told: str) -> None:
    """The record of a distribution in a folder of packages."""
    about = site / f"{name}-1.0.dist-info"
    write(about / "METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    write(about / "RECORD", "".join(f"{file},,\n" for file in files))
    for file, text in told.items():
        write(about / file.replace("__", "."), text)


def build(words: str, task: str = "segment", options: str = "{}"):  # type: ignore[no-untyped-def]
    network = f"network={{kind: own, factory: '{words}', options: {options}}}"
    settings = [network, "process={kind: edm, sigma_data: 0.5}"]
    if task == "segment":
        settings[1] = "process={kind: gaussian, prediction: logits, critical_log_snr: null}"
    return build_network(load_recipe(task, settings=settings), SPEC)  # type: ignore[arg-type]


@pytest.mark.parametrize("task", ["segment", "generate"])
@pytest.mark.parametrize("function", ["build", "named"])
def test_the_named_function_of_allowed_code_builds_it_with_its_options(task: str, function: str) -> None:
    factory.allow_code(write(Path("own_networks.py"), NETWORK))
    if function == "build":
        assert build("own_networks:build", task, "{width: 9}").enter.out_channels == 9
    assert build(f"own_networks:{function}", task).enter.out_channels == 4


def test_it_is_told_the_size_of_volumes_and_a_network_of_images_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sfumato.builder.network.seen_size", lambda *_: (4, 8, 6))
    of_volumes = NETWORK.replace("Conv2d", "Conv3d").replace("def build(", "def volumes(")
    factory.allow_code(write(Path("own_networks.py"), NETWORK))
    factory.allow_code(write(Path("own_volumes.py"), of_volumes.replace("width=4):", "width=9):\n    width = size[0]")))
    assert build("own_volumes:volumes").enter.out_channels == 4
    with pytest.raises(UsageError, match="fails on data of 4 x 8 x 6"):
        build("own_networks:build")


@pytest.mark.parametrize(
    ("words", "finding"),
    [
        ("own_networks:unmarked", "not marked"),
        ("own_networks:missing", "not marked"),
        ("own_script:build", "not marked"),
        ("os:system", "neither"),
        ("sfumato.networks.unet:UNet", "neither"),
        ("own_missing:build", "neither"),
        ("__main__:build", "neither"),
        ("own_networks", "no name"),
        ("own_networks:", "no name"),
        (".own_networks:build", "no name"),
        ("own_networks:build.__globals__", "no name"),
        ("../own_networks:build", "no name"),
        ("own_networks:narrow", "returns"),
        ("own_networks:wrong", "returned a int"),
    ],
)
def test_anything_else_is_refused_in_words(words: str, finding: str, ran: Path) -> None:
    write(Path("own_networks.py"), NETWORK)
    write(Path("own_script.py"), SCRIPT.format(ran=str(ran)))
    factory.allow_code(Path())
    with pytest.raises(UsageError, match=finding):
        build(words)
    assert not ran.exists()


def test_an_option_that_the_function_does_not_know_is_refused() -> None:
    factory.allow_code(write(Path("own_networks.py"), NETWORK))
    with pytest.raises(UsageError, match="depth"):
        build("own_networks:build", options="{depth: 3}")


@pytest.mark.parametrize("words", ["own_networks:build", "parcel.own_networks:build", "parcel.sub.own_networks:build"])
@pytest.mark.parametrize("on_path", [False, True])
def test_the_current_folder_is_no_permission(words: str, on_path: bool, ran: Path) -> None:
    """Neither by itself nor on `sys.path`, as `python -m` and PYTHONPATH put it; no package is imported on the way."""
    if on_path:
        sys.path.insert(0, str(Path.cwd()))
    script = SCRIPT.format(ran=str(ran)) + NETWORK
    for file in ("own_networks.py", "parcel/__init__.py", "parcel/own_networks.py", "parcel/sub/own_networks.py"):
        write(Path(file), script)
    install(Path.cwd(), "parcel", "parcel/__init__.py", "parcel/own_networks.py", "own_networks.py")
    with pytest.raises(UsageError, match="--allow-code"):
        build(words)
    assert not ran.exists()


def test_an_allowed_file_allows_no_other_and_a_folder_its_modules(ran: Path) -> None:
    write(Path("code/parts.py"), NETWORK)
    write(Path("code/own_networks.py"), "from parts import Own\nfrom sfumato import network_factory\n" + NETWORK)
    factory.allow_code(Path("code/own_networks.py"))
    with pytest.raises(UsageError, match="--allow-code FOLDER"):
        build("own_networks:build")
    with pytest.raises(UsageError, match="neither"):
        build("parts:build")
    factory.allow_code(Path("code"))
    assert build("own_networks:build").enter.out_channels == 4
    assert build("parts:build").enter.out_channels == 4


def test_an_allowed_package_is_found_by_its_name_and_its_modules_are_read_before_they_are_run(ran: Path) -> None:
    write(Path("code/parcel/__init__.py"), "")
    write(Path("code/parcel/deep/nets.py"), NETWORK)
    write(Path("code/parcel/other.py"), SCRIPT.format(ran=str(ran)))
    factory.allow_code(Path("code/parcel"))
    assert build("parcel.deep.nets:build").enter.out_channels == 4
    with pytest.raises(UsageError, match="not marked"):
        build("parcel.other:build")
    assert not ran.exists()


def test_allowed_code_takes_the_place_of_no_other_module() -> None:
    for name in ("json", "pytest"):
        factory.allow_code(write(Path(f"{name}.py"), NETWORK))
        with pytest.raises(UsageError, match="name of another module"):
            build(f"{name}:build")


def test_code_that_fails_is_told_in_words() -> None:
    factory.allow_code(write(Path("broken.py"), NETWORK + "1 / 0\n"))
    with pytest.raises(UsageError, match="ZeroDivisionError"):
        build("broken:build")


@pytest.mark.parametrize("path", ["missing.py", "notes.txt"])
def test_only_code_is_allowed(path: str) -> None:
    write(Path("notes.txt"), "")
    with pytest.raises(UsageError, match="no code"):
        factory.allow_code(Path(path))


def test_a_function_that_this_program_has_marked_needs_no_permission() -> None:
    names: dict[str, Callable[..., object]] = {"__name__": "a_notebook"}
    exec(NETWORK, names)
    assert build("a_notebook:build").enter.out_channels == 4


def test_a_module_of_an_installed_package_is_found_where_it_was_installed(tmp_path: Path, ran: Path) -> None:
    site = tmp_path / "site"
    write(site / "shop" / "__init__.py", "")
    write(site / "shop" / "nets.py", NETWORK)
    write(site / "shop" / "tool.py", SCRIPT.format(ran=str(ran)))
    write(site / "stray.py", NETWORK)
    install(site, "shop", "shop/__init__.py", "shop/nets.py", "shop/tool.py")
    sys.path.append(str(site))
    assert build("shop.nets:build").enter.out_channels == 4
    refused = {"shop.tool:build": "not marked", "shop.none:build": "neither", "stray:build": "neither"}
    for words, finding in refused.items():
        with pytest.raises(UsageError, match=finding):
            build(words)
    assert not ran.exists()


@pytest.mark.parametrize("inner", ["shop/__init__.py", "shop/nets.py"])  # a package, or a share of a namespace
def test_an_installed_name_is_not_taken_by_another_package(inner: str, tmp_path: Path, ran: Path) -> None:
    site = tmp_path / "site"
    write(site / inner, NETWORK)
    install(site, "shop", inner)
    write(Path("here") / inner, SCRIPT.format(ran=str(ran)) + NETWORK)
    sys.path[:0] = [str(Path("here").absolute()), str(site)]
    with pytest.raises(UsageError, match="another of its name"):
        build("shop:build" if inner.endswith("__init__.py") else "shop.nets:build")
    assert not ran.exists()


def test_a_project_installed_as_it_lies_counts_where_its_installation_says(tmp_path: Path) -> None:
    site, project = tmp_path / "site", tmp_path / "project"
    write(project / "src" / "shop.py", NETWORK)
    write(project / "download" / "stray.py", NETWORK)
    write(site / "shop.pth", f"{project / 'src'}\n{tmp_path}\n")
    where = f'{{"url": "{project.as_uri()}", "dir_info": {{"editable": true}}}}'
    install(site, "shop", "shop.pth", direct_url__json=where)
    sys.path[:0] = [str(project / "src"), str(project / "download")]
    assert build("shop:build").enter.out_channels == 4
    with pytest.raises(UsageError, match="neither"):
        build("stray:build")
