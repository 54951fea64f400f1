"""Why a generated pair is not good enough to learn from."""

import re
from collections.abc import Callable
from itertools import takewhile

from lawtune.config import BuildConfig
from lawtune.records import QAPair, normalise

_ENDS = re.compile(r"[.?!。:)\]」』\"’”]\s*$|[가-힣]\s*$")
_PROMISED_ITEMS = re.compile(r"다음\s*(?:각\s*)?(호|목)(?:의|에|와|를|은|이|가|중|\s)")
_TABLE = re.compile(r"[│┃├─┌└┐┘━|]{2,}|[│┃]")
_STATED_OUTCOME = re.compile(r"사례(?:\s*\(?.*\))?$")
_LABEL = re.compile(r"^(?:제\d+(항|호)(?:의\d+)?|[가-힣](목)) ")
_LEVELS = {"항": 1, "호": 2, "목": 3}


def unsound(pair: QAPair) -> str | None:
    """What is wrong with a pair's text whatever its length, or None: cheap, so asked first."""
    if _TABLE.search(pair.answer):
        return "answer holds a table"
    if not _ENDS.search(pair.answer):
        return "answer ends in mid-sentence"
    if _overlap(pair.question, pair.answer) > 0.8:
        return "answer repeats the question"
    return None


def unfit(pair: QAPair, count_tokens: Callable[[str], int], config: BuildConfig) -> str | None:
    """Which limit in tokens a pair breaks, or None."""
    if count_tokens(pair.question) > config.max_question_tokens:
        return "question too long"
    tokens = count_tokens(pair.answer)
    if tokens > config.max_answer_tokens:
        return "answer too long"
    if tokens < config.min_answer_tokens:
        return "answer too short"
    return None


def lacks_promised_items(text: str) -> bool:
    """Whether an article announces 각 호 or 각 목 and its source text has none (some sources lose
    them): half a list must not be taught as a whole one."""
    lines = text.split("\n")
    levels = [_LEVELS[m[1] or m[2]] if (m := _LABEL.match(line)) else 0 for line in lines]
    for index, line in enumerate(lines):
        # The list stands directly below, where the units are finer than the one that promises it.
        below = list(takewhile(lambda level, here=levels[index]: level > here, levels[index + 1 :]))
        if any(_LEVELS[unit] not in below for unit in _PROMISED_ITEMS.findall(line)):
            return True
    return False


def states_outcome(holding: str) -> bool:
    """Whether a 판시사항 tells the result (… 한 사례), so that it cannot serve as a question."""
    return bool(_STATED_OUTCOME.search(holding.strip(" .")))


def _overlap(question: str, answer: str) -> float:
    """The share of the answer's character bigrams that the question has too."""
    mine = _bigrams(answer)
    return len(mine & _bigrams(question)) / max(1, len(mine))


def _bigrams(text: str) -> set[str]:
    letters = normalise(text).replace(" ", "")
    return {letters[i : i + 2] for i in range(len(letters) - 1)}
