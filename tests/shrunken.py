"""Data and overrides that let every shipped option file run in seconds, as it is but for its sizes."""

from pathlib import Path

import cv2
import numpy as np
import torch

from ir_plugins.archs.building import build_on_meta
from ir_plugins.data.datasets.mixed import blocks
from ir_plugins.pictures.lmdb import write_lmdb

from basicsr.archs import build_network

SIDE = 48  # of a GT picture, about
NETS = {
    "Restormer": {"dim": 4, "num_blocks": [1, 1, 1, 1], "num_refinement_blocks": 1, "heads": [1, 1, 2, 2]},
    "AST": {"embed_dim": 4, "depths": [1] * 9, "num_heads": [1] * 9},
    "SemanIR": {
        "embed_dim": 6,
        "depths": [1],
        "num_heads": [2],
        "window_size": 8,
        "top_k": 16,
        "num_feat": 4,
    },
    "SemanIRUNet": {"embed_dim": 4, "depths": [1] * 7, "num_heads": [1] * 7, "window_size": 8, "top_k": 16},
}


def overrides(options: dict) -> list[str]:
    """What makes a shipped file small: the net, patches, batches, iterations; everything else stays."""
    net = dict(NETS[options["network_g"]["type"]])
    if "train_top_k" in options["network_g"]:
        net["train_top_k"] = [8, 16]
    small = {f"network_g:{key}": value for key, value in net.items()} | {"num_gpu": 0}
    if data := options["datasets"].get("train"):
        patch = 16 * options["scale"]
        small |= {"datasets:train:gt_size": patch, "datasets:train:num_worker_per_gpu": 0}
        small |= {"datasets:train:batch_size_per_gpu": 2, "train:total_iter": 3, "val:val_freq": 3}
        small |= {"logger:print_freq": 1, "logger:save_checkpoint_freq": 3}
        if "gt_sizes" in data:  # three stages, of one iteration each
            small |= {"datasets:train:gt_sizes": [16, 24, 32], "datasets:train:mini_batch_sizes": [3, 2, 1]}
            small |= {"datasets:train:iters": [1, 1, 1]}
    if options.get("train", {}).get("progressive"):
        small |= {"train:progressive:patch_sizes": [16, 24], "train:progressive:batch_sizes": [2, 1]}
        small |= {"train:progressive:iters": [1, 2]}
    return [f"{key}={value}".replace(" ", "") for key, value in small.items()]


def write_data(options: dict) -> None:
    """Three pictures of each kind where every dataset of a file looks for them."""
    for data in options["datasets"].values():
        for block in blocks(data).values() if "sets" in data else [data]:
            _write_set(block, options["scale"])


def write_weights(options: dict) -> None:
    """Untrained weights where a test file looks for them."""
    assert build_on_meta(options["network_g"]) is not None
    path = Path(options["path"]["pretrain_network_g"])
    path.parent.mkdir(parents=True, exist_ok=True)
    key = options["path"].get("param_key_g", "params")
    torch.save({key: build_network(dict(options["network_g"])).state_dict()}, path)


def _write_set(block: dict, scale: int) -> None:
    dual = "DualPixel" in block["type"] or block.get("bits") == 16
    roots = {key: root for key, root in block.items() if key.startswith("dataroot") and root != "none"}
    if listing := block.get("meta_info_file"):
        roots = {key: f"{root}/{key[-2:]}" for key, root in roots.items()}
        Path(listing).parent.mkdir(parents=True, exist_ok=True)
        Path(listing).write_text("\n".join(f"/lq/{n}.png /gt/{n}.png" for n in range(3)))
    for key, root in roots.items():
        folder = Path(root.removesuffix(".lmdb"))
        small = scale if key.startswith("dataroot_lq") else 1
        _write_pictures(folder, small, np.uint16 if dual or "DPDD" in root else np.uint8)
        if root.endswith(".lmdb") and not Path(root).exists():
            write_lmdb(folder, root)


def _write_pictures(folder: Path, small: int, dtype: type) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    for number in range(3):
        h, w = (12 * n // small for n in (4, 4 + number))
        pixels = generator.integers(0, np.iinfo(dtype).max, (h, w, 3), dtype=dtype)
        cv2.imwrite(str(folder / f"{number}.png"), pixels)
