"""Every net with every attention and feed-forward: built, trained a step, and trained from an option file."""

import itertools
import pickle
import re
from pathlib import Path

import pytest
import torch
import yaml
from tiny import tiny_options

from ir_plugins.archs import AST, Restormer, SemanIR, SemanIRUNet
from ir_plugins.blocks import ATTENTIONS, FEED_FORWARDS
from ir_plugins.cli import main

STILL = {"drop_path_rate": 0.0}  # or now and then a branch is dropped and gets no gradient
NETS = {
    "Restormer": (
        Restormer,
        {"dim": 4, "num_blocks": [2, 1, 1, 1], "num_refinement_blocks": 1, "heads": [1, 2, 2, 4]},
    ),
    "AST": (AST, STILL | {"embed_dim": 4, "depths": [1] * 8 + [2], "num_heads": [1] * 8 + [2]}),
    "SemanIR": (
        SemanIR,
        STILL | {"embed_dim": 6, "depths": [2, 1], "num_heads": [3, 2], "num_feat": 5, "window_size": 5},
    ),
    "SemanIRUNet": (
        SemanIRUNet,
        STILL | {"embed_dim": 4, "depths": [2] + [1] * 6, "num_heads": [1] * 7, "window_size": 5},
    ),
}
STAGES = {"Restormer": 8, "AST": 9, "SemanIR": 2, "SemanIRUNet": 7}
WITHOUT_ATTENTION = {"AST": 4}  # its encoder, as published
PAPER = {
    "Restormer": ("mdta", "gdfn"),
    "AST": ("assa", "leff"),
    "SemanIR": ("key_semantic", "mlp"),
    "SemanIRUNet": ("key_semantic", "mlp"),
}


def build(name, **designs):
    torch.manual_seed(0)
    arch, options = NETS[name]
    return arch(**options, **designs)


def designs_of(net):
    """The classes of attention (or None) and feed-forward of each block, in the order the data flows."""
    blocks = [m for m in net.modules() if hasattr(m, "attn") and hasattr(m, "norm2")]
    return [type(b.attn) if b.attn else None for b in blocks], [
        type(getattr(b, "mlp", None) or b.ffn) for b in blocks
    ]


@pytest.mark.parametrize("ffn", FEED_FORWARDS)
@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("name", NETS)
def test_every_net_takes_every_design(name, attention, ffn):
    net = build(name, attention=attention, ffn=ffn)
    attentions, feed_forwards = designs_of(net)
    bare = WITHOUT_ATTENTION.get(name, 0)
    assert attentions == [None] * bare + [ATTENTIONS[attention]] * (len(attentions) - bare)
    assert set(feed_forwards) == {FEED_FORWARDS[ffn]}
    y = net(torch.rand(2, 3, 37, 41))
    y.square().sum().backward()
    assert y.shape[-2:] == ((74, 82) if name == "SemanIR" else (37, 41))
    without = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without, f"no gradient for {without}"


@pytest.mark.parametrize("name", NETS)
def test_no_design_is_the_papers(name):
    attention, ffn = PAPER[name]
    own, named = build(name), build(name, attention=attention, ffn=ffn)
    assert designs_of(own) == designs_of(named)
    x = torch.rand(1, 3, 17, 23)
    with torch.no_grad():
        assert torch.equal(own.eval()(x), named.eval()(x))


@pytest.mark.parametrize("name", NETS)
def test_one_design_per_stage(name):
    cycle = {
        "attention": ["window", {"type": "assa", "window_size": 3}, "none", None, "mdta", "key_semantic"],
        "ffn": ["frfn", None, {"type": "gdfn", "ratio": 1.5}, "mlp", "leff"],
    }
    lists = {key: list(itertools.islice(itertools.cycle(v), STAGES[name])) for key, v in cycle.items()}
    net = build(name, **lists)
    own = designs_of(build(name))
    depths = stage_depths(name)
    for key, known, found, paper in zip(
        lists, (ATTENTIONS, FEED_FORWARDS), designs_of(net), own, strict=True
    ):
        per_block = [design for design, depth in zip(lists[key], depths, strict=True) for _ in range(depth)]
        names = [design["type"] if isinstance(design, dict) else design for design in per_block]
        assert found == [p if n is None else known.get(n) for n, p in zip(names, paper, strict=True)]
    sizes = {m.window_size for m in net.modules() if isinstance(m, ATTENTIONS["assa"])}
    assert sizes == {3}
    net(torch.rand(1, 3, 17, 23)).sum().backward()


def stage_depths(name):
    options = NETS[name][1]
    if name != "Restormer":
        return options["depths"]
    n = options["num_blocks"]
    return [*n, *n[2::-1], options["num_refinement_blocks"]]


@pytest.mark.parametrize("name", NETS)
def test_none_switches_attention_off(name):
    net = build(name, attention="none")
    assert set(designs_of(net)[0]) == {None}
    assert not [key for key, _ in net.named_parameters() if "attn" in key or "qkv" in key]
    net(torch.rand(1, 3, 17, 23)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())


@pytest.mark.parametrize("name", NETS)
def test_arguments_reach_every_block(name):
    net = build(name, attention={"type": "window", "window_size": 3, "qkv_bias": False}, ffn="mlp")
    attentions = [m for m in net.modules() if isinstance(m, ATTENTIONS["window"])]
    assert {(a.window_size, a.qkv.to_q.bias) for a in attentions} == {(3, None)}
    assert any(a.shifted for a in attentions) and not all(a.shifted for a in attentions)


def option_file(net, iterations=2, **designs):
    """o.yml, for `net` with these designs, on the data of the fixture `tiny`."""
    options = tiny_options(net)
    options["network_g"] = {"type": net, **NETS[net][1], **designs}
    options["datasets"]["train"]["num_worker_per_gpu"] = 0
    del options["val"], options["datasets"]["val"]
    options["train"]["total_iter"] = iterations
    options["logger"]["use_tb_logger"] = False
    if net != "SemanIR":
        options["scale"] = 1
        options["datasets"]["train"]["dataroot_lq"] = options["datasets"]["train"]["dataroot_gt"]
    Path("o.yml").write_text(yaml.safe_dump(options, sort_keys=False))


# a Latin square: each net meets each attention and each feed-forward once, and no pair meets two nets
TRAINED = [
    (net, attention, list(FEED_FORWARDS)[(row + column) % len(FEED_FORWARDS)])
    for row, net in enumerate(NETS)
    for column, attention in enumerate(ATTENTIONS)
]


def test_each_net_is_trained_with_every_design():
    assert len(NETS) == len(ATTENTIONS) == len(FEED_FORWARDS)  # else the square has gaps
    assert len({(attention, ffn) for _, attention, ffn in TRAINED}) == len(TRAINED)
    for net in NETS:
        assert {ffn for name, _, ffn in TRAINED if name == net} == set(FEED_FORWARDS)


@pytest.mark.parametrize("net, attention, ffn", TRAINED)
def test_designs_train_from_an_option_file_alone(tiny, fresh_logger, net, attention, ffn):
    option_file(net, attention=attention, ffn=ffn)
    assert main(["train", "-opt", "o.yml"]) == 0
    models = Path("experiments") / net / "models"
    trained = torch.load(models / "net_g_2.pth", weights_only=True)["params"]
    before = build(net, attention=attention, ffn=ffn).state_dict()
    assert list(trained) == list(before)
    assert all(value.isfinite().all() for value in trained.values())
    state = torch.load(f"experiments/{net}/training_states/2.state", weights_only=True)
    moments = state["optimizers"][0]["state"].values()
    # every parameter took part in both steps
    assert len(moments) == len(list(build(net, attention=attention, ffn=ffn).parameters()))
    assert all(entry["step"] == 2 for entry in moments)


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize(
    "designs, message",
    [
        (
            {"attention": "asa"},
            "attention: 'asa' is unknown (did you mean assa?); choose assa, key_semantic, mdta",
        ),
        ({"ffn": "gdnf"}, "ffn: 'gdnf' is unknown (did you mean gdfn?); choose frfn, gdfn, leff, mlp"),
        ({"ffn": "none"}, "ffn: 'none' is unknown; choose frfn"),
        (
            {"attention": {"type": "assa", "windw_size": 8}},
            "assa takes no 'windw_size' (did you mean window_size?)",
        ),
        (
            {"attention": {"type": "window", "window_size": "8"}},
            "window: window_size is '8'; expected a whole number",
        ),
        ({"attention": {"type": "window", "window_size": 0}}, "window_size=0 must be at least 1 pixel"),
        ({"attention": {"window_size": 8}}, "attention: {'window_size': 8} must be a name or {type: name"),
        ({"ffn": {"type": "mlp", "dim": 8}}, "mlp takes no 'dim'"),
        ({"ffn": ["mlp", "gdfn", "frfn"]}, "ffn: 3 designs for "),
        ({"attention": 3}, "attention: is 3; expected text or a block of keys"),
    ],
)
def test_a_design_that_cannot_work_gets_one_line(workplace, capsys, net, designs, message):
    option_file(net, **designs)
    assert main(["check", "-opt", "o.yml"]) == 2
    out, error = capsys.readouterr()
    (line,) = error.splitlines()
    assert out == "" and message in line
    assert re.search(r"o\.yml:\d+: network_g", line)


@pytest.mark.parametrize("net", NETS)
def test_nets_can_be_pickled(net):
    built = build(net, attention="assa", ffn="leff").eval()
    x = torch.rand(1, 3, 7, 11)
    assert torch.equal(pickle.loads(pickle.dumps(built))(x), built(x))
