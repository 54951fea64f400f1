"""Texts as the metrics compare them: twins that differ only in encoding are one text."""

import unicodedata

_HALF_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: " "}


def clean(text: str) -> str:
    """NFC with line ends as `\\n`; what a model is given."""
    return unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n")


def comparable(text: str) -> str:
    """The cleaned text with full-width letters, digits and marks as half-width ones; what answers
    are compared in. Its length is the cleaned text's."""
    return clean(text).translate(_HALF_WIDTH)


def utf8_bytes(text: str) -> int:
    """Length of the cleaned text in UTF-8 bytes."""
    return len(clean(text).encode())
