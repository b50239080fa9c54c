import pytest
import torch
from tiny import AST, RESTORMER, SEMANIR, SEMANIR_UNET

from ir_plugins.runtime.errors import UserError
from ir_plugins.weights.recognition import architecture, recognise

from basicsr.utils.registry import ARCH_REGISTRY


def state(type, **arguments):
    """The state dict of a net, without memory."""
    with torch.device("meta"):
        return ARCH_REGISTRY.get(type)(**arguments).state_dict()


def shapes(weights):
    return {name: value.shape for name, value in weights.items()}


@pytest.mark.parametrize(
    "variant",
    [
        {},
        {"bias": True},
        {"LayerNorm_type": "BiasFree"},
        {"inp_channels": 1, "out_channels": 1},
        {"inp_channels": 6, "dual_pixel_task": True},
        {"inp_channels": 6, "dual_pixel_task": True, "bias": True},
        {"dim": 10, "heads": [5, 2, 4, 1]},
        {"num_blocks": [2, 1, 3, 1], "num_refinement_blocks": 1},
        {"ffn_expansion_factor": 2.0},
        {"ffn_expansion_factor": 3.1},
        {"dim": 48, "heads": [1, 2, 4, 8], "ffn_expansion_factor": 2.7},
    ],
)
def test_restormer(variant):
    arguments = RESTORMER | variant
    assert recognise(state("Restormer", **arguments)) == {"type": "Restormer", **arguments}


@pytest.mark.parametrize(
    "variant",
    [
        {},
        {"token_mlp": "leff"},
        {"token_mlp": "ffn"},
        {"token_mlp": "leff", "mlp_ratio": 2.0},
        {"mlp_ratio": 2.66},
        {"token_mlp": "ffn", "mlp_ratio": 3.1},
        {"qkv_bias": False},
        {"win_size": 4},
        {"win_size": 5},
        {"in_chans": 1, "dd_in": 1},
        {"in_chans": 3, "dd_in": 6},
        {"img_size": 64},
        {"img_size": 24},
        {"img_size": 256, "win_size": 16},
        {"depths": [2] * 9},
    ],
)
def test_ast(variant):
    arguments = AST | variant
    assert recognise(state("AST", **arguments)) == {"type": "AST", **arguments}


def test_what_does_not_show_in_the_weights_of_ast():
    weights = state("AST", **AST | {"img_size": 256, "num_heads": [3, 6, 3, 2, 16, 12, 6, 4, 3]})
    assert recognise(weights) == {"type": "AST", **AST}


@pytest.mark.parametrize(
    "type, arguments",
    [
        ("Restormer", {}),
        ("Restormer", {"LayerNorm_type": "BiasFree"}),
        ("AST", {"depths": [1, 2, 8, 8, 2, 8, 8, 2, 1], "token_mlp": "frfn"}),
    ],
)
def test_published_sizes(type, arguments):
    weights = state(type, **arguments)
    found = recognise(weights)
    assert {key: found[key] for key in arguments} == arguments
    assert shapes(state(**found)) == shapes(weights)


@pytest.mark.parametrize("factor", [1 / 3, 0.57, 1.0, 2.29, 2.65, 2.66667, 3.14159, 4.7])
@pytest.mark.parametrize("dim", [6, 100])
def test_a_factor_is_found_that_fits_all_levels(dim, factor):
    weights = state(
        "Restormer", **RESTORMER | {"dim": dim, "heads": [1, 1, 1, 1], "ffn_expansion_factor": factor}
    )
    found = recognise(weights)
    assert shapes(state(**found)) == shapes(weights)
    assert len(str(found["ffn_expansion_factor"])) <= len(str(factor))


@pytest.mark.parametrize("name, arguments", [("SemanIR", SEMANIR), ("SemanIRUNet", SEMANIR_UNET)])
@pytest.mark.parametrize("attention", [None, "mdta"])
def test_semanir_needs_its_option_file(name, arguments, attention):
    weights = state(name, **arguments, attention=attention)
    assert architecture(weights) == name
    with pytest.raises(
        UserError, match=f"weights of {name}, and its window_size is not in them; give the network_g block"
    ):
        recognise(weights)


@pytest.mark.parametrize("weights", [{}, {"weight": torch.zeros(2, 3)}])
def test_weights_of_another_network(weights):
    assert architecture(weights) is None
    with pytest.raises(
        UserError, match=r"no network that we recognise \(Restormer, AST\); give the network_g block"
    ):
        recognise(weights)


@pytest.mark.parametrize(
    "type, name, shape, reason",
    [
        ("Restormer", "latent.0.ffn.project_out.weight", None, "latent.0.ffn.project_out.weight is missing"),
        (
            "Restormer",
            "latent.0.ffn.project_out.weight",
            (48, 9, 1, 1),
            "no one factor .* 31 of 12, .* 9 of 48",
        ),
        ("Restormer", "patch_embed.proj.weight", (6,), "a shape makes no sense"),
        ("Restormer", "patch_embed.proj.weight", (0, 3, 3, 3), "a shape makes no sense"),
        ("Restormer", "output.weight", (), "a shape makes no sense"),
        ("AST", "decoderlayer_1.blocks.0.attn.w", None, "decoderlayer_1.blocks.0.attn.w is missing"),
        ("AST", "conv.blocks.0.attn.relative_position_bias_table", (225,), "a shape makes no sense"),
    ],
)
def test_weights_that_are_nearly_of_a_network(type, name, shape, reason):
    weights = state(type, **(RESTORMER if type == "Restormer" else AST))
    weights[name] = torch.zeros(shape or ())
    if shape is None:
        del weights[name]
    with pytest.raises(
        UserError, match=f"weights of {type}, but not as published .*{reason}.*; give the network_g block"
    ):
        recognise(weights)


@pytest.mark.parametrize(
    "type, changed",
    [
        ("Restormer", {"attention": "window"}),
        ("Restormer", {"attention": "none"}),
        ("Restormer", {"ffn": "frfn"}),
        ("AST", {"attention": "window"}),
        ("AST", {"attention": "mdta"}),
        ("AST", {"ffn": "gdfn"}),
    ],
)
def test_other_designs_are_not_taken_for_the_papers(type, changed):
    weights = state(type, **(RESTORMER if type == "Restormer" else AST), **changed)
    with pytest.raises(UserError, match=f"weights of {type}, but not as published .* is missing"):
        recognise(weights)
