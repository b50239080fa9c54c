"""A weight file becomes a network."""

import pytest
import torch
from tiny import AST, RESTORMER, SEMANIR, SEMANIR_UNET
from weight_files import ENDINGS, build, wrapped

from ir_plugins.runtime.errors import UserError
from ir_plugins.weights import check_fits, load_network, read_network, read_weights, save_weights

from basicsr.utils.registry import ARCH_REGISTRY


@pytest.mark.parametrize("file", ENDINGS)
@pytest.mark.parametrize("type, arguments", [("Restormer", RESTORMER), ("AST", AST)])
def test_a_network_is_built_from_its_weights(workplace, file, type, arguments):
    net = build(type, **arguments)
    save_weights(file, net.state_dict())
    loaded = load_network(file)
    image = torch.rand(1, 3, 17, 23)
    with torch.no_grad():
        assert torch.equal(loaded(image), net(image))
    assert not any(module.training for module in loaded.modules())


def test_a_published_checkpoint_of_ast(workplace):
    net = build("AST", **AST)
    content = {"epoch": 3, "state_dict": wrapped(net.state_dict()), "optimizer": {"state": {}}}
    torch.save(content, "model_best.pth")
    check_fits("model_best.pth", load_network("model_best.pth").state_dict(), net)


def test_a_network_that_is_not_built(workplace):
    net = build("Restormer", **RESTORMER)
    for content, reason in (
        (
            build("SemanIR", **SEMANIR).state_dict(),
            "a.pth: these are weights of SemanIR, and its window_size is",
        ),
        (
            {"weight": torch.zeros(1)},
            r"a.pth: weights named weight, ... fit no network .*\(Restormer, AST\)",
        ),
        (
            net.state_dict() | {"prompt": torch.zeros(1)},
            "a.pth: does not fit Restormer: prompt has no place in the network",
        ),
        (
            net.state_dict() | {"patch_embed.proj.weight": torch.zeros(6, 1, 3, 3)},
            "a.pth: inp_channels=1 and out_channels=3 must be equal",
        ),
    ):
        torch.save(content, "a.pth")
        with pytest.raises(UserError, match=reason):
            load_network("a.pth")


def test_a_network_that_cannot_be_recognised_is_loaded_with_its_block(workplace):
    block = {
        "type": "SemanIR",
        "embed_dim": 6,
        "depths": [1],
        "num_heads": [2],
        "window_size": 5,
        "num_feat": 5,
    }
    net = ARCH_REGISTRY.get("SemanIR")(**{key: value for key, value in block.items() if key != "type"}).eval()
    save_weights("net.pth", net.state_dict())
    x = torch.rand(1, 3, 7, 11)
    assert torch.equal(load_network("net.pth", block)(x), net(x))
    with pytest.raises(UserError, match=r"net\.pth: .* SemanIR, .* give the network_g block"):
        load_network("net.pth")
    with pytest.raises(UserError, match=r"net\.pth: .*embed_dims"):
        load_network("net.pth", block | {"embed_dims": 7})
    with pytest.raises(UserError, match=r"net\.pth: .*SemanIRR"):
        load_network("net.pth", {"type": "SemanIRR"})


def test_a_small_file_cannot_ask_for_any_amount_of_memory(workplace):
    """A tensor of one stored number may claim any shape; the network is compared before it takes memory."""
    weights = ARCH_REGISTRY.get("Restormer")(**RESTORMER).state_dict()
    torch.save(
        {"params": weights | {"patch_embed.proj.weight": torch.ones(1).expand(10**6, 3, 3, 3)}}, "net.pth"
    )
    with pytest.raises(UserError, match=r"net\.pth: "):
        load_network("net.pth")


NETWORKS = [("SemanIR", SEMANIR), ("SemanIRUNet", SEMANIR_UNET), ("Restormer", RESTORMER | {"ffn": "mlp"})]


def saved(type, arguments, file):
    """A file as training saves it, and its net."""
    net = build(type, **arguments)
    network = {"network_g": {"type": type, **arguments}, "scale": 1, "value_range": [0.0, 1.0]}
    save_weights(file, net.state_dict(), "params_ema", network)
    return net, network


@pytest.mark.parametrize("file", ENDINGS)
@pytest.mark.parametrize("type, arguments", NETWORKS)
def test_a_file_that_names_its_network_needs_no_block(workplace, file, type, arguments):
    net, network = saved(type, arguments, file)
    assert read_network(file) == network
    x = torch.rand(1, 3, 7, 11)
    with torch.no_grad():
        assert torch.equal(load_network(file)(x), net(x))
    assert set(read_weights(file)) == set(net.state_dict())
    # what is asked for still counts
    with pytest.raises(
        UserError, match=rf"^{file}: does not fit AST: .*; it was trained with network_g {{type: "
    ):
        load_network(file, {"type": "AST", **AST})


@pytest.mark.parametrize("file", ENDINGS)
@pytest.mark.parametrize(
    "network", [None, {}, {"network_g": None}, {"network_g": {"type": 3}}, {"network_g": 3}]
)
def test_a_file_that_names_no_network_is_recognised_as_before(workplace, file, network):
    net = build("Restormer", **RESTORMER)
    save_weights(file, net.state_dict(), network=network)
    assert read_network(file) is None
    assert type(load_network(file)).__name__ == "Restormer"


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"embed_dims": 5}, "a.pth: .*embed_dims"),
        ({"type": "Nowhere"}, "a.pth: .*Nowhere"),
        ({"embed_dim": 8}, "a.pth: does not fit SemanIR: conv_first.weight is"),
        ({"top_k": 0}, "a.pth: top_k=0 must be"),
        ({"depths": [9000]}, "a.pth: its network has far more parameters than the file holds"),
        ({"depths": [10**12]}, "a.pth: 1000000000000 is no size of a network"),
    ],
)
def test_what_a_file_says_wrongly(workplace, change, reason):
    net = build("SemanIR", **SEMANIR)
    network = {"network_g": {"type": "SemanIR", **SEMANIR, **change}, "scale": 2}
    save_weights("a.pth", net.state_dict(), network=network)
    with pytest.raises(UserError, match=f"^{reason}"):
        load_network("a.pth")
