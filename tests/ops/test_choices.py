import pytest

from ir_plugins.ops.choices import check_choice


def test_a_choice_passes():
    check_choice("shift", "none", ["alternate", "none"])


@pytest.mark.parametrize(
    "choices, listed", [(["a"], "a"), (["a", "b"], "a or b"), (("a", "b", "c"), "a, b or c")]
)
def test_another_word_is_named_with_the_choices(choices, listed):
    with pytest.raises(ValueError, match=f"^shift='both' is unknown; choose {listed}$"):
        check_choice("shift", "both", choices)
