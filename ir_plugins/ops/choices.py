"""Check a word against a list of choices."""

from collections.abc import Iterable


def check_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Refuse a word that is not among the choices.

    Args:
        name: What the word is for, as the message calls it.
        value: The word.
        choices: The allowed words, in the order in which the message lists them.

    Raises:
        ValueError: If `value` is none of them.
    """
    choices = tuple(choices)
    if value not in choices:
        *others, last = choices
        listed = f"{', '.join(others)} or {last}" if others else last
        raise ValueError(f"{name}={value!r} is unknown; choose {listed}")
