"""Texts as the metrics compare them: twins that differ only in encoding are one text."""

from lawtune.records import composed

_HALF_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: " "}


def comparable(text: str) -> str:
    """The composed text with full-width letters, digits and marks as half-width ones; what answers
    are compared in. Its length is the composed text's."""
    return composed(text).translate(_HALF_WIDTH)


def utf8_bytes(text: str) -> int:
    """Length of the composed text in UTF-8 bytes."""
    return len(composed(text).encode())
