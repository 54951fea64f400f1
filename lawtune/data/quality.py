"""Why a generated pair is not good enough to learn from."""

import re
from collections.abc import Callable
from itertools import takewhile

from lawtune.config import BuildConfig
from lawtune.records import QAPair, normalise

_BREAKS_OFF = re.compile(r"[,;·ㆍ(「『‘“\[<~∼…-]\s*$")
_PROMISED_ITEMS = re.compile(r"다음\s*(?:각\s*)?(호|목)(?:의|에|와|를|은|이|가|중|\s)")
_QUOTATIONS = (("[", "]"), ("「", "」"), ("‘", "’"), ("“", "”"))
_YEAR = re.compile(r"[‘’](?=\d\d\D)")
"""‘13: no quotation."""
_ROUND = re.compile(r"(?<!\S)(?:\d{1,2}|[가-힣a-zA-Z])\)|[()]")
"""A bracket, or the mark of an item: 1), 가)."""
_GAP = re.compile(
    r"…|\.\.\.|[○△×□◇●]|(?:^|\s)[가나]\. |(?:상표|서비스표|도형|디자인) [은는가을를의와과] "
)
"""Signs for what is not told, and a particle on its own: a picture stood before it."""
_PROCEEDINGS = re.compile(
    r"이 사건|원심|상고이유|원고|피고(?!인)|공소외|소외|위 피고|피고인들|기록에|사례|망인"
    r"|\[\S*의견\]"
)
_PARTY = re.compile(
    r"(?<![가-힣’'”\"」)])(?:갑|을|병|정|[甲乙丙丁])(?=[은이과의을에]|\s|\(|,|$)"
    r"|(?<![A-Za-z0-9])[A-Z] ?(?=장관|주식회사|회사|법인|은행|학교|병원|종중)"
)
_OPENS_ELSEWHERE = re.compile(
    r"^(?:이|그|위|이러한|그러한|이와|그와|따라서|그런데|그러나|그러므로|한편|다만|또한|또|나아가"
    r"|이때|이 경우|같은|동|해당|당해)\s"
)
_POINTS_BACK = re.compile(
    r"(?<![가-힣])위 (?:각 )?(?P<noun>[가-힣]{2})"
    r"|(?<![가-힣])(?:같은|동) ?(?P<unit>법|조|항|호)(?![가-힣]{2})"
    r"|(?P<vague>(?<![가-힣])위와 같은|위와 같이|앞서 본|위에서 본|위의 )"
)
_NAMED_BEFORE = {"법": r"법", "조": r"제\d+조", "항": r"제\d+항", "호": r"제\d+호"}
_TABLE = re.compile(r"[│┃├─┌└┐┘━|]{2,}|[│┃]|\|\s*:?-{3,}:?\s*\|")
"""Drawn with lines, or below a header's |---|."""
_STATED_OUTCOME = re.compile(r"사례(?:\s*\(?.*\))?$")
_LABEL = re.compile(r"^(?:제\d+(항|호)(?:의\d+)?|[가-힣](목)) ")
_LEVELS = {"항": 1, "호": 2, "목": 3}


MOST_REPEATED = 0.4
"""Of an answer's character bigrams, at most so many may stand in its question."""
LEAST_IN_COMMON = 0.25
"""Of an issue's character bigrams, at least so many stand in the text that answers it."""


def unsound(pair: QAPair) -> str | None:
    """What is wrong with a pair's text whatever its length, or None: cheap, so asked first."""
    if _TABLE.search(pair.answer):
        return "answer holds a table"
    if _BREAKS_OFF.search(pair.answer):
        return "answer ends in mid-sentence"
    for name, text in (("answer", pair.answer), ("question", pair.question)):
        if not closes(text):
            return f"{name} opens a bracket or quotation and does not close it"
    if overlap(pair.question, pair.answer) > MOST_REPEATED:
        return "answer repeats the question"
    return None


def closes(text: str) -> bool:
    """Whether every bracket and quotation that a text opens is closed, and none besides."""
    depth = 0
    for match in _ROUND.finditer(text):
        if match[0] == "(":
            depth += 1
        elif depth:
            depth -= 1
        elif match[0] == ")":
            return False
    text = _YEAR.sub("", text)
    return not depth and all(text.count(a) == text.count(b) for a, b in _QUOTATIONS)


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


def unclear(text: str) -> str | None:
    """Why a text from a decision can be understood by nobody who has not read the rest, or None:
    it has gaps or speaks of the proceedings."""
    if _GAP.search(text):
        return "text with gaps"
    return "text about the proceedings" if _PROCEEDINGS.search(text) else None


def incomplete(text: str) -> str | None:
    """What a statement of law lacks to stand alone, or None: beside what makes it `unclear`, it
    speaks of one case's parties or points back to something that it does not say."""
    if reason := unclear(text):
        return reason
    if _PARTY.search(text):
        return "text about one case's parties"
    if _OPENS_ELSEWHERE.search(text):
        return "text that goes on from another"
    for match in _POINTS_BACK.finditer(text):
        before = text[: match.start()]
        if noun := match["noun"]:
            # 위 규정 and its like point to any article, others to the same word.
            wanted = r"제\d+조" if noun in ("규정", "조항", "법조", "각조", "법규") else noun
        else:
            wanted = _NAMED_BEFORE.get(match["unit"] or "", r".{30}")
        if not re.search(wanted, before):
            return "text that points back to what it lacks"
    return None


def overlap(question: str, answer: str) -> float:
    """The share of the answer's character bigrams that the question has too."""
    mine = bigrams(answer)
    return len(mine & bigrams(question)) / max(1, len(mine))


def bigrams(text: str) -> set[str]:
    """The distinct character bigrams of a text, white space left out."""
    letters = normalise(text).replace(" ", "")
    return {letters[i : i + 2] for i in range(len(letters) - 1)}
