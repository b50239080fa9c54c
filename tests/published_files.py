"""Restormer's published option files, and data for them."""

from pathlib import Path

import cv2
import numpy as np
import yaml

PUBLISHED = """
name: Restormer
model_type: ImageCleanModel
scale: 1
num_gpu: 8
manual_seed: 100

datasets:
  train:
    name: TrainSet
    type: Dataset_PairedImage
    dataroot_gt: data/train/gt
    dataroot_lq: data/train/lq
    geometric_augs: true
    filename_tmpl: '{}'
    io_backend:
      type: disk
    use_shuffle: true
    num_worker_per_gpu: 8
    batch_size_per_gpu: 8
    mini_batch_sizes: [8,5,4,2,1,1]
    iters: [92000,64000,48000,36000,36000,24000]
    gt_size: 384
    gt_sizes: [128,160,192,256,320,384]
    dataset_enlarge_ratio: 1
    prefetch_mode: ~
  val:
    name: ValSet
    type: Dataset_PairedImage
    dataroot_gt: data/val/gt
    dataroot_lq: data/val/lq
    io_backend:
      type: disk

network_g:
  type: Restormer
  inp_channels: 3
  out_channels: 3
  dim: 48
  num_blocks: [4,6,6,8]
  num_refinement_blocks: 4
  heads: [1,2,4,8]
  ffn_expansion_factor: 2.66
  bias: False
  LayerNorm_type: WithBias
  dual_pixel_task: False

path:
  pretrain_network_g: ~
  strict_load_g: true
  resume_state: ~

train:
  total_iter: 300000
  warmup_iter: -1
  use_grad_clip: true
  scheduler:
    type: CosineAnnealingRestartCyclicLR
    periods: [92000, 208000]
    restart_weights: [1,1]
    eta_mins: [0.0003,0.000001]
  mixing_augs:
    mixup: false
    mixup_beta: 1.2
    use_identity: true
  optim_g:
    type: AdamW
    lr: !!float 3e-4
    weight_decay: !!float 1e-4
    betas: [0.9, 0.999]
  pixel_opt:
    type: L1Loss
    loss_weight: 1
    reduction: mean

val:
  window_size: 8
  val_freq: !!float 4e3
  save_img: false
  rgb2bgr: true
  use_image: true
  max_minibatch: 8
  metrics:
    psnr:
      type: calculate_psnr
      crop_border: 0
      test_y_channel: false

logger:
  print_freq: 1000
  save_checkpoint_freq: !!float 4e3
  use_tb_logger: true
  wandb:
    project: ~
    resume_id: ~

dist_params:
  backend: nccl
  port: 29500
"""


GAUSSIAN = {"type": "Dataset_GaussianDenoising", "dataroot_lq": "none"}


NOISE = {"sigma_type": "random", "sigma_range": [0, 50]}


VIEWS = {"type": "Dataset_DefocusDeblur_DualPixel_16bit", "dataroot_lq": None}


TASKS = {
    "paired": ({}, {}, {}, {}),
    "color": (
        GAUSSIAN | {"in_ch": 3} | NOISE,
        GAUSSIAN | {"in_ch": 3, "sigma_test": 25},
        {},
        {"mixup": True},
    ),
    "gray": (
        GAUSSIAN | {"in_ch": 1, "sigma_type": "constant", "sigma_range": 15},
        GAUSSIAN | {"in_ch": 1, "sigma_test": 15},
        {"inp_channels": 1, "out_channels": 1, "LayerNorm_type": "BiasFree"},
        {"mixup": True},
    ),
    "dual": (
        VIEWS | {"dataroot_lqL": "data/train/L", "dataroot_lqR": "data/train/R"},
        VIEWS | {"dataroot_lqL": "data/val/L", "dataroot_lqR": "data/val/R"},
        {"inp_channels": 6, "dual_pixel_task": True},
        {},
    ),
}


def published(task="paired"):
    """The published option file of a task, as it is written."""
    options = yaml.safe_load(PUBLISHED)
    train, val, net, mixing = TASKS[task]
    for phase, changes in (("train", train), ("val", val)):
        block = options["datasets"][phase]
        options["datasets"][phase] = {k: v for k, v in (block | changes).items() if v is not None}
    options["network_g"] |= net
    options["train"]["mixing_augs"] |= mixing
    options["val"]["use_image"] = task == "paired"
    return options


def write_data(task):
    """Six smooth pictures of odd sizes to train on, one of them small, and two to validate on."""
    generator = np.random.default_rng(0)
    dtype = np.uint16 if task == "dual" else np.uint8
    for phase, sizes in (
        ("train", [(33, 29), (25, 41), (23, 23), (13, 30), (31, 22)]),
        ("val", [(15, 26), (7, 9)]),
    ):
        for kind in ("gt", "L", "R") if task == "dual" else ("gt", "lq"):
            Path(f"data/{phase}/{kind}").mkdir(parents=True)
        for index, (h, w) in enumerate(sizes):
            gt = cv2.resize(generator.random((4, 5, 3)), (w, h), interpolation=cv2.INTER_CUBIC).clip(0, 1)
            for kind in ("L", "R") if task == "dual" else ("lq",):
                blurred = cv2.GaussianBlur(gt, (5, 5), 2)
                save(f"data/{phase}/{kind}/{index}.png", blurred, dtype)
            save(f"data/{phase}/gt/{index}.png", gt, dtype)


def save(path, picture, dtype):
    cv2.imwrite(path, (picture * np.iinfo(dtype).max).round().astype(dtype))


def write_options(options, path="o.yml"):
    Path(path).write_text(yaml.safe_dump(options, sort_keys=False))
    return path
