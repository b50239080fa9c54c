"""Designs from files and modules: found, imported, listed, and one clear line where that fails."""

import os
import re
import sys
from pathlib import Path

import fresh
import pytest
import yaml
from tiny import tiny_options

from ir_plugins.blocks import ATTENTIONS, FEED_FORWARDS
from ir_plugins.cli import main
from ir_plugins.runtime import plugins
from ir_plugins.runtime.errors import UserError
from ir_plugins.runtime.plugins import load_plugins, origin

from basicsr.utils import registry as registries

HERE = Path(__file__).parent
EXAMPLE = re.findall(r"```python\n(.*?)```", (HERE.parents[1] / "docs/PLUGINS.md").read_text(), re.S)[0]
NET = """
from torch import nn
from basicsr.utils.registry import ARCH_REGISTRY

@ARCH_REGISTRY.register()
class Outside(nn.Module):
    '''From outside.'''

    def __init__(self, *, width: int = 5):
        super().__init__()
        self.body = nn.Conv2d(3, 12, 3, padding=1)

    def forward(self, x):
        return nn.functional.pixel_shuffle(self.body(x), 2)
"""


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    """What plugins register and import is taken back; nothing is set in the environment."""
    monkeypatch.setenv(plugins.VARIABLE, "")
    tables = [ATTENTIONS, FEED_FORWARDS, *(getattr(registries, name)._obj_map for name in plugins.REGISTRIES)]
    held, modules = [dict(table) for table in tables], set(sys.modules)
    yield
    for table, before in zip(tables, held, strict=True):
        table.clear()
        table.update(before)
    for name in set(sys.modules) - modules:
        if name.startswith(("outside", "hat_style", "my_design", "broken")):
            del sys.modules[name]


@pytest.fixture
def outside(workplace) -> Path:
    """The file outside.py, which registers the network Outside."""
    Path("outside.py").write_text(NET)
    return Path("outside.py")


@pytest.mark.parametrize("name", ["outside.py", "./outside.py", "{here}/outside.py"])
def test_a_file_is_imported_under_its_name_and_listed_as_a_file(name, outside, capsys):
    assert main(["list", "archs", "--plugin", name.format(here=Path.cwd())]) == 0
    assert re.search(r"^Outside +outside\.py +From outside\.$", capsys.readouterr().out, re.M)
    assert registries.ARCH_REGISTRY.get("Outside").__module__ == "outside"
    assert os.environ[plugins.VARIABLE] == str(Path.cwd() / "outside.py")


def test_the_environment_and_the_command_line_add_up(outside, monkeypatch, capsys):
    Path("deep").mkdir()
    Path("deep/outside_too.py").write_text(NET.replace("Outside", "OutsideToo"))
    monkeypatch.setenv(plugins.VARIABLE, "outside.py")
    assert main(["list", "archs", "OutsideToo", "--plugin", "deep/outside_too.py"]) == 0
    assert "width: int = 5" in capsys.readouterr().out
    found = registries.ARCH_REGISTRY.get("OutsideToo")
    assert origin(found) == "deep/outside_too.py" and "Outside" in registries.ARCH_REGISTRY
    assert main(["list", "archs", "--plugin", "outside.py"]) == 0  # named twice is named once
    assert len(os.environ[plugins.VARIABLE].split(os.pathsep)) == 2


def test_a_module_on_the_path(workplace, monkeypatch, capsys):
    Path("outside_package").mkdir()
    Path("outside_package/__init__.py").write_text("from . import nets\n")
    Path("outside_package/nets.py").write_text(NET)
    assert main(["list", "archs", "--plugin", "outside_package"]) == 2
    assert "there is no such module; ./outside_package is here: name that" in capsys.readouterr().err
    monkeypatch.syspath_prepend(Path.cwd())
    assert main(["list", "archs", "--plugin", "outside_package"]) == 0
    assert re.search(r"^Outside +outside_package +From outside", capsys.readouterr().out, re.M)


def test_a_package_as_others_write_them_for_basicsr(capsys):
    assert main(["list", "archs", "--plugin", str(HERE / "hat_style/hat_style")]) == 0
    assert re.search(r"^StackNet +hat_style +Convolutions, written", capsys.readouterr().out, re.M)


def test_what_a_plugin_adds_is_checked_and_suggested(outside, capsys):
    def checked(**network):
        Path("o.yml").write_text(yaml.safe_dump(tiny_options() | {"network_g": network}))
        status = main(["check", "-opt", "o.yml", "--plugin", "outside.py"])
        return status, capsys.readouterr().err

    assert checked(type="Outside", width=7) == (0, "")
    for network, hint in (
        ({"type": "Outsid"}, "did you mean 'Outside'"),
        ({"type": "Outside", "widht": 7}, "did you mean 'width'"),
        ({"type": "Outside", "width": "7"}, "expected a whole number"),
    ):
        status, error = checked(**network)
        assert status == 2 and hint in error


def test_designs_are_listed_with_their_origin_and_reach_the_editor(workplace, capsys):
    Path("my_design.py").write_text(EXAMPLE)
    assert main(["list", "attentions", "--plugin", "my_design.py"]) == 0
    listed = capsys.readouterr().out
    assert re.search(
        r"^row +yours, 2027 +O\(H W² C\)  \[my_design\.py\]\n +num_heads, bias=True", listed, re.M
    )
    assert not re.search(r"^assa .*\[", listed, re.M)
    assert main(["list", "ffns", "gated_linear", "--plugin", "my_design.py"]) == 0
    assert "A linear layer gated by another" in capsys.readouterr().out
    assert main(["schema", "--output", "s.json", "--plugin", "my_design.py"]) == 0
    written = Path("s.json").read_text()
    assert '"MyNet"' in written and '"row"' in written and '"gated_linear"' in written


def test_a_function_of_an_installed_package_is_called(outside, monkeypatch, capsys):
    from importlib.metadata import EntryPoint

    Path("outside_called.py").write_text("calls = []\ndef register():\n    calls.append(1)\n")
    monkeypatch.syspath_prepend(Path.cwd())
    entries = [EntryPoint("mine", "outside_called:register", plugins.GROUP)]
    monkeypatch.setattr(plugins, "_entry_points", lambda: entries)
    assert main(["list", "ffns"]) == 0
    assert sys.modules["outside_called"].calls == [1]
    entries.append(EntryPoint("other", "outside_called:missing", plugins.GROUP))
    capsys.readouterr()
    assert main(["list", "ffns"]) == 2
    assert "plugin other of the installed package" in capsys.readouterr().err


BROKEN = {
    "import torch\n\nimport nothing_of_that_name\n": r"broken\.py:3: ModuleNotFoundError: No module",
    "def f(:\n": r"broken\.py:1: SyntaxError: invalid syntax",
    "raise SystemExit(3)": r"broken\.py:1: calls sys\.exit while it is imported",
    "1 / 0": r"broken\.py:1: ZeroDivisionError: division by zero",
    "def f():\n    raise RuntimeError('two\\nlines')\nf()": r"broken\.py:2: RuntimeError: two lines",
    NET.replace(
        "Outside", "SemanIR"
    ): r"broken\.py:\d+: arch 'SemanIR' is taken by ir_plugins\.archs\.\S+SemanIR",
    NET.replace(
        "Outside", "EDSR"
    ): r"arch 'EDSR' is taken by basicsr\.archs\.edsr_arch\.EDSR; take another name",
    EXAMPLE.replace(
        '"row"', '"assa"'
    ): r"broken\.py:\d+: ValueError: attention 'assa': the name is taken by ir_plugins",
    "from . import sibling": r"broken\.py:1: ImportError: attempted relative import",
}


@pytest.mark.parametrize("text", BROKEN, ids=lambda text: " ".join(text.split())[:20])
def test_what_fails_is_one_line(text, workplace, capsys):
    Path("broken.py").write_text(text)
    assert main(["list", "archs", "--plugin", "broken.py"]) == 2
    out, error = capsys.readouterr()
    assert out == "" and error.count("\n") == 1, error
    assert re.match(r"basicsr list: error: --plugin broken\.py: .*" + BROKEN[text], error), error


def test_a_plugin_that_failed_can_be_mended_and_tried_again(workplace):
    Path("broken.py").write_text(NET + "\n1 / 0\n")
    with pytest.raises(UserError, match="ZeroDivisionError") as caught:
        load_plugins(["broken.py"])
    assert isinstance(caught.value.__cause__, ZeroDivisionError) and "Outside" not in registries.ARCH_REGISTRY
    Path("broken.py").write_text(NET + "\nnumber = 12345\n")
    load_plugins(["broken.py"])
    assert "Outside" in registries.ARCH_REGISTRY


def test_two_plugins_of_one_name(outside, capsys):
    Path("outside_again.py").write_text(NET)
    assert main(["list", "archs", "--plugin", "outside.py", "--plugin", "outside_again.py"]) == 2
    assert "arch 'Outside' is taken by outside.Outside; take another name" in capsys.readouterr().err
    Path("deep").mkdir()
    Path("deep/outside.py").write_text(NET)
    assert main(["list", "archs", "--plugin", "outside.py", "--plugin", "deep/outside.py"]) == 2
    assert "a module named 'outside' exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name, message",
    [
        ("nowhere.py", "--plugin nowhere.py: no such file; paths are relative to"),
        ("endless.py", "--plugin endless.py: no such file; paths are relative to"),
        ("~nobody/x.py", "--plugin ~nobody/x.py: no such file; paths are relative to"),
        ("./nowhere", "--plugin ./nowhere: no such file"),
        ("nowhere_at_all", "--plugin nowhere_at_all: there is no such module"),
        ("torch.nowhere_at_all", "No module named 'torch.nowhere_at_all'"),
        ("json.py", "--plugin json.py: a module named 'json' exists already"),
        ("my-design.py", "'my-design' cannot be the name of a module; use letters, digits and _"),
    ],
)
def test_what_cannot_be_found_or_named(name, message, workplace, capsys):
    Path("endless.py").symlink_to("endless.py")
    for file in ("json.py", "my-design.py"):
        Path(file).write_text("")
    assert main(["list", "archs", "--plugin", name]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_debug_shows_the_traceback(workplace):
    Path("broken.py").write_text("1 / 0\n")
    with pytest.raises(UserError) as caught:
        main(["train", "-opt", "o.yml", "--plugin", "broken.py", "--debug"])
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_an_option_file_names_no_plugin(outside, capsys):
    Path("o.yml").write_text(yaml.safe_dump(tiny_options() | {"plugin": "outside.py"}))
    assert main(["check", "-opt", "o.yml"]) == 2
    assert "unknown key" in capsys.readouterr().err and "outside" not in sys.modules


DATASET = """
from basicsr.data.paired_image_dataset import PairedImageDataset
from basicsr.utils.registry import DATASET_REGISTRY

@DATASET_REGISTRY.register()
class OutsideDataset(PairedImageDataset):
    '''Pairs.'''
"""


@pytest.mark.parametrize("start", [pytest.param("fork", marks=pytest.mark.slow), "spawn"])
def test_data_workers_know_the_classes_of_a_file(start, tiny):
    """The whole command; the file is named from another folder, by the environment the second time."""
    Path("code").mkdir()
    Path("code/outside.py").write_text(NET + DATASET)
    Path("sitecustomize.py").write_text(
        f"import multiprocessing\nmultiprocessing.set_start_method({start!r})\n"
    )
    options = tiny_options() | {"network_g": {"type": "Outside"}}
    options["datasets"]["train"] |= {"type": "OutsideDataset", "num_worker_per_gpu": 1}
    tiny.write_text(yaml.safe_dump(options))
    path = str(Path.cwd())
    given = ["train", "-opt", "tiny.yml", "--force_yml", "train:total_iter=2"]
    done = fresh.basicsr(*given, "--plugin", "code/outside.py", PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    more = [*given[:-1], "train:total_iter=4", "--auto_resume"]
    done = fresh.basicsr(*more, PYTHONPATH=path, BASICSR_PLUGINS="code/outside.py")
    assert done.returncode == 0, done.stderr
    assert Path("experiments/tiny/models/net_g_4.pth").is_file()
    assert "Resuming training from epoch" in done.stderr + done.stdout


def torchrun(*arguments: str):
    launcher = ("-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone", "-m", "ir_plugins")
    return fresh.started(*launcher, *arguments, "--launcher", "pytorch", OMP_NUM_THREADS="1")


def test_two_ranks_train_a_net_from_a_file_and_say_once_what_fails(tiny):
    Path("outside.py").write_text(NET + DATASET)
    options = tiny_options() | {"network_g": {"type": "Outside"}}
    options["datasets"]["train"] |= {"type": "OutsideDataset", "batch_size_per_gpu": 1}
    options["train"]["total_iter"] = 2
    tiny.write_text(yaml.safe_dump(options))
    done = torchrun("train", "-opt", "tiny.yml", "--plugin", "outside.py")
    assert done.returncode == 0, done.stderr
    assert Path("experiments/tiny/models/net_g_2.pth").is_file()
    Path("outside.py").write_text("1 / 0\n")
    done = torchrun("train", "-opt", "tiny.yml", "--plugin", "outside.py")
    assert done.returncode != 0
    assert done.stderr.count("error: --plugin outside.py: outside.py:1: ZeroDivisionError") == 1, done.stderr
