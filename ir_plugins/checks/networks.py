"""Check that a network can be built, fits the data, and gives `scale` times its input.

Scale and channels come from its declaration (`archs.declaration`); a dry forward then tries it on a picture.
"""

import re
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY, MODEL_REGISTRY

from ..archs.building import Absurd, Shape, TooLarge, build_anywhere, build_on_meta, is_on_meta, output_shape
from ..archs.declaration import Facts, defaults, facts, is_declared
from ..options.basicsr_keys import KEYS
from ..options.problems import Problem, is_block, reason, value_at
from ..options.reading import Options
from ..options.registries import registered
from ..options.signatures import Keys
from ..runtime.plugins import origin
from .memory import network_memory_problems

PACKAGE = Path(__file__).parents[1]
SIDE = 8  # pixels: side of the picture that a declared network is tried on, rounded up to its size multiple
LARGEST_TRIED = 32  # pixels: side of the picture that any other network is tried on first
USUAL_PATCH = 64  # pixels: side of an LQ patch if the data does not say
CHANNELS = (3, 1, 4, 6)  # of common pictures


class Given(NamedTuple):
    """The channels that a dataset gives.

    Args:
        phase: Its block's name.
        lq: Channels of the pictures to restore.
        gt: Channels of the pictures to restore to; None: unknown.
        text: An explanation of the numbers, for a message.
    """

    phase: str
    lq: int
    gt: int | None
    text: str = ""


def network_problems(keys: Keys, options: Options) -> Iterator[Problem]:
    """Find why a network cannot be built, or does not fit the rest of the option file.

    Args:
        keys: Where its block stands; only network_g restores pictures.  Its arguments are of the right kinds.
        options: The whole file.
    """
    network, scale = options[keys[0]], _scale(options)
    kind = registered(ARCH_REGISTRY, network["type"])
    model = registered(MODEL_REGISTRY, options.get("model_type"))
    restores = keys == ("network_g",) and _feeds_the_data(model)
    try:
        said = facts(kind, network)
    except ValueError as error:
        yield Problem(keys, str(error))
        return
    found = list(channel_problems(keys, said, options)) if restores else []
    yield from found
    try:
        net = _built(network)
    except Exception as error:  # whatever a foreign class makes of its arguments
        problem = _building_problem(keys, network, error)
        if problem.keys not in [other.keys for other in found]:
            yield problem
        return
    found += (large := list(network_memory_problems(keys, net, options)))
    yield from large
    if restores and scale is not None:
        wrong = list(scale_problems(keys, network, said, scale))
        yield from wrong
        if not found and not wrong:
            yield from _trial_problems(keys, net, kind, said, options, scale)


def _built(network: Options) -> nn.Module:
    """The network, without the time that it takes to draw its weights if it can be built without."""
    try:
        return build_anywhere(network, random=False)
    except Absurd:
        raise
    except Exception:  # perhaps because it computes with them
        return build_anywhere(network)


def _feeds_the_data(model: Any) -> bool:
    """Whether a model feeds its network what the datasets give; one from outside may change it before."""
    feed = getattr(model, "feed_data", None)
    return feed is None or origin(feed) in ("basicsr", "ir_plugins")


def _building_problem(keys: Keys, network: Options, error: Exception) -> Problem:
    """Why a network cannot be built, at the key that the error begins with, if it names one."""
    if isinstance(error, OSError) and error.filename:
        text = f"cannot be built: {error.filename}: {error.strerror or error}"
        blamed = [name for name, value in network.items() if value == error.filename]
        return Problem((*keys, *blamed[:1]), text)
    meant = isinstance(error, ValueError | AssertionError)
    text = f"{'' if meant else 'cannot be built: '}{reason(error)}"
    blamed = re.match(r"(\w+)(?:=|:|,)", text)
    return Problem((*keys, blamed[1]) if blamed and blamed[1] in network else keys, text)


def scale_problems(keys: Keys, network: Options, said: Facts, scale: int) -> Iterator[Problem]:
    """Find a network that declares another scale than the option file.

    Args:
        keys: Where its block stands.
        network: The block.
        said: What the network declares.
        scale: The option file's.
    """
    if said.scale in (None, scale):
        return
    name = said.called.get("scale")
    given = (defaults(registered(ARCH_REGISTRY, network["type"])) | network).get(name)
    if given == said.scale:
        yield Problem((*keys, str(name)), f"is {given}, but scale is {scale}; make them equal")
    else:
        yield _wrong_scale(network["type"], said.scale, scale)


def channel_problems(keys: Keys, said: Facts, options: Options) -> Iterator[Problem]:
    """Find a network that declares other channels than a dataset gives.

    Args:
        keys: Where its block stands.
        said: What the network declares.
        options: The whole file.
    """
    for given in channels_given(options):
        for name, wanted, there in (
            ("in_channels", said.in_channels, given.lq),
            ("out_channels", said.out_channels, given.gt),
        ):
            if wanted is not None and there is not None and wanted != there:
                theirs = (
                    f"but {'' if name == 'in_channels' else 'GT of '}datasets:{given.phase} gives {there}"
                )
                if name in said.called:
                    keys, mine = (*keys, said.called[name]), f"is {wanted}"
                else:
                    mine = f"{'takes' if name == 'in_channels' else 'makes'} pictures of {wanted} channels"
                yield Problem(keys, f"{mine}, {theirs} channels{given.text}")
                return  # mostly one mistake: both are equal in most networks


def channels_given(options: Options) -> Iterator[Given]:
    """The channels that each dataset gives, if they are known.

    BasicSR's paired dataset gives three channels (gray is tripled), or one with `color: y`.  Our datasets
    have class methods: `channels` for LQ and `colour_of` for GT.

    Args:
        options: The whole file.
    """
    for phase, dataset in (options.get("datasets") or {}).items():
        if not is_block(dataset) or not dataset:
            continue
        kind = registered(DATASET_REGISTRY, dataset.get("type"))
        if dataset.get("type") == "PairedImageDataset":
            given = 1 if dataset.get("color") == "y" else 3
            text = "; 3 is colour (gray is tripled), 1 is luma (color: y in the dataset)"
            yield Given(phase, given, given, text)
        elif hasattr(kind, "channels") and (lq := kind.channels(dataset)) is not None:
            gt = (3 if kind.colour_of(dataset) == "rgb" else 1) if hasattr(kind, "colour_of") else None
            yield Given(phase, lq, gt)


class Trial(NamedTuple):
    """A dry forward.

    Args:
        picture: The input's shape, (1, C, H, W).
        shape: The output's; None if it is no tensor, or there is none.
        error: Why there is no output; None if there is one.
    """

    picture: Shape
    shape: Shape | None
    error: Exception | None


def _trial_problems(
    keys: Keys, net: nn.Module, kind: Any, said: Facts, options: Options, scale: int
) -> Iterator[Problem]:
    """Find out by a dry forward whether a network fails, or gives another size or other channels.

    A network without a declaration may do something else than restore a picture: if it refuses one, that is
    no problem.
    """
    declared = is_declared(kind)
    data = next(channels_given(options), None)
    channels = said.in_channels or (data.lq if data else 3)
    multiple, patch = said.size_multiple, _patch(options, scale)
    small = -(-SIDE // multiple) * multiple
    sizes = [(small, small + multiple)] if declared else [(min(patch, LARGEST_TRIED),) * 2]
    if patch % multiple == 0:  # some nets work at the size of the training patches only
        sizes.append((patch, patch))
    first: list[Problem] = []
    for size in dict.fromkeys(sizes):
        found = list(_problems_at(size, keys, net, said, options, scale, channels, data, declared))
        if not found:
            return
        first = first or found
    yield from first


def _problems_at(
    size: tuple[int, int],
    keys: Keys,
    net: nn.Module,
    said: Facts,
    options: Options,
    scale: int,
    channels: int,
    data: Given | None,
    declared: bool,
) -> Iterator[Problem]:
    """What a dry forward on a picture of that size shows."""
    trial = _tried(net, options[keys[0]], (1, channels, *size))
    if trial.error is None:
        there = said.out_channels or (data.gt if data else None)
        yield from _output_problems(keys, options[keys[0]]["type"], trial, scale, there, said)
    elif declared and not isinstance(trial.error, TooLarge):
        text = f"cannot restore a picture of {_words(trial.picture[1:])}: {reason(trial.error)}"
        yield Problem(keys, f"{text}{_place(trial.error)}")
    elif data is not None:
        for other in CHANNELS:
            if other != channels and _tried(net, options[keys[0]], (1, other, *size)).shape:
                text = f"takes pictures of {other} channels, but datasets:{data.phase} gives {channels}"
                yield Problem(keys, f"{text}{data.text}")
                return


def _output_problems(
    keys: Keys, name: str, trial: Trial, scale: int, channels: int | None, said: Facts
) -> Iterator[Problem]:
    """Why the output of a dry forward is no picture, or another than the option file expects."""
    shape, (height, width) = trial.shape, trial.picture[2:]
    if shape is None or len(shape) != 4:
        if is_declared(registered(ARCH_REGISTRY, name)):
            yield Problem(keys, f"gives {_words(shape) or 'no tensor'} where a picture is expected")
        return
    factor = shape[2] // height
    if shape[2:] == (scale * height, scale * width):
        if channels not in (None, shape[1]):
            yield Problem(keys, f"gives pictures of {shape[1]} channels; expected {channels}")
    elif shape[2:] == (factor * height, factor * width):
        if said.scale == scale:
            text = f"{name} declares scale {said.scale}, but makes pictures {factor} times as large"
            yield Problem(keys, f"{text}; correct its `declares` or its forward")
        else:
            yield _wrong_scale(name, factor, scale)
    else:
        text = f"gives {_words(shape[2:])} pixels for {_words((height, width))}, but scale is {scale}"
        yield Problem(keys, f"{text}; take a network that gives scale times its input")


def _tried(net: nn.Module, network: Options, picture: Shape) -> Trial:
    """A network's forward: in memory if that is quick, else on the meta device."""
    if not is_on_meta(net):
        try:
            return Trial(picture, output_shape(net, picture), None)
        except TooLarge:
            pass
        except Exception:  # perhaps because its weights were not drawn
            return _tried_again(network, picture)
    with suppress(Exception):  # an operation without a meta function, or one that looks at numbers
        if (bare := net if is_on_meta(net) else build_on_meta(network)) is not None:
            return Trial(picture, output_shape(bare, picture), None)
    return Trial(picture, None, TooLarge())


def _tried_again(network: Options, picture: Shape) -> Trial:
    """The same with weights that are drawn as in training."""
    try:
        return Trial(picture, output_shape(build_anywhere(network), picture), None)
    except Exception as error:  # whatever a foreign class makes of a picture
        return Trial(picture, None, error)


def _place(error: Exception) -> str:
    """In brackets, the line of a file from outside that an error passed through last; else nothing."""
    place, trace = "", error.__traceback__
    installed = {Path(path) for path in (sysconfig.get_path("purelib"), sysconfig.get_path("stdlib"))}
    while trace is not None:
        file = Path(trace.tb_frame.f_code.co_filename)
        if PACKAGE not in file.parents and not installed & set(file.parents) and file.is_file():
            place = f" ({file.name}:{trace.tb_lineno})"
        trace = trace.tb_next
    return place


def _scale(options: Options) -> int | None:
    """The file's scale; None if its value is wrong, which another check reports."""
    scale = 1 if options.get("scale") is None else options["scale"]
    return scale if KEYS["scale",].fault(scale) is None else None


def _wrong_scale(name: str, factor: int, scale: int) -> Problem:
    does = "keeps the picture's size" if factor == 1 else f"makes pictures {factor} times as large"
    return Problem(("scale",), f"is {scale}, but {name} {does}; set scale: {factor}")


def _patch(options: Options, scale: int) -> int:
    """The side of an LQ patch in training; USUAL_PATCH if there is none."""
    data = value_at(options, "datasets", "train")
    sides = value_at(data, "gt_sizes") or [value_at(data, "gt_size")]
    known = [side for side in sides if isinstance(side, int)] if isinstance(sides, list) else []
    return max(1, min(known, default=USUAL_PATCH * scale) // scale)


def _words(shape: Shape | None) -> str:
    return " x ".join(map(str, shape)) if shape else ""
