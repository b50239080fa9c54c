"""`basicsr test`: the pipeline."""

from argparse import Namespace
from pathlib import Path

import torch

from basicsr.data import build_dataloader, build_dataset
from basicsr.models import build_model
from basicsr.utils import get_env_info, get_root_logger, get_time_str, make_exp_dirs
from basicsr.utils.options import dict2str

from .distributed import ending_together, wait_for_all
from .options import Options
from .preflight import prepare


def test(arguments: Namespace) -> None:
    """Restore and measure every val and test dataset; see `preflight.prepare` for the arguments."""
    with ending_together(arguments):
        _test(prepare(arguments, is_train=False))


def _test(opt: Options) -> None:
    torch.backends.cudnn.benchmark = True
    make_exp_dirs(opt)  # rank 0 does
    wait_for_all()
    log_file = Path(opt["path"]["log"], f"test_{opt['name']}_{get_time_str()}.log")
    logger = get_root_logger(log_file=str(log_file))
    logger.info(get_env_info())
    logger.info(dict2str(opt))

    loaders = []
    for _, dataset_opt in sorted(opt["datasets"].items()):
        dataset = build_dataset(dataset_opt)
        loaders.append(build_dataloader(dataset, dataset_opt, num_gpu=opt["num_gpu"], dist=opt["dist"]))
        logger.info(f"Number of test images in {dataset_opt['name']}: {len(dataset)}")
    model = build_model(opt)
    for loader in loaders:
        logger.info(f"Testing {loader.dataset.opt['name']}...")
        model.validation(loader, current_iter=opt["name"], tb_logger=None, save_img=opt["val"]["save_img"])
