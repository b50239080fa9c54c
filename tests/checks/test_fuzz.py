"""Shipped option files with random damage: `check` accepts them or says in lines what is wrong."""

import copy
import math
import random
import time
from pathlib import Path

import pytest
import yaml
from shrunken import NETS
from tiny import tiny_options

from ir_plugins.checks import option_file
from ir_plugins.options.reading import read_options
from ir_plugins.runtime.errors import UserError

SHIPPED = sorted((Path(__file__).parents[2] / "options").glob("*.yml"))
DAMAGED = 300
SECONDS = 15  # of CPU, for one file; usual ones take a tenth of a second
ODD = [
    *(None, True, False, 0, -1, 1, 7, 10**6, 10**9, 10**30, 0.5, -2.5, 1e-300, 1e300),
    *(math.nan, math.inf, -math.inf, "", "x", "none", "~", "5", "a/b", "..", "é" * 150, "\n", " "),
    *([], [0], [1, 2, 3], [None], ["x", 2], [[1], [2]], [10**9] * 4, list(range(300))),
    *({}, {"type": "x"}, {"type": None}, {"type": "L1Loss"}, {"a": {"b": {"c": [{}]}}}, {"type": ["L1Loss"]}),
]


def blocks_of(value):
    """Every block and list in a value, from the top."""
    if isinstance(value, dict | list):
        yield value
        for item in value.values() if isinstance(value, dict) else value:
            yield from blocks_of(item)


def damage(options, draw):
    """Change one thing at a random place."""
    block = draw.choice([found for found in blocks_of(options) if found])
    where = draw.choice(list(block)) if isinstance(block, dict) else draw.randrange(len(block))
    other = draw.choice([found for found in blocks_of(options) if found])
    value = draw.choice(list(other.values()) if isinstance(other, dict) else other)
    kind = draw.choice(["odd", "odd", "odd", "elsewhere", "delete", "rename", "nest", "unnest", "scale"])
    if kind == "odd":
        block[where] = copy.deepcopy(draw.choice(ODD))
    elif kind == "elsewhere":
        block[where] = copy.deepcopy(value)
    elif kind == "delete":
        del block[where]
    elif kind == "rename" and isinstance(block, dict):
        block[draw.choice([f"{where}x", where[:-1], where.upper(), "type", "name", "é", f"{where}_2"])] = (
            block.pop(where)
        )
    elif kind == "nest":
        block[where] = draw.choice([{where: block[where]}, [block[where]], [block[where]] * 2])
    elif kind == "unnest" and isinstance(block[where], dict) and isinstance(block, dict):
        block |= block.pop(where)
    elif kind == "scale" and isinstance(block[where], int | float) and not isinstance(block[where], bool):
        block[where] *= draw.choice([-1, 0, 0.5, 2, 1000, 10**7])


@pytest.mark.parametrize("seed", range(10))
def test_damaged_option_files_are_accepted_or_refused_in_lines(workplace, seed):
    draw, refused = random.Random(seed), 0
    count = DAMAGED // 10
    for number in range(count):
        shipped = draw.choice(SHIPPED)
        options = tiny_options()
        if number % 3 == 0:
            options = read_options(str(shipped))
            options["network_g"] |= NETS[options["network_g"]["type"]]  # of full size they take a second
        for _ in range(draw.choice([1, 1, 2, 5])):
            damage(options, draw)
        text = yaml.safe_dump(options, sort_keys=False)
        text = text.replace(
            ": ", draw.choice([": ", ": ", ": ", ": !!str ", ": !!int ", ": &a "]), draw.choice([1, 3])
        )
        Path("o.yml").write_text(text)
        begin = time.process_time()
        try:
            found = read_options("o.yml")
            option_file.check(found, "o.yml", is_train="train" in found)
        except UserError as error:
            refused += 1
            assert all(line.startswith("o.yml") for line in str(error).splitlines()), text
        except BaseException as error:
            raise AssertionError(f"{shipped.name}, seed {seed}, number {number}:\n{text}") from error
        assert time.process_time() - begin < SECONDS, text
    assert refused > count / 2
