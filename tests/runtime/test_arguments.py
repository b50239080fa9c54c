"""Checks of arguments: what passes, and what the refusal says."""

import pytest

from ir_plugins.runtime.arguments import check_choice, check_positive, check_side
from ir_plugins.runtime.errors import UserError


def test_what_is_fine_passes():
    check_choice("mode", "b", ("a", "b"))
    check_positive("eps", 1e-9)
    check_side(7, 11, 7, "crop less")


@pytest.mark.parametrize(
    "check, arguments, says",
    [
        (check_choice, ("mode", "c", iter(("a", "b"))), "mode='c' is not one of a, b"),
        (check_positive, ("eps", 0), "eps=0 must be above 0"),
        (check_positive, ("eps", float("nan")), "eps=nan must be above 0"),
        (
            check_side,
            (11, 6, 7, "crop less"),
            "a picture of 11x6 is too small, its least side is 7; crop less",
        ),
        (
            check_side,
            (6, 11, 7, "crop less"),
            "a picture of 6x11 is too small, its least side is 7; crop less",
        ),
    ],
)
def test_what_is_not_is_named(check, arguments, says):
    with pytest.raises(UserError) as caught:
        check(*arguments)
    assert str(caught.value) == says
