"""Pictures for the datasets."""

import pytest
from dataset_cases import SIZES
from picture_sets import write as write_three


@pytest.fixture
def folders(tmp_path):
    """Three pictures of 8 bits and three of 16, and others of the same sizes, by folder."""
    for folder, dtype in {"gt": "u1", "lq": "u1", "gt16": "u2", "left": "u2", "right": "u2"}.items():
        write_three(tmp_path / folder, dtype, SIZES, seed=len(folder))
    return tmp_path
