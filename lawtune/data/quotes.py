"""Whether an answer quotes an article's text from another side of the split."""

from collections.abc import Callable, Iterable

from lawtune.data.provisions import render_article
from lawtune.data.split import article_group
from lawtune.records import Statute

LONG_RUN = 13
"""Words in a row that make a quotation; a shorter provision counts when quoted whole."""
SHORT_RUN = 8
"""A provision shorter than this many words is no one's: it recurs all over the law."""

_SPLIT_BITS = {"train": 1, "validation": 2, "test": 4}


class QuotationIndex:
    """The runs of words in every article, with the splits in which they occur.

    A run that one's own split has too (boilerplate such as 3년 이하의 징역 또는 …) is no leak.
    """

    def __init__(self, statutes: Iterable[Statute], split_of: Callable[[str], str]):
        self._splits: dict[int, int] = {}
        for statute in statutes:
            for article in statute.articles:
                bit = _SPLIT_BITS[split_of(article_group(statute.name, article.label))]
                for line in render_article(article).split("\n"):
                    for run in _runs(line.split()):
                        self._splits[run] = self._splits.get(run, 0) | bit

    def quotes_another_split(self, text: str, own: str) -> bool:
        """Whether `text` holds a run of words that only articles of other splits have."""
        words = text.split()
        for size in range(SHORT_RUN, LONG_RUN + 1):
            for start in range(len(words) - size + 1):
                splits = self._splits.get(hash((size, *words[start : start + size])))
                if splits and not splits & _SPLIT_BITS[own]:
                    return True
        return False


def _runs(words: list[str]) -> Iterable[int]:
    size = min(LONG_RUN, len(words))
    if size >= SHORT_RUN:
        for start in range(len(words) - size + 1):
            yield hash((size, *words[start : start + size]))
