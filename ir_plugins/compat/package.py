"""Check which package `import basicsr` finds."""

import importlib.util
import re
from pathlib import Path

from ..runtime.errors import UserError


def refuse_other_basicsr() -> None:
    """`No module named 'basicsr.utils.registry'`, or others: another package of that name comes first.

    Concerns the `basicsr` folders inside the repositories of Restormer, NAFNet and others (forks of 1.2.0 and
    1.3.x); the check reads them and executes nothing.  Delete when nobody uses such repositories any more.

    Raises:
        UserError: BasicSR is not installed, or another package of that name hides it.
    """
    install = "pip install --no-build-isolation basicsr==1.4.2"
    spec = importlib.util.find_spec("basicsr")
    if spec is None or spec.origin is None:  # no origin: a folder of that name without __init__.py
        raise UserError(f"BasicSR is not installed: `{install}`")
    found = Path(spec.origin)
    if found.name == "__init__.py":
        found = found.parent
    stated = found / "version.py"
    text = stated.read_text(encoding="utf-8", errors="replace") if stated.is_file() else ""
    version = re.search(r"__version__\s*=\s*['\"](\d+)\.(\d+)\.(\d+)", text)
    new_enough = version is not None and tuple(map(int, version.groups())) >= (1, 4, 2)
    if not new_enough or not (found / "utils" / "registry.py").is_file():
        number = ".".join(version.groups()) if version else "unknown"
        raise UserError(
            f"basicsr found at {found} (version {number}) hides PyPI's basicsr 1.4.2, which is needed: take "
            f"it off PYTHONPATH, run from another folder or `pip uninstall basicsr`; then `{install}`"
        )
