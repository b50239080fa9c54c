"""What classes and functions say about their arguments and options."""

import pytest

from ir_plugins.options.signatures import argument_texts, keys_read

from basicsr.archs.swinir_arch import SwinIR


class Ours:
    """Does it.

    Args:
        dim: Channels, and what
            divides them.  More about it.
        heads, parts: In which they are cut (of dim).
        ratio: Hidden per channel: 2.66, or
            another number. Default: 3
        mode: "a": one; "b": other.

    Returns:
        dim: Nothing about an argument.
    """


class Inheriting(Ours):
    """Does it otherwise.

    Args:
        heads: Other heads.
    """


def theirs():
    """Does it.

    Args:
        dim (int | tuple(int)): Number of channels. Default: 3
        ratio (float): Hidden per channel.
            Of the middle one.
    """


NAMES = ["dim", "heads", "parts", "ratio", "mode"]
TEXTS = {
    "dim": "Channels, and what divides them",
    "heads": "In which they are cut (of dim)",
    "parts": "In which they are cut (of dim)",
    "ratio": "Hidden per channel: 2.66, or another number",
    "mode": '"a": one; "b": other',
}


def test_sentences_about_arguments_are_found_in_either_style():
    assert argument_texts(Ours, NAMES) == TEXTS
    assert argument_texts(Ours, ["mode"]) == {"mode": TEXTS["mode"]}
    assert argument_texts(theirs, NAMES) == {"dim": "Number of channels", "ratio": "Hidden per channel"}
    texts = argument_texts(SwinIR, ["depths", "upscale", "nowhere"])
    assert texts["depths"] == "Depth of each Swin Transformer layer" and texts["upscale"].startswith(
        "Upscale factor"
    )
    assert "nowhere" not in texts


def test_a_class_has_the_texts_of_the_classes_above_it():
    assert argument_texts(Inheriting, NAMES) == TEXTS | {"heads": "Other heads"}


@pytest.mark.parametrize(
    "text", [None, "", "Args:", "Args:\n    dim", "Args:\ndim: x\n  :: y", "Returns:\n    x"]
)
def test_a_docstring_that_says_nothing(text):
    def silent(dim):
        pass

    silent.__doc__ = text
    assert set(argument_texts(silent, NAMES)) <= {"dim"}


def test_keys_that_a_class_looks_up_are_found_in_its_source():
    class Reader:
        def __init__(self, opt):
            train_opt = opt["train"]
            self.values = (
                opt["a"],
                opt["val"].get("b"),
                train_opt["c"],
                train_opt.get("d", {}).get("e"),
                opt.get(len),
            )

    found = keys_read(Reader)
    assert {("a",), ("val", "b"), ("train", "c"), ("train", "d", "e")} <= found
