"""A JSON Schema of option files, by which editors complete keys, explain them and mark mistakes.

It agrees with the checks of `option_file.py`, as far as that is possible without the data.  It has every
registered name, its arguments, their kinds, bounds and defaults.  Plugins count if they are imported before.
"""

import inspect
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from basicsr.utils.registry import (
    ARCH_REGISTRY,
    DATASET_REGISTRY,
    LOSS_REGISTRY,
    METRIC_REGISTRY,
    MODEL_REGISTRY,
)

from ..blocks import ATTENTIONS, FEED_FORWARDS
from ..blocks.designs import FROM_THE_NET, Designs
from ..options.basicsr_keys import BETTER, KEYS, LOADER, NETWORK_PATHS, PICTURES
from ..options.dataset_blocks import BACKENDS, declared_keys, known_keys, needed_keys
from ..options.problems import Key
from ..options.registries import SCHEDULERS, entries, optimizers
from ..options.signatures import Keys, argument_texts, arguments, json_kind, json_union, keys_read
from . import option_file
from .sharing import as_text, with_shared

Json = dict[str, Any]
NETWORK = "^network_[a-z0-9_]+$"
# keys that the pipeline adds: to a dataset, and at the top
COMPLETED = {"phase", "scale"}
PIPELINE = {
    "is_train",
    "dist",
    "rank",
    "world_size",
    *option_file.BLOCKS,
    *(keys[0] for keys in KEYS),
    "datasets",
}


def schema_text() -> str:
    """`editor_schema` as the text of a file."""
    return as_text(editor_schema()) + "\n"


def editor_schema() -> Json:
    """The schema of everything that is registered now; JSON Schema draft 7, which editors know best."""
    models = _named(entries(MODEL_REGISTRY))
    top, blocks = _top_and_blocks(models.values())
    whole: Json = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Option file of ir_plugins",
        "description": "Written by `make schema` or `basicsr schema` from the code; do not edit.",
        "type": "object",
        "required": ["name", "model_type", "datasets", "network_g"],
        "properties": {
            **top,
            "model_type": {"enum": list(models), "description": KEYS["model_type",].text},
            "datasets": _datasets(),
            **blocks,
        },
        "patternProperties": {NETWORK: {"$ref": "#/definitions/network"}},
        "additionalProperties": False,
        "allOf": [_if("model_type", name, _of_model(model)) for name, model in models.items()],
        "definitions": {
            "network": _typed(entries(ARCH_REGISTRY), _arguments),
            "loss": _typed(entries(LOSS_REGISTRY), _arguments),
            "metric": _typed(entries(METRIC_REGISTRY), _metric),
            "optimizer": _typed(optimizers(), _optimizer(models.values())),
            "scheduler": _typed(SCHEDULERS, lambda kind: _arguments(kind, option_file.TO_SCHEDULERS)),
            "dataset": _typed(entries(DATASET_REGISTRY), _dataset(models.values())),
            "attention": _designs(ATTENTIONS, ["none"]),
            "ffn": _designs(FEED_FORWARDS, []),
        },
    }
    # optimizers apart: their arguments differ between versions of torch
    optimizer = {"definitions": {"optimizer": whole["definitions"].pop("optimizer")}}
    shared = with_shared(whole)
    shared["definitions"] |= with_shared(optimizer, "optimizer.")["definitions"]
    return shared


# -- blocks of fixed keys


def _top_and_blocks(models: Iterable[Any]) -> tuple[Json, Json]:
    """The keys at the top, and BasicSR's blocks, with every key that any of the models knows."""
    models = list(models)
    found: dict[Keys, Json] = {}
    for model in models:
        for keys in sorted(keys_read(model)):
            found.setdefault(keys[:2], {})
        found |= {keys: _key(key) for keys, key in option_file.declared_by(model).items()}
    found |= {keys: _key(key) for keys, key in KEYS.items()}
    found, own = dict(sorted(found.items())), _own_top(models)
    top = {keys[0]: kind for keys, kind in found.items() if keys in KEYS and len(keys) == 1}
    top |= {keys[0]: {} for keys in found if len(keys) == 1 and keys[0] in own}
    return top, {block: _block(block, found) for block in option_file.BLOCKS}


def _own_top(models: Iterable[Any]) -> set[str]:
    """The keys at the top of a file that only some models look up, such as RealESRGAN's degradations."""
    read = {keys[0] for model in models for keys in keys_read(model) if len(keys) == 1}
    return {key for key in read if key not in PIPELINE and not key.startswith("network_")}


def _block(name: str, found: Mapping[Keys, Json]) -> Json:
    properties = {keys[1]: kind for keys, kind in found.items() if keys[0] == name and len(keys) == 2}
    inner = sorted({keys[1] for keys in found if keys[0] == name and len(keys) > 2} - {"optim_g"})
    for block in inner:
        kinds = {keys[2]: kind for keys, kind in found.items() if keys[:2] == (name, block) and len(keys) > 2}
        properties[block] = _object(kinds, empty=True)
    patterns: Json = {}
    if name == "train":
        properties = {key: kind for key, kind in properties.items() if not key.endswith("_opt")}
        properties = {key: kind for key, kind in properties.items() if not key.startswith("optim_")}
        properties["scheduler"] = {"$ref": "#/definitions/scheduler"}
        loss = {"anyOf": [{"$ref": "#/definitions/loss"}, {"type": "null"}]}
        properties |= {"optim_g": {"$ref": "#/definitions/optimizer"}, "pixel_opt": loss}
        patterns = {"^optim_.": {"$ref": "#/definitions/optimizer"}, "._opt$": loss}
    if name == "val":
        metric = {"$ref": "#/definitions/metric"}
        properties["metrics"] |= {"additionalProperties": metric}
    if name == "path":
        kinds = {prefix: _key(key) for prefix, key in NETWORK_PATHS.items()}
        taken = (*kinds, *option_file.FOLDERS)
        properties = {key: kind for key, kind in properties.items() if not key.startswith(taken)}
        properties |= {
            f"{prefix}{'network_' * (prefix == 'pretrain_')}g": kind for prefix, kind in kinds.items()
        }
        patterns = {f"^{prefix}(network_)?[a-z0-9]+$": kind for prefix, kind in kinds.items()}
    return _object(properties, empty=name != "train") | ({"patternProperties": patterns} if patterns else {})


def _of_model(model: Any) -> Json:
    """Limits the keys to those that this model knows."""
    own = sorted(set(_own_top([model])) | {keys[0] for keys in KEYS} | {"datasets"})
    limits: Json = {}
    for block in option_file.BLOCKS:
        names: list[Json] = [{"enum": sorted(option_file.keys_of_block(model, block))}]
        if block == "train" and ("train", "NAME_opt") in option_file.declared_by(model):
            names.append({"pattern": "._opt$"})
        if block != "path":
            limits[block] = {"propertyNames": {"anyOf": names}}
    return {"properties": limits, "propertyNames": {"anyOf": [{"enum": own}, {"pattern": NETWORK}]}}


def _object(properties: Json, *, empty: bool = False, required: Sequence[str] = ()) -> Json:
    kind = {"type": ["object", "null"] if empty else "object", "properties": properties}
    return kind | ({"required": list(required)} if required else {}) | {"additionalProperties": False}


def _key(key: Key) -> Json:
    """The values of a declared key."""
    bounds = {"minimum": key.least, "exclusiveMinimum": key.above, "exclusiveMaximum": key.below}
    bounds = {word: number for word, number in bounds.items() if math.isfinite(number)}
    kind = json_kind(key.kind, bounds)
    if key.empty and kind:
        kind = json_union([kind, {"type": "null"}])
    return kind | ({"description": key.text} if key.text else {})


# -- blocks {type: name, argument: value, ...}


def _typed(found: Mapping[str, Any], explained: Callable[[Any], Json]) -> Json:
    named = _named(found)
    return {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"enum": list(named)}},
        "allOf": [_if("type", name, explained(item)) for name, item in named.items()],
    }


def _named(found: Mapping[str, Any]) -> dict[str, Any]:
    """Sorted by name, without BasicSR's names NAME_basicsr, since NAME is there too."""
    return {name: found[name] for name in sorted(found) if not name.endswith("_basicsr")}


def _if(key: str, name: str, then: Json) -> Json:
    return {"if": {"properties": {key: {"const": name}}, "required": [key]}, "then": then}


def _arguments(target: Any, given: Sequence[str] = (), extra: Json | None = None) -> Json:
    """The block of a class or function.

    Args:
        target: The class or function.
        given: Arguments that the caller passes itself.
        extra: Keys that the block holds beside the arguments.
    """
    taken = arguments(target, given)
    # torch's documentation differs between its versions
    texts = {} if target.__module__.startswith("torch.") else argument_texts(target, list(taken))
    properties: Json = {"type": _summary(target)}
    for name, parameter in taken.items():
        key = option_file.argument_key(target, parameter)
        kind = _key(key._replace(text=key.text or texts.get(name, "")))
        if parameter.annotation == Designs:
            kind = {"allOf": [{"$ref": f"#/definitions/{name}"}], "description": texts.get(name, "")}
        elif _is_plain(parameter.default):
            kind["default"] = parameter.default
        properties[name] = kind
    needed = [name for name, parameter in taken.items() if parameter.default is parameter.empty]
    parameters = inspect.signature(target).parameters.values()
    open_ended = extra is None and any(p.kind == p.VAR_KEYWORD for p in parameters)
    # a net passes these arguments to its designs; a file need not give the others
    block = _object(properties | (extra or {}), required=[] if given is FROM_THE_NET else needed)
    return block | {"additionalProperties": open_ended}


def _summary(target: Any) -> Json:
    return {"description": " ".join((inspect.getdoc(target) or "").partition("\n\n")[0].split())}


def _is_plain(default: Any) -> bool:
    try:
        json.dumps(default, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return default is not None


def _metric(target: Any) -> Json:
    return _arguments(target, option_file.TO_METRICS, {"better": _key(BETTER)})


def _optimizer(models: Iterable[Any]) -> Callable[[Any], Json]:
    own = _own_keys(models, ("train", "optim_g"))

    def explained(target: Any) -> Json:
        block = _arguments(target, option_file.TO_OPTIMIZERS, own)
        return block | {"required": ["lr"]}

    return explained


def _own_keys(models: Iterable[Any], block: Keys) -> Json:
    """The keys that models declare in a block that holds arguments too."""
    return {
        keys[2]: _key(key)
        for model in models
        for keys, key in option_file.declared_by(model).items()
        if keys[:2] == block and len(keys) > 2
    }


def _designs(registry: Mapping[str, Any], others: list[str]) -> Json:
    """A design, or a list of one for each stage."""
    block = _typed(registry, lambda target: _arguments(target, FROM_THE_NET))
    one = [{"enum": [*registry, *others]}, {"type": "null"}, block]
    return {"anyOf": [*one, {"type": "array", "items": {"anyOf": one}}]}


# -- datasets


def _datasets() -> Json:
    dataset, loader = {"$ref": "#/definitions/dataset"}, ["batch_size_per_gpu", "num_worker_per_gpu"]
    block = _object({"train": {"allOf": [dataset, {"required": loader}]}})
    return block | {"patternProperties": {r"^(val|test)(_.*)?$": dataset}}


def _dataset(models: Iterable[Any]) -> Callable[[Any], Json]:
    own = _own_keys(models, ("datasets", "train"))
    backend = {
        "required": ["type"],
        **_typed(BACKENDS, lambda keys: _object({key: {} for key in ("type", *keys)})),
    }

    def explained(kind: Any) -> Json:
        read = known_keys(kind) - COMPLETED
        known = {
            key: _key(declared)
            for key, declared in (LOADER | PICTURES).items()
            if key in LOADER or key in read
        }
        known |= {key: _key(declared) for key, declared in declared_keys(kind).items()}
        properties = {key: {} for key in sorted(read)} | own | known | {"io_backend": backend}
        properties["type"] = _summary(kind)
        return _object(properties, required=sorted(needed_keys(kind)))

    return explained
