"""What cannot work gets one line that says what, where and how to mend it, before anything is written."""

import re
from pathlib import Path

import pytest
import torch
import yaml
from broken_options import CHANGES, changed
from tiny import tiny_options

from ir_plugins.cli import main
from ir_plugins.weights import save_weights

from basicsr.utils.registry import ARCH_REGISTRY

pytestmark = pytest.mark.usefixtures("fresh_logger", "tiny")


def write(options, file="o.yml"):
    Path(file).write_text(yaml.safe_dump(options, sort_keys=False))


def tree():
    """Everything there is, and when it was written."""
    return {str(path): path.lstat().st_mtime_ns for path in Path().rglob("*")}


def problems(capsys, *arguments, file="o.yml"):
    """The lines that a run ends with, which has written nothing."""
    before = tree()
    capsys.readouterr()
    status = main(["train", "-opt", file, *arguments])
    out, error = capsys.readouterr()
    assert (status, out) == (2, "") and tree() == before
    assert error.startswith("basicsr train: error: ") and "Traceback" not in error
    return error.removeprefix("basicsr train: error: ").splitlines()


@pytest.mark.parametrize("change", CHANGES)
def test_a_mistake_in_the_file(capsys, change):
    Path("experiments/tiny/models").mkdir(parents=True)  # an older run, which stays where it is
    write(changed(tiny_options(), change))
    (line,) = problems(capsys)
    place, text = line.split(": ", 1)
    assert text.startswith(CHANGES[change])
    file, _, number = place.partition(":")
    assert file == "o.yml"
    # the line of the key, or of the nearest block above it
    keys = text.partition(": ")[0].split(":")
    named = Path(file).read_text().splitlines()[int(number) - 1].strip().partition(":")[0] if number else None
    assert named in keys if number else keys[0] not in yaml.safe_load(Path(file).read_text())


FORCED = {
    "train": "--force_yml train: expected KEY:KEY=VALUE, for example",
    "=3": "--force_yml =3: expected KEY:KEY=VALUE",
    "train:=3": "--force_yml train:=3: expected KEY:KEY=VALUE",
    "scale:deep:er=1": "--force_yml scale:deep:er=1: 'scale' is a value, not a block",
    "train:total_iter=[1": "--force_yml train:total_iter=[1: the value is not valid YAML",
    "train:total_iter={a: 1, a: 2}": "--force_yml train:total_iter={a: 1, a: 2}: the value is not valid YAML",
    "train=&x {a: *x}": "--force_yml train=&x {a: *x}: the value is not valid YAML: a block cannot contain",
    "val=&x [*x]": "--force_yml val=&x [*x]: the value is not valid YAML: a block cannot contain itself",
    "scale=!!bool 5": "--force_yml scale=!!bool 5: the value is not valid YAML: '5' is not true or false",
    "scale=" + "9" * 5000: f"--force_yml scale={'9' * 54}...: the value is not valid YAML: a number of 5,000",
    "scale=[" + "1," * 10_000 + "]": f"--force_yml scale=[{'1,' * 26}1...: the value is not valid YAML: more",
    ":".join(["train"] * 60) + "=1": f"--force_yml {'train:' * 10}...: KEY:KEY has more than 50 keys",
    "na\udcffme=1": r"--force_yml na\udcffme=1: KEY:KEY holds \udcff, which no path or log can hold",
    "name=\udcff": r"--force_yml name=\udcff: the value is not valid YAML: ",
    'name="\\ud800"': r'--force_yml name="\ud800": the value is not valid YAML: holds the character \ud800',
    "train:total_iter=!!python/object/apply:os.system ['touch pwned']": "--force_yml",
    "train:total_iter=-1": "--force_yml: train:total_iter: is -1; expected a whole number of at least 1",
    "train : total_iter = 0": "--force_yml: train:total_iter: is 0; expected a whole number of at least 1",
    "train:total_iter=[1, 2]": "--force_yml: train:total_iter: is [1, 2]; expected a whole number",
    "train:total_iter=": "--force_yml: train:total_iter: is None; expected a whole number",
    "train:total_iter=a=b": "--force_yml: train:total_iter: is 'a=b'; expected a whole number",
    "train:total_itr=3": "--force_yml: train:total_itr: unknown key; did you mean 'total_iter'?",
    "train:optim_g:lr=-1e-4": "--force_yml: train:optim_g:lr: is -0.0001; expected a number from 0",
    "train:optim_g={type: AdamW, lr: -1}": "--force_yml: train:optim_g:lr: is -1; expected a number from 0",
    "network_g:depths=[a]": "--force_yml: network_g:depths: is ['a']; expected a list of whole numbers",
    "datasets:val:dataroot_gt=data/a=b": "--force_yml: datasets:val:dataroot_gt: data/a=b does not exist",
    "datasets:train=none": "--force_yml: datasets:train: must be a block of keys",
    "train:total_iter=__import__('os').system('touch pwned')": "--force_yml: train:total_iter: is",
    "train:__import__('os').system('touch pwned')=3": "--force_yml: train:__import__('os').system('touch",
    "num_gpu=99": "--force_yml: num_gpu: 99, but ",
}


@pytest.mark.parametrize("override", FORCED)
def test_a_mistake_on_the_command_line(capsys, override):
    (line,) = problems(capsys, "--force_yml", override, file="tiny.yml")
    assert line.startswith(FORCED[override])


FILES = {
    b"": "o.yml: an option file is a mapping of keys to values, this one is not",
    b"- 1\n- 2\n": "o.yml: an option file is a mapping of keys to values, this one is not",
    b"name": "o.yml: an option file is a mapping of keys to values, this one is not",
    b"\x89PNG\xff\xfe": "o.yml: cannot be read as an option file: ",
    b"name: x\0y\n": "o.yml: not valid YAML: ",
    b"name: x\n\tscale: 2\n": "o.yml:2: not valid YAML: ",
    b"name: x\nscale: [1, 2\n": "o.yml:3: not valid YAML: ",
    b"name: x\nscale: 2\nname: y\n": "o.yml:3: not valid YAML: key 'name' is given twice",
    b"name: x\n3: y\n": "o.yml:2: not valid YAML: a key must be a word",
    b"name: &x {scale: *x}\n": "o.yml:1: not valid YAML: a block cannot contain itself",
    b"name: &x [*x]\n": "o.yml:1: not valid YAML: a block cannot contain itself",
    b"name: *x\n": "o.yml:1: not valid YAML: found undefined alias",
    b"a: !!python/object/apply:os.system ['touch pwned']\n": "o.yml:1: not valid YAML: the tag !!python/obj",
    b"a: " + b"[" * 5000 + b"\n": "o.yml:1: not valid YAML: more than 50 levels",
    b"#" * 600_000: "o.yml: cannot be read as an option file: it has 0.6 MB, at most 0.5 MB are read",
}


@pytest.mark.parametrize("content", FILES, ids=lambda content: str(content[:30]))
def test_a_file_that_is_no_option_file(capsys, content):
    Path("o.yml").write_bytes(content)
    (line,) = problems(capsys)
    assert line.startswith(FILES[content])


def test_anchors_and_merged_blocks_are_fine(capsys):
    text = Path("tiny.yml").read_text().replace("  val:\n", "  val: &seen\n") + "\n"
    write(changed(yaml.safe_load(text), "-datasets:val"))
    merged = "  val_1: &seen\n    type: PairedImageDataset\n    io_backend: {type: disk}\n"
    merged += (
        "    dataroot_gt: data/val/gt\n    dataroot_lq: data/val/lq\n  val_2:\n    <<: *seen\n    colour: y\n"
    )
    Path("o.yml").write_text(Path("o.yml").read_text().replace("network_g:", merged + "network_g:"))
    (line,) = problems(capsys)
    assert re.match(r"o\.yml:\d+: datasets:val_2:colour: unknown key; did you mean 'color'\?", line)


def test_every_problem_has_a_line_in_the_order_of_the_file(capsys):
    changes = ("logger:print_freq=0", "train:ema_deca=1", "scale='2'", "network_g:embed_dims=6", "nmae=1")
    options = tiny_options()
    for change in changes:
        options = changed(options, change)
    write(options)
    lines = problems(capsys, "--force_yml", "val:val_freq=0", "num_gpu=-1")
    *in_file, first, second = lines
    assert [line.split(": ")[1] for line in in_file] == [
        "scale",
        "network_g:embed_dims",
        "train:ema_deca",
        "logger:print_freq",
        "nmae",
    ]
    numbers = [int(line.split(":")[1]) for line in in_file]
    assert numbers == sorted(numbers)
    assert first.startswith("--force_yml: val:val_freq") and second.startswith("--force_yml: num_gpu")


def test_everything_missing_on_the_disk_is_reported_at_once(capsys):
    options = changed(tiny_options(), "datasets:train:dataroot_lq=data/a")
    options = changed(options, "datasets:train:dataroot_gt=data/b")
    options = changed(options, "datasets:val:dataroot_gt=data/c")
    write(changed(options, "path:pretrain_network_g=nowhere.pth"))
    keys = [line.split(": ")[1] for line in problems(capsys)]
    assert keys == [
        "datasets:train:dataroot_gt",
        "datasets:train:dataroot_lq",
        "datasets:val:dataroot_gt",
        "path:pretrain_network_g",
    ]


def test_another_number_of_pictures(capsys):
    Path("data/train/lq/3.png").unlink()
    write(tiny_options())
    (line,) = problems(capsys)
    assert re.match(
        r"o\.yml:7: datasets:train: GT and LQ do not pair: dataroot_lq .* lacks 1: 3\.png; rename", line
    )


def test_weights_of_another_network(capsys):
    block = tiny_options()["network_g"] | {"embed_dim": 8}
    arguments = {key: value for key, value in block.items() if key != "type"}
    save_weights("other.pth", ARCH_REGISTRY.get(block["type"])(**arguments).state_dict())
    write(changed(tiny_options(), "path:pretrain_network_g=other.pth"))
    (line,) = problems(capsys)
    assert re.match(
        r"o\.yml:\d+: path:pretrain_network_g: other\.pth: does not fit SemanIR: conv_first", line
    )
    torch.save([1, 2], "other.pth")
    (line,) = problems(capsys)
    assert re.match(r"o\.yml:\d+: path:pretrain_network_g: other\.pth: holds no weights", line)


@pytest.mark.parametrize("text", ["total_iter: 4.0", "total_iter: !!float 4e0"])
def test_whole_numbers_may_be_written_as_published_files_write_them(text):
    Path("o.yml").write_text(Path("tiny.yml").read_text().replace("total_iter: 4", text))
    assert main(["train", "-opt", "o.yml"]) == 0
    assert Path("experiments/tiny/models/net_g_4.pth").exists()


def test_two_validation_sets_of_one_name(capsys):
    options = tiny_options()
    options["datasets"]["val_2"] = dict(options["datasets"]["val"])
    Path("o.yml").write_text(yaml.safe_dump(options, sort_keys=False))
    assert main(["train", "-opt", "o.yml"]) == 2
    assert "datasets:val_2:name: is 'val', as another set's is" in capsys.readouterr().err


@pytest.mark.parametrize("net", ["SemanIRUNet", "Restormer", "AST"])
def test_a_network_that_cannot_enlarge(capsys, net):
    assert main(["check", "-opt", "tiny.yml", "--force_yml", f"network_g={{type: {net}}}"]) == 2
    assert f"scale: is 2, but {net} keeps the picture's size; set scale: 1" in capsys.readouterr().err


def test_a_network_of_basicsr_with_another_scale(capsys):
    """It trained for hours, on pictures of a wrong size, or failed in the first step."""
    network = {"type": "RRDBNet", "num_in_ch": 3, "num_out_ch": 3, "num_block": 1, "scale": 4}
    write(tiny_options() | {"network_g": network})
    (line,) = problems(capsys)
    assert re.match(r"o\.yml:\d+: network_g:scale: is 4, but scale is 2; make them equal$", line)
