"""What the bytes of a script's streams are, so that misplaced ones are noticed."""


def content(position: int, length: int) -> bytes:
    """``length`` bytes of either stream from ``position`` on, counted from 1; without a period below 64 KB."""
    return bytes((at ^ at >> 8) & 0xFF for at in range(position, position + length))
