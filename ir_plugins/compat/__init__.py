"""Repairs that PyPI's basicsr 1.4.2 needs on a modern stack; `ir_plugins/__init__.py` calls them.

`before_import()` and `after_import()` run around the first import of basicsr; running them again changes
nothing.  There is a file for each family of repairs.  Each function mends one break: it looks for the
symptom and leaves healthy versions alone; its docstring says when to delete it.

May import pictures, weights, options and runtime.
"""

from .images import (
    name_unreadable_images,
    read_raw_pixels,
    round_jpeg_quality,
    view_pictures_in_any_memory,
    write_pictures_whole,
)
from .imports import (
    accept_torchvision_of_another_torch,
    provide_functional_tensor,
    provide_loose_version,
    provide_scipy_filters,
)
from .lmdb_backend import share_lmdb_environments
from .models import (
    degrade_where_the_model_is,
    load_weights_as_others_publish_them,
    validate_nets_that_pad_themselves,
)
from .package import refuse_other_basicsr
from .slow_imports import end_postponing, postpone_slow_imports


def before_import() -> None:
    """Make PyPI's basicsr importable.

    Raises:
        UserError: BasicSR is not installed, or another package of that name hides it.
    """
    refuse_other_basicsr()
    postpone_slow_imports()
    accept_torchvision_of_another_torch()
    provide_functional_tensor()
    provide_loose_version()
    provide_scipy_filters()


def after_import() -> None:
    """Mend an imported basicsr for training and testing."""
    end_postponing()
    round_jpeg_quality()
    share_lmdb_environments()
    name_unreadable_images()
    write_pictures_whole()
    degrade_where_the_model_is()
    view_pictures_in_any_memory()
    load_weights_as_others_publish_them()
    read_raw_pixels()
    validate_nets_that_pad_themselves()
