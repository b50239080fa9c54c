"""Small pictures, and training options for them, that many tests share."""

from pathlib import Path

import cv2
import numpy as np

# every argument that changes a shape, each with a value of its own where that can be
RESTORMER = {
    "inp_channels": 3,
    "out_channels": 3,
    "dim": 6,
    "num_blocks": [1, 2, 1, 3],
    "num_refinement_blocks": 2,
    "heads": [1, 2, 3, 4],
    "ffn_expansion_factor": 2.66,
    "bias": False,
    "LayerNorm_type": "WithBias",
    "dual_pixel_task": False,
}
AST = {
    "img_size": 128,
    "in_chans": 3,
    "dd_in": 3,
    "embed_dim": 12,
    "depths": [1, 2, 1, 1, 2, 1, 3, 1, 1],
    "num_heads": [1, 2, 4, 8, 16, 12, 6, 4, 3],
    "win_size": 8,
    "mlp_ratio": 4.0,
    "qkv_bias": True,
    "token_mlp": "frfn",
}
# and enough of them to be small
SEMANIR = {"embed_dim": 6, "depths": [1], "num_heads": [2], "window_size": 5, "num_feat": 5}
SEMANIR_UNET = {"embed_dim": 4, "depths": [1] * 7, "num_heads": [1] * 7, "window_size": 5}


def write_pairs(folder: Path, sizes: list[tuple[int, int]], scale: int = 2) -> None:
    """Random pictures folder/lq/0.png, 1.png, ... of the given sizes, and scale times that in folder/gt."""
    generator = np.random.default_rng(0)
    for kind, factor in (("gt", scale), ("lq", 1)):
        (folder / kind).mkdir(parents=True)
        for index, (h, w) in enumerate(sizes):
            picture = generator.integers(0, 256, (h * factor, w * factor, 3), dtype=np.uint8)
            cv2.imwrite(str(folder / kind / f"{index}.png"), picture)


def tiny_options(name: str = "tiny") -> dict:
    """Options that train a very small SemanIR for four iterations on data/train, validating on data/val."""

    def dataset(folder: str) -> dict:
        return {
            "name": folder,
            "type": "PairedImageDataset",
            "dataroot_gt": f"data/{folder}/gt",
            "dataroot_lq": f"data/{folder}/lq",
            "io_backend": {"type": "disk"},
        }

    loader = {
        "gt_size": 14,
        "use_hflip": True,
        "use_rot": True,
        "num_worker_per_gpu": 2,
        "batch_size_per_gpu": 2,
    }
    net = {
        "type": "SemanIR",
        "embed_dim": 6,
        "depths": [2],
        "num_heads": [2],
        "window_size": 5,
        "num_feat": 5,
    }
    psnr = {"type": "calculate_psnr", "crop_border": 2, "test_y_channel": True}
    return {
        "name": name,
        "model_type": "RestorationModel",
        "scale": 2,
        "num_gpu": 0,
        "manual_seed": 0,
        "datasets": {"train": dataset("train") | loader, "val": dataset("val")},
        "network_g": net,
        "train": {
            "ema_decay": 0.9,
            "optim_g": {"type": "AdamW", "lr": 1e-3},
            "scheduler": {"type": "MultiStepLR", "milestones": [3], "gamma": 0.5},
            "total_iter": 4,
            "pixel_opt": {"type": "L1Loss"},
        },
        "val": {"val_freq": 2, "save_img": True, "metrics": {"psnr": psnr}},
        "logger": {"print_freq": 1, "save_checkpoint_freq": 2, "use_tb_logger": True},
    }
