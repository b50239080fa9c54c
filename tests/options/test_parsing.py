"""A text of YAML gives plain values or one clear line, in little time, whatever it holds."""

import json
import math
import time

import pytest
import yaml

from ir_plugins.options.parsing import parsed, problem_of


def grown(form, count=40):
    """A text whose each line names the line before several times."""
    return "a0: &a0 {x: 1}\n" + "".join(
        f"a{i}: &a{i} {form.format(*[f'*a{i - 1}'] * 9)}\n" for i in range(1, count)
    )


MANY, DEEP = "more than 10,000 values, aliases written out", "more than 50 levels of blocks and lists"
REFUSED = {
    "lists": (grown("[{}, {}, {}, {}, {}, {}, {}, {}, {}]"), MANY),
    "maps": (grown("{{a: {}, b: {}, c: {}}}"), MANY),
    "merge keys": (grown("{{<<: [{}, {}]}}"), MANY),
    "a chain": (grown("[{}]", 60), DEEP),
    "a long list": ("a: [" + "1," * 100_000 + "]", MANY),
    "many keys": ("".join(f"key{i}: 1\n" for i in range(20_000)), MANY),
    "brackets": ("a: " + "[" * 100_000, DEEP),
    "blocks": ("".join(f"{' ' * i}a:\n" for i in range(300)), DEEP),
    "keys of keys": ("? " * 3000 + "a", DEEP),
    "itself": ("a: &x {b: [*x]}", "a block cannot contain itself"),
    "itself merged": ("a: &x {<<: *x}", "a block cannot contain itself"),
    "digits": ("a: " + "9" * 100_000, "a number of 100,000 characters; at most 100 are read"),
    "hexadecimal digits": ("a: 0x" + "f" * 100_000, "a number of 100,002 characters"),
    "decimals": ("a: 0." + "1" * 100_000, "a number of 100,002 characters"),
    "!!int '5' with a long text": ("a: !!int '" + "5" * 9999 + "'", "a number of 9,999 characters"),
    "a long key": ("k" * 201 + ": 1", f"key '{'k' * 60}...' has more than 200 characters"),
    "!!bool": ("a: !!bool 5", "'5' is not true or false"),
    "!!int": ("a: !!int ''", "'' is not a whole number"),
    "!!float": ("a: !!float ''", "'' is not a number"),
    "!!null": ("a: !!null 5", "'5' is not ~"),
    "!!str": ("a: !!str {=: x}", "the tag !!str does not fit"),
    "!!str as a key": ("{!!str [a]: 1}", "a key must be a word"),
    "!!seq": ("a: !!seq {x: 1}", "the tag !!seq does not fit"),
    "!!map": ("a: !!map x", "the tag !!map does not fit"),
    **{
        f"!!{tag}": (f"a: !!{tag} {value}", f"the tag !!{tag} does not fit; leave it out")
        for tag, value in {
            "timestamp": "x",
            "binary": "'%%%'",
            "set": "{x, y}",
            "omap": "[x: 1]",
            "pairs": "[x: 1]",
            "python/name:os.system": "x",
            "python/tuple": "[1]",
            "python/object/apply:os.system": "['true']",
        }.items()
    },
    "a tag of one's own": ("a: !own x", "the tag !own does not fit"),
    "a prefix of tags": (
        "%TAG ! tag:yaml.org,2002:python/\n---\na: !name:os.system x",
        "the tag !!python/name",
    ),
    "<< of a number": ("a: {<<: 5}", "<< takes a block, or a list of blocks"),
    "<< of numbers": ("a: {<<: [5]}", "<< takes a block, or a list of blocks"),
    "a surrogate": (r'a: "\ud800"', r"holds the character \ud800, which no path or log can hold"),
    "a surrogate in a key": (r'"\udfff": 1', r"holds the character \udfff"),
    "NUL": (r'a: "b\0"', r"holds the character \x00"),
    "an escape sequence": (r'a: "\e[2J"', r"holds the character \x1b"),
    "no character": (r'a: "\UFFFFFFFF"', "there is no character of that number"),
    "no character either": (r'a: "\U00110000"', "there is no character of that number"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_text_cannot_hold_is_one_line(case):
    text, message = REFUSED[case]
    begin = time.process_time()
    with pytest.raises(yaml.YAMLError) as caught:
        parsed(text)
    assert problem_of(caught.value).startswith(message)
    assert caught.value.problem_mark is not None
    assert time.process_time() - begin < 2


def test_looking_for_a_number_takes_time_in_proportion_to_the_text():
    """The pattern of PyYAML's users for 2e-4 took the square: an hour for this."""
    begin = time.process_time()
    for text in ("1" * 100_000 + "x", "1_" * 50_000 + "x", ":".join("1" * 50_000), "." + "1" * 100_000 + "x"):
        assert parsed(f"a: {text}") == {"a": text}
    assert time.process_time() - begin < 5


VALUES = {
    "2e-4": 2e-4,
    "-1.5": -1.5,
    ".5": 0.5,
    "1_000": 1000,
    "-0x1F": -31,
    "0b101": 5,
    "010": 8,
    "0": 0,
    "+7": 7,
    "1e999999": math.inf,
    "-.inf": -math.inf,
    "!!float 4e3": 4000.0,
    "!!int '12'": 12,
    "!!str 5": "5",
    "!!bool yes": True,
    "off": False,
    "~": None,
    "": None,
    # no numbers, dates or odd words of YAML 1.1
    "1:30": "1:30",
    "2020-01-01": "2020-01-01",
    "09": "09",
    "=": "=",
    "e-4": "e-4",
    "1e": "1e",
    "'2'": "2",
    r'"a\tb\nc"': "a\tb\nc",
}


@pytest.mark.parametrize("text", VALUES)
def test_values(text):
    value = parsed(f"a: {text}")["a"]
    assert value == VALUES[text] and type(value) is type(VALUES[text])


def test_of_two_merged_blocks_the_first_counts_and_the_own_keys_count_more():
    """A block that is merged before it is read itself was refused for keys given twice."""
    text = "a: &a {x: 1, y: 2}\no:\n  d:\n    b: &b {<<: *a, x: 3, z: 4}\nc: {<<: [*b, *a], z: 5}\n"
    assert parsed(text)["c"] == {"x": 3, "y": 2, "z": 5}
    assert parsed(text)["o"]["d"]["b"] == {"x": 3, "y": 2, "z": 4}
    json.dumps(parsed(text))
