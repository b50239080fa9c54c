"""What cannot work gets one line that says what, where and how to mend it, before anything is written."""

import copy
import re
from pathlib import Path

import pytest
import torch
import yaml
from tiny import tiny_options

from ir_plugins.cli import main
from ir_plugins.weights.files import save_weights

from basicsr.utils.registry import ARCH_REGISTRY

pytestmark = pytest.mark.usefixtures("fresh_logger", "tiny")

RESTORMER = "{type: Restormer, attention: [~, ~, ~, %s, ~, ~, ~, ~]}"

# KEY:KEY=VALUE to change in the option file (-KEY: leave out) and the problem, which begins with its key path
CHANGES = {
    # unknown keys at every level
    "nmae=x": "nmae: unknown key; did you mean 'name'?",
    "datasets:train:datroot_gt=x": "datasets:train:datroot_gt: unknown key; did you mean 'dataroot_gt'?",
    "datasets:train:io_backend={type: disk, path: x}": "datasets:train:io_backend:path: unknown key",
    "network_g:embed_dims=6": "network_g:embed_dims: unknown key; did you mean 'embed_dim'?",
    "path:pretrained_network_g=x": "path:pretrained_network_g: unknown key; did you mean",
    "path:models=elsewhere": "path:models: unknown key",
    "train:total_iters=5": "train:total_iters: unknown key; did you mean 'total_iter'?",
    "train:progressive={patch_size: [8]}": "train:progressive:patch_size: unknown key",
    "train:mixup:betta=1": "train:mixup:betta: unknown key; did you mean 'beta'?",
    "train:optim_g:weight_deca=1": "train:optim_g:weight_deca: unknown key; did you mean 'weight_decay'?",
    "train:scheduler:gama=1": "train:scheduler:gama: unknown key; did you mean 'gamma'?",
    "train:pixel_opt:los_weight=1": "train:pixel_opt:los_weight: unknown key; did you mean 'loss_weight'?",
    "train:_opt={type: L1Loss}": "train:_opt: unknown key",
    "train:use_grad_clip=true": "train:use_grad_clip: unknown key; did you mean 'grad_clip'?",
    "val:val_frequency=1": "val:val_frequency: unknown key; did you mean 'val_freq'?",
    "val:metrics:psnr:crop_boarder=1": "val:metrics:psnr:crop_boarder: unknown key",
    "logger:wandb:projekt=x": "logger:wandb:projekt: unknown key; did you mean 'project'?",
    "dist_params:prt=1": "dist_params:prt: unknown key; did you mean 'port'?",
    # names that name nothing
    "model_type=RestorationModle": "model_type: 'RestorationModle' is not known; did you mean",
    "network_g:type=SemanIr": "network_g:type: 'SemanIr' is not known; did you mean 'SemanIR'?",
    "train:optim_g:type=AdamX": "train:optim_g:type: 'AdamX' is not known; did you mean 'Adam'?",
    "train:scheduler:type=~": "train:scheduler:type: is missing; known are",
    "train:edge_opt={type: L9}": "train:edge_opt:type: 'L9' is not known; known are",
    "val:metrics:psnr:type=pnsr": "val:metrics:psnr:type: 'pnsr' is not known; did you mean",
    "datasets:train:type=5": "datasets:train:type: '5' is not known; known are",
    # values of another kind
    "scale='2'": "scale: is '2'; expected a whole number of at least 1",
    "scale=true": "scale: is True; expected a whole number",
    "name=5": "name: is 5; expected a word that can name a folder",
    "manual_seed=~": "manual_seed: is None; expected a whole number",
    "datasets=[]": "datasets: must be a block of keys",
    "datasets:val=5": "datasets:val: must be a block of keys",
    "datasets:train:gt_size=[14]": "datasets:train:gt_size: is [14]; expected a whole number",
    "datasets:train:use_hflip='no'": "datasets:train:use_hflip: is 'no'; expected true or false",
    "datasets:train:pin_memory=1": "datasets:train:pin_memory: is 1; expected true or false",
    "datasets:train:dataroot_gt=5": "datasets:train:dataroot_gt: is 5; expected text",
    "datasets:train:dataroot_gt=[a, b]": "datasets:train:dataroot_gt: is ['a', 'b']; expected text",
    "datasets:train:mean=[a, b, c]": "datasets:train:mean: is ['a', 'b', 'c']; expected a list of numbers",
    "network_g=SemanIR": "network_g: must be a block of keys",
    "network_g:embed_dim='6'": "network_g:embed_dim: is '6'; expected a whole number",
    "network_g:embed_dim=~": "network_g:embed_dim: is None; expected a whole number",
    "network_g:depths=2": "network_g:depths: is 2; expected a list of whole numbers",
    "path=5": "path: must be a block of keys",
    "path:resume_state=true": "path:resume_state: is True; expected text",
    "path:strict_load_g='no'": "path:strict_load_g: is 'no'; expected true or false",
    "path:param_key_g=5": "path:param_key_g: is 5; expected text",
    "train=5": "train: must be a block of keys",
    "train:total_iter=many": "train:total_iter: is 'many'; expected a whole number of at least 1",
    "train:ema_decay='0.9'": "train:ema_decay: is '0.9'; expected a number from 0 to below 1",
    "train:optim_g=AdamW": "train:optim_g: must be a block of keys",
    "train:optim_g:weight_decay='x'": "train:optim_g:weight_decay: is 'x'; expected a number of at least 0",
    "train:optim_g:betas=[0.9]": "train:optim_g:betas: is [0.9]; expected a list of 2 numbers",
    "train:optim_g:no_decay=bias": "train:optim_g:no_decay: is 'bias'; expected true or false or a list of",
    "train:scheduler=5": "train:scheduler: must be a block of keys",
    "train:scheduler:milestones=3": "train:scheduler:milestones: is 3; expected a list of whole numbers",
    "train:scheduler:milestones=[2.5]": "train:scheduler:milestones: is [2.5]; expected a list of whole",
    "train:scheduler:gamma='x'": "train:scheduler:gamma: is 'x'; expected a number of at least 0",
    "train:pixel_opt=L1Loss": "train:pixel_opt: must be a block of keys",
    "train:pixel_opt:loss_weight='x'": "train:pixel_opt:loss_weight: is 'x'; expected a number",
    "train:edge_opt=L1Loss": "train:edge_opt: must be a block of keys, the first of them type",
    "train:edge_opt={type: L1Loss, weight: 3}": "train:edge_opt:weight: unknown key; did you mean",
    "train:precision=fp8": "train:precision: is 'fp8'; expected one of fp32, bf16, fp16",
    "train:accumulate=1.5": "train:accumulate: is 1.5; expected a whole number of at least 1",
    "train:compile=1": "train:compile: is 1; expected true or false",
    "train:mixup=1.2": "train:mixup: must be a block of keys",
    "val:save_img=5": "val:save_img: is 5; expected true or false",
    "val:metrics:image={type: psnr}": "val:metrics:image: cannot be a column of metrics.csv",
    "val:metrics=psnr": "val:metrics: is 'psnr'; expected a block of keys",
    "val:metrics:psnr=~": "val:metrics:psnr: must be a block of keys",
    "val:metrics:psnr:test_y_channel='no'": "val:metrics:psnr:test_y_channel: is 'no'; expected true or",
    "val:metrics:psnr:better=best": "val:metrics:psnr:better: is 'best'; expected one of higher, lower",
    "logger:use_tb_logger='yes'": "logger:use_tb_logger: is 'yes'; expected true or false",
    "logger:wandb=true": "logger:wandb: must be a block of keys",
    "dist_params:port=abc": "dist_params:port: is 'abc'; expected a whole number from 1 to below 65536",
    "find_unused_parameters='x'": "find_unused_parameters: is 'x'; expected true or false",
    # numbers out of range
    "scale=0": "scale: is 0; expected a whole number of at least 1",
    "num_gpu=-1": "num_gpu: is -1; expected a whole number of at least 0 or auto",
    "manual_seed=99999999999": "manual_seed: is 99999999999; expected a whole number from 0 to below 2e+09",
    "datasets:train:batch_size_per_gpu=0": "datasets:train:batch_size_per_gpu: is 0; expected a whole number",
    "datasets:train:num_worker_per_gpu=1000000": "datasets:train:num_worker_per_gpu: is 1000000; expected",
    "datasets:train:dataset_enlarge_ratio=.nan": "datasets:train:dataset_enlarge_ratio: is nan; expected",
    "datasets:train:dataset_enlarge_ratio=9e+8": "datasets:train:dataset_enlarge_ratio: makes 4,500,000,000",
    "datasets:train:gt_size=100000": "datasets:train:gt_size: is 100000; expected a whole number from 1 to",
    "train:total_iter=.inf": "train:total_iter: is inf; expected a whole number",
    "train:total_iter=2.5": "train:total_iter: is 2.5; expected a whole number",
    "train:ema_decay=1": "train:ema_decay: is 1; expected a number from 0 to below 1",
    "train:optim_g:lr=-1": "train:optim_g:lr: is -1; expected a number from 0",
    "train:optim_g:lr=.nan": "train:optim_g:lr: is nan; expected a number from 0",
    "train:optim_g:betas=[2, 3]": "train:optim_g: cannot work: Invalid beta parameter at index 0: 2",
    "train:scheduler:milestones=[-1]": "train:scheduler:milestones: is [-1]; expected a list of whole",
    "train:pixel_opt:loss_weight=.nan": "train:pixel_opt:loss_weight: is nan; expected a number",
    "train:accumulate=0": "train:accumulate: is 0; expected a whole number of at least 1",
    "train:grad_clip=0": "train:grad_clip: is 0; expected a number above 0",
    "train:grad_clip=-1": "train:grad_clip: is -1; expected a number above 0",
    "train:grad_clip=.inf": "train:grad_clip: is inf; expected a number above 0",
    "train:mixup:beta=0": "train:mixup:beta: is 0; expected a number above 0",
    "val:val_freq=0": "val:val_freq: is 0; expected a whole number of at least 1",
    "val:window_size=0": "val:window_size: is 0; expected a whole number of at least 1",
    "logger:save_checkpoint_freq=1e+99": "logger:save_checkpoint_freq: is 1e+99; expected a whole number",
    "logger:keep_last=0": "logger:keep_last: is 0; expected a whole number of at least 1",
    # what does not go together
    "datasets:train:gt_size=13": "datasets:train:gt_size: 13 is no multiple of scale 2; take one",
    "network_g:upscale=3": "network_g:upscale: is 3, but scale is 2; make them equal",
    "network_g:in_chans=1": "network_g:in_chans: is 1, but datasets:train gives 3 channels",
    "network_g:num_heads=[4]": "network_g:num_heads: num_heads=4 does not divide the 6 channels",
    "network_g:depths=[2, 2]": "network_g:depths: depths=[2, 2] and num_heads=[2] differ in length",
    "network_g:top_k=26": "network_g:top_k: top_k=26 must be a whole number from 1 to the 25 tokens",
    "train:scheduler={type: CosineAnnealingRestartLR, periods: [2, 1]}": (
        "train:scheduler:periods: sum to 3, but total_iter is 4"
    ),
    "train:optim_g:no_decay=['*.biass']": "train:optim_g:no_decay: no parameter is named like '*.biass'",
    "datasets:train:mean=[0, 0, 0]": "datasets:train:mean: and std need each other",
    "datasets:train:prefetch_mode=cuda": "datasets:train:prefetch_mode: cuda needs pin_memory: true beside",
    "datasets:train:batch_size_per_gpu=6": "datasets:train: 5 images are fewer than one step's 6; lower",
    "train:accumulate=3": "datasets:train: 5 images are fewer than one step's 6; lower",
    "val=~": "val: is missing; datasets:val needs it, such as val: {val_freq: 5000}",
    # patches that grow
    "train:progressive={patch_sizes: [8, 12], batch_sizes: [2, 1]}": "train:progressive:iters: is missing",
    "train:progressive={patch_sizes: [8, 12], batch_sizes: [2], iters: [2, 2]}": (
        "train:progressive:batch_sizes: has 1 stages, but iters has 2; give each stage one"
    ),
    "train:progressive={patch_sizes: [8, 0], batch_sizes: [2, 1], iters: [2, 2]}": (
        "train:progressive:patch_sizes: is [8, 0]; expected a list of whole numbers from 1 to below 20000"
    ),
    "train:progressive={patch_sizes: [8, 13], batch_sizes: [2, 1], iters: [2, 2]}": (
        "train:progressive:patch_sizes: has 13, which is no multiple of scale 2; take one"
    ),
    "train:progressive={patch_sizes: '8', batch_sizes: [2, 1], iters: [2, 2]}": (
        "train:progressive:patch_sizes: is '8'; expected a list of whole numbers"
    ),
    "train:progressive={patch_sizes: [8, 8, 8, 8], batch_sizes: [2, 2, 2, 2], iters: [2, 2, 9, 1]}": (
        "train:progressive:iters: stages 3 to 4 begin after total_iter 4; shorten those before, or raise it"
    ),
    "train:progressive={patch_sizes: [8, 8], batch_sizes: [2, 2], iters: [4, 1]}": (
        "train:progressive:iters: stage 2 begins after total_iter 4; shorten those before, or raise it"
    ),
    # designs, and the stage they are for
    "network_g:attention=asa": "network_g:attention: attention: 'asa' is unknown (did you mean assa?)",
    "network_g:attention=[assa, assa]": "network_g:attention: attention: 2 designs for 1 stages; give one",
    f"network_g={RESTORMER % '{type: assa, window: 8}'}": (
        "network_g:attention: attention, stage 4: assa takes no 'window' (did you mean window_size?)"
    ),
    f"network_g={RESTORMER % '{type: assa, window_size: 0}'}": (
        "network_g:attention: attention, stage 4: assa: window_size=0 must be at least 1 pixel"
    ),
    # networks that fit nowhere
    "network_g:embed_dim=1000000": "network_g: holds more than 20,000,000,000 numbers; make the network",
    "network_g:embed_dim=99999999999999999999": "network_g:embed_dim: is 99999999999999999999; expected a",
    "network_g:window_size=10000": "network_g:window_size: window_size=10000: a window compares all its",
    "network_g:attention={type: assa, window_size: 100000}": (
        "network_g:attention: attention: assa: window_size=100000: every block holds a number per pair of"
    ),
    "network_g={type: SwinIR, upscale: 2, depths: [1, 1], num_heads: [1]}": "network_g: cannot be built:",
    # what is missing
    "-network_g": "network_g: is missing",
    "-model_type": "model_type: is missing",
    "-train": "train: is missing",
    "-datasets": "datasets: is missing",
    "-datasets:train": "datasets: has no block train",
    "-datasets:train:gt_size": "datasets:train:gt_size: is missing",
    "-train:optim_g:lr": "train:optim_g:lr: is missing",
    "-train:pixel_opt": "train:pixel_opt: is missing: there is no loss to train with",
    "datasets:train:dataroot_lq=''": "datasets:train:dataroot_lq: is missing",
    "datasets:train:dataroot_lq=none": "datasets:train:dataroot_lq: is missing",
    "datasets:train_2={type: PairedImageDataset}": "datasets:train_2: is not a phase; expected train, val or",
    # what lies on the disk
    "datasets:val:dataroot_gt=data/nowhere": "datasets:val:dataroot_gt: data/nowhere does not exist below",
    "datasets:train:dataroot_gt=data/train/gt/0.png": "datasets:train:dataroot_gt: data/train/gt/0.png is a",
    "datasets:train:filename_tmpl='{}x2'": "datasets:train: GT and LQ do not pair: dataroot_lq",
    "datasets:train:meta_info_file=data": "datasets:train:meta_info_file: no such file: data",
    "datasets:train:io_backend={type: zip}": "datasets:train:io_backend: must be {type: disk} or {type:",
    "path:pretrain_network_g=nowhere.pth": "path:pretrain_network_g: no such file: nowhere.pth",
    "path:pretrain_network_g=data": "path:pretrain_network_g: no such file: data",
    "path:resume_state=nowhere.state": "path:resume_state: no such file: nowhere.state",
    # names that would lead elsewhere
    "name=../x": "name: is '../x'; expected a word that can name a folder: no slash, not only dots",
    "name=a/b": "name: is 'a/b'; expected a word that can name a folder",
    "datasets:val:name=..": "datasets:val:name: is '..'; expected a word that can name a folder",
    "val:suffix=/x": "val:suffix: is '/x'; expected a word that can name a folder",
}


def changed(options, change):
    """The options with one KEY:KEY=VALUE, or without one -KEY:KEY."""
    options = copy.deepcopy(options)
    path, _, value = change.partition("=")
    *blocks, last = path.removeprefix("-").split(":")
    block = options
    for key in blocks:
        block = block.setdefault(key, {})
    if change.startswith("-"):
        del block[last]
    else:
        block[last] = yaml.safe_load(value)
    return options


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
    b"name: &x {scale: *x}\n": "o.yml: not valid YAML: ",
    b"name: &x [*x]\n": "o.yml: not valid YAML: ",
    b"name: *x\n": "o.yml:1: not valid YAML: found undefined alias",
    b"scale: !!int abc\n": "o.yml: not valid YAML: ",
    b"a: !!python/object/apply:os.system ['touch pwned']\n": "o.yml:1: not valid YAML: could not determine",
    b"a: " + b"[" * 5000 + b"\n": "o.yml",
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


def test_everything_missing_on_the_disk_is_told_at_once(capsys):
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
