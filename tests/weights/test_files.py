"""Weight files are read, written and compared with networks."""

import os
import pickle
import random
import re

import pytest
import safetensors.torch
import torch
from tiny import AST, RESTORMER, SEMANIR
from torch import nn
from weight_files import ENDINGS, build, wrapped

from ir_plugins.runtime.errors import UserError
from ir_plugins.weights import check_fits, load_network, read_network, read_weights, save_weights


class Code:
    def __reduce__(self):
        return os.mkdir, ("made_by_a_pickle",)


def test_weights_are_chosen_as_basicsr_chooses_them(workplace):
    net = nn.Linear(3, 2)
    torch.save({"params": wrapped(net.state_dict())}, "a.pth")
    for key in ("params", "params_ema"):
        weights = read_weights("a.pth", key)
        check_fits("a.pth", weights, net)
        assert torch.equal(weights["bias"], net.bias)
    torch.save(net.state_dict(), "bare.pth")
    assert set(read_weights("bare.pth", None)) == {"weight", "bias"}


@pytest.mark.parametrize(
    "keys, asked, chosen",
    [
        ("params params_ema state_dict", "params", "params"),
        ("params params_ema state_dict", "params_ema", "params_ema"),
        ("params params_ema state_dict", "state_dict", "state_dict"),
        ("params params_ema state_dict", None, "params"),
        ("params_ema state_dict", "params", "params_ema"),
        ("state_dict optimizer", "params", "state_dict"),
        ("state_dict optimizer", "optimizer", "optimizer"),
        ("generator params", "generator", "generator"),
        ("generator params", "discriminator", "params"),
    ],
)
def test_one_of_several(workplace, keys, asked, chosen):
    torch.save({key: {"name": torch.tensor(len(key))} for key in keys.split()} | {"epoch": 3}, "a.pth")
    assert read_weights("a.pth", asked)["name"] == len(chosen)


@pytest.mark.parametrize(
    "content",
    [
        lambda ema, other: {"params": other, "params_ema": ema},
        lambda ema, other: {"params": ema, "state_dict": other},
        lambda ema, other: {"epoch": 7, "state_dict": wrapped(ema), "optimizer": {"state": {}, "lr": 1e-3}},
        lambda ema, other: ema,
        lambda ema, other: wrapped(ema),
    ],
)
def test_left_to_itself_it_takes_the_best_of_a_published_file(workplace, content):
    ema, other = nn.Linear(3, 2).state_dict(), nn.Linear(3, 2).state_dict()
    torch.save(content(ema, other), "a.pth")
    weights = read_weights("a.pth")
    assert list(weights) == ["weight", "bias"]
    assert torch.equal(weights["weight"], ema["weight"])


@pytest.mark.parametrize("key", ["params", "params_ema", None])
def test_safetensors_have_no_keys(workplace, key):
    safetensors.torch.save_file(wrapped(nn.Linear(3, 2).state_dict()), "a.safetensors")
    assert set(read_weights("a.safetensors", key)) == {"weight", "bias"}


def save_zipped(content, path):
    torch.save(content, path)


def save_as_torch_1_5(content, path):
    torch.save(content, path, _use_new_zipfile_serialization=False)


def pickled(protocol):
    def save(content, path):
        with open(path, "wb") as file:
            pickle.dump(content, file, protocol)

    return save


@pytest.mark.parametrize(
    "save", [save_zipped, save_as_torch_1_5, *(pickled(protocol) for protocol in (0, 2, 3, 4, 5))]
)
def test_code_in_a_pickle_does_not_run(workplace, save):
    save({"params": Code()}, "a.pth")
    with pytest.raises(
        UserError, match=r"a.pth: holds code \(.+\) rather than weights alone, and was not run"
    ):
        read_weights("a.pth")
    assert not (workplace / "made_by_a_pickle").exists()


def test_what_is_code_is_named(workplace):
    torch.save(nn.Linear(3, 2), "net.pth")
    torch.jit.save(torch.jit.script(nn.ReLU()), "script.pth")
    for file, name in {"net.pth": "torch.nn.modules.linear.Linear", "script.pth": "TorchScript"}.items():
        with pytest.raises(UserError, match=rf"holds code \({name}\)"):
            read_weights(file)


@pytest.mark.parametrize(
    "content, found",
    [
        ({}, "nothing"),
        ({"params": 3}, "params"),
        ([1], "nothing"),
        ({"params": {}}, "params"),
        ({"params": {"weight": 1}}, "params"),
        ({"params": {1: torch.zeros(1)}}, "params"),
        ({"epoch": 3, "generator": {"w": torch.zeros(1)}, "two\nlines": 1}, "epoch, generator, two lines"),
        ({f"key{i}" + "k" * 99: i for i in range(99)}, "key0k+, key1k+"),
    ],
)
def test_a_file_without_weights(workplace, content, found):
    torch.save(content, "a.pth")
    with pytest.raises(
        UserError, match=rf"^a.pth: holds no weights under 'params' or a usual key, but {found}; name a net_g"
    ):
        read_weights("a.pth", "params")


def test_a_safetensors_file_without_weights(workplace):
    safetensors.torch.save_file({}, "a.safetensors")
    with pytest.raises(UserError, match=r"a.safetensors: holds no weights .* but nothing"):
        read_weights("a.safetensors")


@pytest.mark.parametrize("file", ENDINGS)
def test_a_damaged_file(workplace, file):
    save_weights(file, nn.Linear(30, 20).state_dict())
    whole = (workplace / file).read_bytes()
    flipped = whole[:100] + bytes(byte ^ 0x5A for byte in whole[100:200]) + whole[200:]
    for content in (
        b"<html>Not found</html>",
        random.Random(0).randbytes(3000),
        *(whole[:n] for n in (1, 9, 999, -1)),
        flipped,
    ):
        (workplace / file).write_bytes(content)
        with pytest.raises(
            UserError, match=rf"^{file}: cannot be read: damaged, or no weight file; name [^\n]+$"
        ):
            read_weights(file)
    (workplace / file).write_bytes(b"")
    with pytest.raises(UserError, match=f"{file}: cannot be read: it is empty"):
        read_weights(file)


@pytest.mark.parametrize("file", ENDINGS)
def test_a_file_that_is_not_there(workplace, file):
    with pytest.raises(UserError, match=f"^no such file: {file}$"):
        read_weights(file)
    (workplace / file).mkdir()
    with pytest.raises(UserError, match=f"^{file}: cannot be read: it is a folder, not a file$"):
        read_weights(file)


def awkward():
    """Tensors of every kind that weights come in, and views of each other."""
    many = torch.randn(7, 1000)
    kinds = (torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.complex64, torch.int64)
    kinds += (torch.int32, torch.uint8, torch.bool)
    return {
        **{str(kind): (100 * torch.randn(3, 5)).to(kind) for kind in kinds},
        "nan and -0": torch.tensor([0x7FC01234, -(2**31)], dtype=torch.int32).view(torch.float32),
        "scalar": torch.tensor(2.5),
        "nothing": torch.zeros(0, 3),
        "parameter": nn.Parameter(torch.randn(2)),
        "channels last": torch.randn(5, 3, 2, 2).to(memory_format=torch.channels_last),
        "transposed": torch.randn(3, 5).mT,
        "expanded": torch.randn(3, 1).expand(3, 4),
        "a part": many[2, 5:9],
        "the same part": many[2, 5:9],
        "an overlapping part": many[2, 7:11],
    }


def bits(tensor):
    return tensor.detach().contiguous().flatten().view(torch.uint8).tolist()


@pytest.mark.parametrize("file", ENDINGS)
def test_what_is_written_is_read_bit_by_bit(workplace, file):
    weights = awkward()
    save_weights(f"new/folder/{file}", weights)
    read = read_weights(f"new/folder/{file}")
    assert sorted(read) == sorted(weights)
    for name, value in weights.items():
        assert (read[name].dtype, read[name].shape) == (value.dtype, value.shape), name
        assert bits(read[name]) == bits(value), name
    path = workplace / "new/folder" / file
    assert path.stat().st_size < 20_000  # not all the memory that the parts are of
    assert list(path.parent.iterdir()) == [path]


def test_the_key_in_a_pth(workplace):
    save_weights("a.pth", {"name": torch.ones(2)})
    save_weights("b.pth", {"name": torch.ones(2)}, "params_ema")
    assert list(torch.load("a.pth")) == ["params"] and list(torch.load("b.pth")) == ["params_ema"]


@pytest.mark.parametrize("path", ["a.pt", "a.onnx", "a", "folder.pth/a"])
def test_other_endings_are_refused(workplace, path):
    with pytest.raises(UserError, match=rf"{path}: weights are written as .pth or .safetensors"):
        save_weights(path, {"name": torch.ones(2)})
    assert not list(workplace.iterdir())


@pytest.mark.parametrize("file", ENDINGS)
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_older_file(workplace, monkeypatch, file, error):
    def fails(*_):
        raise error

    save_weights(file, {"name": torch.ones(2)})
    before = (workplace / file).read_bytes()
    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises((UserError, KeyboardInterrupt)) as caught:
        save_weights(file, {"name": torch.zeros(2)})
    assert str(caught.value) in ("", f"{file}: cannot be written: No space left on device")
    assert (workplace / file).read_bytes() == before and len(list(workplace.iterdir())) == 1


def test_a_folder_that_is_a_file(workplace):
    (workplace / "file").touch()
    with pytest.raises(UserError, match=r"file/a.pth: cannot be written: "):
        save_weights("file/a.pth", {"name": torch.ones(2)})


def test_what_does_not_fit_is_named():
    weights = {"weight": torch.zeros(2, 5), "extra": torch.zeros(1)}
    with pytest.raises(
        UserError,
        match=r"w.pth: does not fit Linear: bias is missing, extra has no place in the network and 1 more",
    ):
        check_fits("w.pth", weights, nn.Linear(3, 2))


@pytest.mark.parametrize(
    "type, arguments, advice",
    [
        (
            "Restormer",
            RESTORMER | {"dim": 10, "heads": [1, 2, 4, 5]},
            "of Restormer with dim 6, heads [1, 2, 3, 4]",
        ),
        (
            "Restormer",
            RESTORMER | {"LayerNorm_type": "BiasFree"},
            "of Restormer with LayerNorm_type WithBias",
        ),
        ("Restormer", RESTORMER | {"ffn": "mlp"}, "take network_g from the option file"),
        ("AST", AST, "these are weights of Restormer; write"),
        ("SemanIR", SEMANIR, "these are weights of Restormer; write"),
    ],
)
def test_what_would_fit_is_named(type, arguments, advice):
    weights = build("Restormer", **RESTORMER).state_dict()
    with torch.device("meta"):
        net = build(type, **arguments)
    with pytest.raises(UserError, match=rf"^w.pth: does not fit {type}: .*{re.escape(advice)}"):
        check_fits("w.pth", weights, net)


def test_weights_of_semanir_for_another_network():
    weights = build("SemanIR", **SEMANIR).state_dict()
    with pytest.raises(UserError, match=r"does not fit Restormer: .*; these are weights of SemanIR; write"):
        check_fits("w.pth", weights, build("Restormer", **RESTORMER))
    with pytest.raises(UserError, match=r"does not fit SemanIR: .*; take network_g from the option file"):
        check_fits("w.pth", weights, build("SemanIR", **SEMANIR | {"embed_dim": 8}))


def test_another_programs_metadata(workplace):
    weights = build("Restormer", **RESTORMER).state_dict()
    safetensors.torch.save_file(weights, "a.safetensors", metadata={"network": "Restormer, the small one"})
    assert read_network("a.safetensors") is None
    torch.save({"params": weights, "network": ["Restormer"]}, "a.pth")
    assert read_network("a.pth") is None and load_network("a.pth")


def test_code_beside_the_weights_does_not_run(workplace):
    weights = build("SemanIR", **SEMANIR).state_dict()
    torch.save({"params": weights, "network": {"network_g": Code()}}, "a.pth")
    for read in (read_network, read_weights, load_network):
        with pytest.raises(UserError, match="holds code"):
            read("a.pth")
    assert not (workplace / "made_by_a_pickle").exists()
