"""`python -m ir_plugins ...` is `basicsr ...`."""

import sys

from ir_plugins.cli import main

# a spawned data worker skips a main module of this name, then meets basicsr before its repairs; without a
# spec it runs this file by its path, and so imports the package first
__spec__ = None

if __name__ == "__main__":
    sys.exit(main())
