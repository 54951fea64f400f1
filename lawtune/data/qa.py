"""Questions and answers of five types, quoted or composed from the sources, never invented.

The group of a pair is the source that its answer's words come from. An answer quotes an article's
text only from a source of its own split, so that no text of a test source is ever learnt by way of
a training answer; citing is free.
"""

import re
from collections import Counter
from collections.abc import Iterator

from lawtune.data.case_qa import case_pairs
from lawtune.data.library import Library, new_pair
from lawtune.data.split import interpretation_group
from lawtune.data.statute_qa import statute_pairs
from lawtune.records import Interpretation, QAPair, Source

# A list's mark opens its line or stands alone; ○○은행 hides a name, and without the marks the
# reply would speak of every bank.
_BULLET = re.compile(
    r"(?m)^\s*(?:[□☐◦ㅇ▪■▶※](?![□◦○ㅇ])|○(?=\W))|(?<!\S)[◦○ㅇ](?!\S)|(?<!□)□(?!\S)|[☐▪■▶※]"
)
# OO은행, xx지주 and 00생명 as well; 100일, 1,000원 and 10:00부터 are numbers.
_HIDDEN_NAME = re.compile(
    r"[○◯△□◇●ㅇ](?:\s?[○◯△□◇●ㅇ]|[가-힣])"
    r"|(?:(?<![A-Za-z\d])(?:[Oo]{2,}|[Xx]{2,})|(?<![\d.,:])0{2,})(?=\s?[가-힣])"
)


def make_pairs(library: Library, rejected: Counter[str]) -> Iterator[QAPair]:
    """Every candidate pair, in a fixed order. `rejected` counts what could not become one."""
    for statute in library.statutes.values():
        yield from statute_pairs(statute, rejected)
    for case in library.cases.values():
        yield from case_pairs(case, library, rejected)
    for reply in library.replies:
        if pair := _reply(reply, rejected):
            yield pair


def _reply(reply: Interpretation, rejected: Counter[str]) -> QAPair | None:
    question, answer = _tidy(reply.question), _tidy(reply.answer)
    if _HIDDEN_NAME.search(question + answer):
        rejected["reply about somebody whose name is hidden"] += 1
        return None
    return new_pair(
        "law_interpretation",
        question,
        answer,
        Source("interpretation", case=reply.number, date=reply.date or None),
        reply.statutes,
        interpretation_group(reply),
    )


def _tidy(text: str) -> str:
    """Official replies come with a line break after every word and blanks inside 제 2 조."""
    text = " ".join(_BULLET.sub(" ", text).split())
    text = re.sub(r"\s+([,.)\]」｣’”])", r"\1", re.sub(r"([(\[「｢‘“])\s+", r"\1", text))
    return re.sub(r"제\s*(\d+)\s*(조|항|호)", r"제\1\2", text).strip(" -")
