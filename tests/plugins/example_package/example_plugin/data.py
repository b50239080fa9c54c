"""A dataset."""

from typing import Any

from basicsr.data.paired_image_dataset import PairedImageDataset
from basicsr.utils.registry import DATASET_REGISTRY


@DATASET_REGISTRY.register()
class DarkenedDataset(PairedImageDataset):
    """BasicSR's pairs, with the input at half its brightness."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        item = super().__getitem__(index)
        return item | {"lq": item["lq"] / 2}
