"""Whether an answer quotes an article's text from another side of the split."""

from collections.abc import Callable, Iterable, Sequence

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
        # Which lengths the runs have that begin with these SHORT_RUN words: one look-up for most
        # places of a text instead of one for each length.
        self._sizes: dict[int, set[int]] = {}
        for statute in statutes:
            for article in statute.articles:
                bit = _SPLIT_BITS[split_of(article_group(statute.name, article.label))]
                text = render_article(article)
                self._add(text.split(), LONG_RUN, bit)
                for line in text.split("\n"):
                    words = line.split()
                    if SHORT_RUN <= len(words) < LONG_RUN:
                        self._add(words, len(words), bit)

    def quotes_another_split(self, text: str, own: str) -> bool:
        """Whether `text` holds a run of words that only articles of other splits have."""
        words = text.split()
        for start in range(len(words) - SHORT_RUN + 1):
            for size in self._sizes.get(_key(words, start, SHORT_RUN), ()):
                splits = self._splits.get(_key(words, start, size))
                if splits and not splits & _SPLIT_BITS[own]:
                    return True
        return False

    def _add(self, words: Sequence[str], size: int, bit: int) -> None:
        for start in range(len(words) - size + 1):
            run = _key(words, start, size)
            self._splits[run] = self._splits.get(run, 0) | bit
            self._sizes.setdefault(_key(words, start, SHORT_RUN), set()).add(size)


def _key(words: Sequence[str], start: int, size: int) -> int:
    # Too few words are left near the end of a text: the size keeps such a run apart.
    return hash((size, *words[start : start + size]))
