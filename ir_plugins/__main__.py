"""`python -m ir_plugins ...` is `basicsr ...`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
