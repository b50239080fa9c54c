import subprocess
import sys
from pathlib import Path

import fresh
import pytest
import yaml
from tiny import tiny_options

from ir_plugins.cli import main
from ir_plugins.commands.list import KIND_NAMES, named
from ir_plugins.options.registries import optimizers


def test_check_touches_no_disk(workplace, capsys):
    Path("o.yml").write_text(yaml.safe_dump(tiny_options()))
    assert main(["check", "-opt", "o.yml"]) == 0
    assert capsys.readouterr().out == "o.yml: ok (data and weights not checked)\n"
    assert [path.name for path in Path().iterdir()] == ["o.yml"]


def test_check_names_a_file_whose_name_is_no_text(workplace):
    file = Path("a\udcff.yml")
    file.write_text(yaml.safe_dump(tiny_options()))
    done = fresh.basicsr("check", "-opt", str(file), cwd=workplace)
    assert (done.returncode, done.stdout) == (0, "a\\udcff.yml: ok (data and weights not checked)\n"), (
        done.stderr
    )


def test_check_shows_every_problem_and_fails(workplace, capsys):
    Path("o.yml").write_text(yaml.safe_dump(tiny_options() | {"nmae": 1, "trian": 2}))
    assert main(["check", "-opt", "o.yml"]) == 2
    out, error = capsys.readouterr()
    assert out == "" and len(error.splitlines()) == 2


EXPECTED = {
    "archs": {"SemanIR", "SemanIRUNet", "SwinIR"},
    "attentions": {"key_semantic"},
    "ffns": {"mlp"},
    "losses": {"L1Loss", "CharbonnierLoss", "MSSSIMLoss"},
    "datasets": {"PairedImageDataset"},
    "models": {"RestorationModel", "SRModel"},
    "metrics": {"calculate_psnr", "calculate_ssim"},
    "schedulers": {"MultiStepLR", "CosineAnnealingRestartLR", "CosineAnnealingLR"},
    "optimizers": {"Adam", "AdamW", "SGD"},
}


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_list_names_what_an_option_file_can_name(kind, capsys):
    assert main(["list", kind]) == 0
    names = {line.split()[0] for line in capsys.readouterr().out.splitlines()}
    assert EXPECTED[kind] <= names
    assert kind != "optimizers" or names == set(optimizers())


def test_profile_counts_parameters_and_macs(workplace, capsys):
    options = tiny_options()
    options["network_g"] = {
        "type": "EDSR",
        "num_in_ch": 3,
        "num_out_ch": 3,
        "num_feat": 5,
        "num_block": 0,
        "upscale": 2,
    }
    Path("o.yml").write_text(yaml.safe_dump(options))
    assert main(["profile", "-opt", "o.yml", "--size", "7", "11"]) == 0
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    convolutions = [(3, 5, 1), (5, 5, 1), (5, 20, 1), (5, 3, 4)]  # in, out, output pixels per input pixel
    assert rows["parameters"] == f"{sum(9 * i * o + o for i, o, _ in convolutions):,}"
    assert rows["MACs"].startswith(f"{77 * sum(9 * i * o * p for i, o, p in convolutions) / 1e9:.2f} G")
    assert rows["input"].startswith("1x3x7x11 float32")
    assert float(rows["latency"].split()[0]) > 0


def test_profile_gives_a_net_the_channels_it_takes(workplace, capsys):
    net = {"type": "AST", "embed_dim": 4, "depths": [1] * 9, "num_heads": [1] * 9, "dd_in": 6}
    options = tiny_options() | {"network_g": net}
    del options["datasets"]["train"], options["datasets"]["val"], options["train"]
    Path("o.yml").write_text(yaml.safe_dump(options | {"scale": 1}))
    assert main(["profile", "-opt", "o.yml", "--size", "7", "11"]) == 0
    assert "1x6x7x11 float32" in capsys.readouterr().out


def test_profile_wants_a_picture(workplace, capsys):
    Path("o.yml").write_text(yaml.safe_dump(tiny_options()))
    assert main(["profile", "-opt", "o.yml", "--size", "0", "5"]) == 2
    assert "--size 0 5: height and width must be at least 1" in capsys.readouterr().err
    assert main(["profile", "-opt", "o.yml", "--size", "9" * 30, "1"]) == 2
    assert "--size: height and width may be" in capsys.readouterr().err


def test_profile_counts_the_fused_attention(workplace, capsys):
    """14 x 14 tokens in windows of 7: two products of N x N x C per window are part of the total."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    import ir_plugins.commands.profile  # noqa: F401
    from ir_plugins.ops.key_semantic import key_semantic_attention

    q = torch.rand(4, 2, 49, 8)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        key_semantic_attention(q, q, q, torch.rand(2, 49, 49), None)
    assert counter.get_total_flops() == 2 * 2 * 4 * 2 * 49 * 49 * 8


def test_the_installed_command_and_the_module_are_one():
    for command in ([str(Path(sys.executable).with_name("basicsr"))], [sys.executable, "-m", "ir_plugins"]):
        done = subprocess.run([*command, "list", "ffns"], capture_output=True, text=True)
        assert done.returncode == 0 and done.stdout.startswith("frfn"), done.stderr
        assert done.stderr == ""


@pytest.mark.parametrize("kind, name", [("attentions", "assa"), ("ffns", "gdfn")])
def test_designs_are_listed_with_paper_complexity_and_arguments(kind, name, capsys):

    assert main(["list", kind]) == 0
    listed = " ".join(capsys.readouterr().out.split())
    for other, design in named(kind).items():
        assert f"{other} {design.paper} {design.complexity}" in listed
    argument = {"assa": "window_size=8", "gdfn": "ratio=2.66"}[name]
    assert argument in listed and "dim," not in listed
    assert main(["list", kind, name]) == 0
    assert named(kind)[name].complexity in capsys.readouterr().out


def test_lmdb_reports_what_it_wrote_and_refuses_to_overwrite(tiny, capsys):
    assert main(["lmdb", "--input", "data/train/gt", "--output", "gt.lmdb", "--workers", "2"]) == 0
    assert capsys.readouterr().out.startswith("gt.lmdb: 5 images")
    assert main(["lmdb", "--input", "data/train/gt", "--output", "gt.lmdb"]) == 2
    assert "already exists" in capsys.readouterr().err
    assert main(["lmdb", "--input", "data/train/gt", "--output", "raw.lmdb", "--codec", "raw"]) == 0
    assert capsys.readouterr().out.startswith("raw.lmdb: 5 images, 0.0 MB")
    assert Path("raw.lmdb/meta_info.txt").read_text().splitlines()[0].endswith(") raw")


def test_help_and_wrong_usage(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0 and "COMMAND" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        main(["train"])
    assert stop.value.code == 2


@pytest.mark.parametrize(
    "arguments", [["--help"], ["train", "--help"], ["nothing"], ["train"], ["list", "nothing"], []]
)
def test_help_and_wrong_usage_need_no_torch(arguments):
    code = f"""
        import sys
        from ir_plugins.cli import main
        try:
            main({arguments!r})
        finally:
            assert not {{"torch", "basicsr", "numpy"}} & set(sys.modules)
    """
    done = fresh.run(code)
    assert done.returncode == (0 if "--help" in arguments else 2), done.stderr
    assert "Traceback" not in done.stderr


def test_the_parser_knows_the_codecs():
    from ir_plugins import cli
    from ir_plugins.pictures import lmdb

    assert tuple(cli.CODECS) == tuple(lmdb.CODECS)


def test_the_help_names_plugins_and_their_variable(capsys):
    for command in ("train", "test", "check", "list", "profile", "schema"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        out = capsys.readouterr().out
        assert "--plugin" in out and "BASICSR_PLUGINS" in out


def test_a_basicsr_that_is_not_there_is_one_line(tmp_path):
    """Python finds no basicsr where site-packages are left out but for torch's and ours."""
    code = """
        import sys, importlib.machinery as machinery
        find = machinery.PathFinder.find_spec
        machinery.PathFinder.find_spec = lambda name, *rest: None if name == "basicsr" else find(name, *rest)
        import importlib.metadata
        from ir_plugins.cli import main
        sys.exit(main(["list", "ffns"]))
    """
    done = fresh.run(code)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("basicsr list: error: BasicSR is not installed: `pip install --no-build")
    assert done.stderr.count("\n") == 1


def test_torchrun_spellings_of_local_rank_are_accepted(workplace, capsys):
    for spelling in ("--local_rank=0", "--local-rank=0"):
        assert main(["train", "-opt", "nowhere.yml", spelling]) == 2
        assert "no such option file" in capsys.readouterr().err


def test_list_shows_the_keys_of_a_dataset(capsys):
    assert main(["list", "datasets", "JPEGDataset"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "  encoder: one of opencv, libjpeg; which library compresses; default opencv" in lines
    assert any(
        line.startswith("  quality: a whole number or a list of whole numbers; from 1 to") for line in lines
    )


def test_ctrl_c_while_modules_are_imported_is_one_line(tmp_path):
    """At any moment: here each of the modules that `check` imports may be the one that is interrupted."""
    code = """
        import os, signal, sys
        from ir_plugins.cli import main

        class Finder:
            def find_spec(self, name, path=None, target=None):
                if name == WHERE:
                    os.kill(os.getpid(), signal.SIGINT)

        sys.meta_path.insert(0, Finder())
        sys.argv = ["basicsr", "check", "-opt", "o.yml"]
        sys.exit(main())
    """
    for where in ("argparse", "ir_plugins.commands.check", "numpy", "torch._C", "basicsr.archs"):
        done = fresh.run(code.replace("WHERE", repr(where)))
        assert done.returncode == 130, (where, done.stderr)
        assert done.stderr.strip() in ("basicsr: interrupted", "basicsr check: interrupted"), where


def test_a_broken_pipe_inside_a_command_is_no_success(monkeypatch, capsys):
    """As when a data worker is killed while it starts."""

    def run(arguments):
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("ir_plugins.commands.list.run", run)
    assert main(["list", "archs"]) == 2
    assert "Broken pipe" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_an_output_that_takes_nothing_is_one_line(tmp_path):
    code = "import sys; from ir_plugins.cli import main; sys.exit(main(['list', 'archs']))"
    done = fresh.run(f"sys = __import__('sys'); sys.stdout = open('/dev/full', 'w'); {code}")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("basicsr list: error: standard output: No space left on device")
