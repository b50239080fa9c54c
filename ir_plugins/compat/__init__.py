"""Repairs that PyPI's basicsr 1.4.2 needs on a modern stack; the package's own __init__ calls them.

`before_import()` and `after_import()` run around the first import of basicsr; running them again changes
nothing.  Each function, in a file per family, mends one break: it looks for the sickness, leaves healthy
versions alone and says when it can be deleted.  May import pictures, weights, options and runtime.
"""

from .images import name_unreadable_images, read_raw_pixels, round_jpeg_quality, view_pictures_in_any_memory
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
        UserError: Where BasicSR is not installed, or hidden by another package of that name.
    """
    refuse_other_basicsr()
    postpone_slow_imports()
    accept_torchvision_of_another_torch()
    provide_functional_tensor()
    provide_loose_version()
    provide_scipy_filters()


def after_import() -> None:
    """Mend what training and testing meet in an imported basicsr."""
    end_postponing()
    round_jpeg_quality()
    share_lmdb_environments()
    name_unreadable_images()
    degrade_where_the_model_is()
    view_pictures_in_any_memory()
    load_weights_as_others_publish_them()
    read_raw_pixels()
    validate_nets_that_pad_themselves()
