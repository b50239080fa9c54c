"""`basicsr list`: the names that an option file can use.

Without plugins, names.json holds the answers, so that nobody waits for torch; `make schema` writes it.
Functions that need torch import it themselves.
"""

import importlib.metadata
import importlib.util
import inspect
import json
import re
import textwrap
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..runtime.errors import UserError, nearest
from ..runtime.plugins import in_play, load_plugins, origin

INDEX = Path(__file__).with_name("names.json")
DESIGNS = ("attentions", "ffns")
KIND_NAMES = (
    "archs",
    *DESIGNS,
    "losses",
    "datasets",
    "models",
    "metrics",
    "schedulers",
    "optimizers",
)
ARGS = re.compile(r"\n*^Args:\n(?:[ \t]+.*(?:\n|$)|\n)*", re.M)  # the list of arguments in a docstring
MODULES = re.compile(r"\b(?:[a-z_]\w*\.)+(?=[A-Za-z_])")  # what stands before a type's name: collections.abc.
# the packages whose versions change the answer for a kind: others need another index
PACKAGES = {kind: ("basicsr", "torch") if kind == "optimizers" else ("basicsr",) for kind in KIND_NAMES}


def run(arguments: Namespace) -> None:
    answer = None if in_play(arguments.plugin) else _from_index(arguments.kind, arguments.name)
    if answer is None:
        load_plugins(arguments.plugin)
        answer = describe(arguments.kind, arguments.name) if arguments.name else table(arguments.kind)
    print(answer)


# -- answers from the index


def index() -> dict[str, Any]:
    """The content of names.json: versions, and for each kind its table and the description of each name."""
    return {
        "versions": {package: _version(package) for package in ("basicsr", "torch")},
        "tables": {kind: table(kind) for kind in KIND_NAMES},
        "descriptions": {
            kind: {name: describe(kind, name) for name in sorted(named(kind))} for kind in KIND_NAMES
        },
    }


def _from_index(kind: str, name: str | None) -> str | None:
    """The answer, if the index exists, has the name and is of the installed versions; else None."""
    if not INDEX.is_file():
        return None
    known = json.loads(INDEX.read_text(encoding="utf-8"))
    if any(_version(package) != known["versions"][package] for package in PACKAGES[kind]):
        return None
    return known["descriptions"][kind].get(name) if name else known["tables"][kind]


def _version(package: str) -> str | None:
    """The installed version, without "+cpu"; None if Python would import something else."""
    try:
        installed = importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return None
    spec = importlib.util.find_spec(package)
    its_own = Path(str(installed.locate_file(f"{package}/__init__.py")))
    if spec is None or not spec.origin or not its_own.is_file() or not its_own.samefile(spec.origin):
        return None
    return installed.version.partition("+")[0]


# -- answers from what is registered


def named(kind: str) -> dict[str, Callable]:
    """The classes and functions of a kind, by name.

    Args:
        kind: One of KIND_NAMES.
    """
    from basicsr.utils import registry

    from ..blocks import ATTENTIONS, FEED_FORWARDS
    from ..options.registries import SCHEDULERS, entries, optimizers

    if kind == "optimizers":
        return optimizers()
    designs = {"attentions": ATTENTIONS, "ffns": FEED_FORWARDS, "schedulers": SCHEDULERS}
    registries = {
        "archs": registry.ARCH_REGISTRY,
        "losses": registry.LOSS_REGISTRY,
        "datasets": registry.DATASET_REGISTRY,
        "models": registry.MODEL_REGISTRY,
        "metrics": registry.METRIC_REGISTRY,
    }
    return dict(designs[kind]) if kind in designs else entries(registries[kind])


def table(kind: str) -> str:
    """A line for each name, with its package and the first sentence of its documentation.

    A design has two lines or more: its paper and complexity, then its arguments.

    Args:
        kind: One of KIND_NAMES.
    """
    found = sorted(named(kind).items())
    width = max(len(name) for name, _ in found)
    if kind in DESIGNS:
        return "\n".join(_design(name, item, width) for name, item in found)
    origins = max(10, *(len(origin(item)) for _, item in found))
    return "\n".join(f"{name:{width}}  {origin(item):{origins}}  {_summary(item)}" for name, item in found)


def _design(name: str, design: Any, width: int) -> str:
    parameters = inspect.signature(design).parameters.values()
    arguments = [str(p.replace(annotation=p.empty)) for p in parameters if p.name not in _from_the_net()]
    listed = textwrap.wrap(", ".join(arguments), 100 - width)
    first = f"{name:{width}}  {_fact(design, 'paper'):27}  {_fact(design, 'complexity')}".rstrip()
    if origin(design) != "ir_plugins":
        first += f"  [{origin(design)}]"
    return f"\n{' ' * (width + 2)}".join([first, *listed])


def _fact(design: Any, what: str) -> str:
    return getattr(design, what, f"(no {what})")


def _from_the_net() -> tuple[str, ...]:
    from ..blocks.designs import FROM_THE_NET

    return FROM_THE_NET


def describe(kind: str, name: str) -> str:
    """The arguments of one item, each with its text, and the rest of its documentation.

    Args:
        kind: One of KIND_NAMES.
        name: The item's name.

    Raises:
        UserError: There is no such name.
    """
    from ..options.signatures import argument_texts, kind_of

    item = named(kind).get(name)
    if item is None:
        raise UserError(f"{kind} has no '{name}'; {_way_out(kind, name)}")
    hidden = _from_the_net() if kind in DESIGNS else ()
    taken = {n: p for n, p in inspect.signature(item).parameters.items() if n not in hidden}
    document, texts = inspect.getdoc(item) or "", {}
    if not item.__module__.startswith("torch."):  # its documentation follows another style
        texts = argument_texts(item, list(taken), whole=True)
        document = ARGS.sub("\n\n", document).strip() if texts else document
    arguments = [_argument(p, texts.get(n, "").strip()) for n, p in taken.items()]
    if keys := getattr(item, "option_keys", None) if kind == "datasets" else None:
        arguments = [f"{key}: {kind_of(declared.kind)}; {declared.text}" for key, declared in keys.items()]
    facts = [f"{_fact(item, 'paper')}; {_fact(item, 'complexity')}", ""] if kind in DESIGNS else []
    return "\n".join([name, *(f"  {argument}" for argument in arguments), "", *facts, document]).rstrip()


def _way_out(kind: str, name: str) -> str:
    """Where a name is that a kind does not have."""
    if there := [other for other in KIND_NAMES if name in named(other)]:
        return f"see `basicsr list {there[0]} {name}`"
    near = nearest(name, named(kind))
    return f"did you mean '{near}'?" if near else f"`basicsr list {kind}` names them"


def _argument(parameter: inspect.Parameter, text: str) -> str:
    """An argument as in a signature, and its text in the lines below."""
    signature = MODULES.sub("", str(parameter))
    return "\n".join([signature, textwrap.indent(text, " " * 6)] if text else [signature])


def _summary(item: Callable) -> str:
    paragraph = (inspect.getdoc(item) or "").partition("\n\n")[0]
    return textwrap.shorten(paragraph, 100, placeholder=" ...")
