"""Helpers of tests that write weight files."""

from basicsr.utils.registry import ARCH_REGISTRY

ENDINGS = ["a.pth", "a.safetensors"]


def wrapped(weights):
    return {f"module.{name}": value for name, value in weights.items()}


def build(type, **arguments):
    return ARCH_REGISTRY.get(type)(**arguments).eval()
