"""How large a picture may be: what OpenCV decodes, and what this machine holds."""

from ..runtime.capacity import whole_memory

MOST_PIXELS = 1 << 30  # these three are OpenCV's
MOST_SIDE = 1 << 20
MOST_BYTES = (1 << 31) - 1  # of a file


def size_fault(height: int, width: int, bits: int = 8) -> str:
    """Why a picture is too large to decode, in a few words; empty if it is not.

    Args:
        height: In pixels.
        width: In pixels.
        bits: Bits of a channel.
    """
    size = f"{height}x{width} pixels"
    if max(height, width) > MOST_SIDE:
        return f"{size}, and OpenCV decodes sides up to {MOST_SIDE}"
    if height * width > MOST_PIXELS:
        return f"{size}, and OpenCV decodes up to {MOST_PIXELS}"
    needed, there = height * width * 4 * max(8, bits) // 8, whole_memory()
    if needed > there:
        return f"{size}, which take {needed / 1e6:.0f} MB, and this machine has {there / 1e6:.0f} MB"
    return ""
