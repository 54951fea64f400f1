"""How fast citations are found and checked: MB of UTF-8 text a second, on one core.

    python benchmarks/cite_speed.py [SOURCE …]

Reads every Markdown and JSON file under the sources (default: the starter's corpus, which is
densely cited law) as plain text, checks each against the starter's index, and prints the best of
three.
"""

import sys
import time
from pathlib import Path

from lawtune.eval.citation_index import load_index
from lawtune.eval.citations import check_text
from lawtune.starter import CORPUS

LIMIT = 8_000_000
"""Bytes to read; enough for a stable figure."""


def main() -> None:
    """Measure and print."""
    folders = [Path(word) for word in sys.argv[1:]] or [CORPUS]
    texts, size = [], 0
    for folder in folders:
        for file in sorted(folder.rglob("*")):
            if file.suffix in (".md", ".json") and size < LIMIT:
                texts.append(file.read_text(encoding="utf-8", errors="replace"))
                size += len(texts[-1].encode())
    index = load_index()
    times, citations = [], 0
    for _ in range(3):
        started = time.process_time()
        citations = sum(len(check_text(text, index).citations) for text in texts)
        times.append(time.process_time() - started)
    rate = size / 1e6 / min(times)
    print(f"{size / 1e6:.1f} MB, {citations:,} citations: {rate:.2f} MB/s on one core")


if __name__ == "__main__":
    main()
