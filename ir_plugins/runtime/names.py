"""Which words can be the name of a folder, on any system."""

import os
import re

LONGEST_NAME = 180  # bytes; files hold 255, and a log's name has a time and more beside it
RESERVED = "con|prn|aux|nul|conin[$]|conout[$]|(com|lpt)[0-9¹²³]"


def name_fault(name: str) -> str | None:
    """What is expected of the name of a folder instead of this one; None if it can name one anywhere.

    Args:
        name: The name.
    """
    word = "a word that can name a folder"
    if not re.fullmatch(r"(?!\.*$)[^/\\\x00-\x1f]+", name) or not name.isprintable():
        return f"{word}: no slash, not only dots, no character that cannot be seen"
    if name != name.strip() or (os.name == "nt" and (name.endswith(".") or re.search(r'[<>:"|?*]', name))):
        return f"{word}: no space at its ends" + (', none of <>:"|?*' if os.name == "nt" else "")
    if len(name.encode()) > LONGEST_NAME:
        return f"{word}: at most {LONGEST_NAME} bytes, it has {len(name.encode())}"
    if re.fullmatch(RESERVED, name.partition(".")[0].strip(), re.IGNORECASE):
        return f"{word}: Windows keeps this one for a device"
    return None
