"""How questions are put: several phrasings a type, in the registers of citizens and of lawyers."""

import hashlib
import re
from collections.abc import Sequence

# Not (적극적 손해) or (소극재산), which are terms.
_OUTCOME = re.compile(r"\s*[(\[][^()\[\]]*(?:적극|소극)(?!적|재산)[^()\[\]]*[)\]]")
_GIVEN_ANSWER = re.compile(r"\s*\(\s*=[^()]*(?:\([^()]*\)[^()]*)*\)")
_SHORT_BRACKET = re.compile(r"\s*\([^()]{1,12}\)$")
# 이, 사, 오, 구; and every letter's name but 엘, 엠, 엔 and 알.
_OPEN_WHEN_READ = re.compile(r"[2459A-KO-QS-Za-ko-qs-z]$")

EXPLAIN = (
    "{law} {label}의 내용을 설명해 주세요.",
    "{law} {label}{title}{은} 무엇을 정하고 있습니까?",
    "{law}에서 {topic}에 대해 어떻게 정하고 있는지 알려 주세요.",
    "{topic}에 관한 {law}의 규정은 무엇인가요?",
    "{law} {label}{title}{을} 조문에 따라 설명하십시오.",
    "{law}상 {topic}에 관하여 궁금합니다. 조문에는 뭐라고 되어 있나요?",
)
EXPLAIN_PARAGRAPH = (
    "{law} {label}의 내용을 설명해 주세요.",
    "{law} {label}{은} 무엇을 정하고 있습니까?",
    "{law} {label}에는 뭐라고 되어 있나요?",
    "{law} {label}{을} 조문에 따라 설명하십시오.",
    "{law} {label}에서 정한 내용을 알려 주세요.",
    "{law} {label}의 규정 내용이 궁금합니다.",
)
INTERPRET = (
    "{provision}의 해석과 관련하여 묻습니다. {issue}에 관하여 판례는 어떻게 해석합니까?",
    "{issue}에 대해 법원은 {provision}{을} 어떻게 해석하나요?",
    "{provision}에 관한 질문입니다. {issue}에 관한 판례의 해석을 알려 주세요.",
    "판례에 따르면 {issue}{은} {provision}의 해석상 어떻게 됩니까?",
    "{provision}{을} 적용할 때 {issue}에 대하여 어떻게 보아야 합니까?",
    "{issue}에 관하여 {provision}의 해석 기준을 설명해 주세요.",
)
APPLY = (
    "다음 쟁점에는 어떤 법 조항이 적용됩니까? {issue}",
    "{issue}{을} 판단할 때 근거가 되는 법 조항은 무엇인가요?",
    "{issue}에 관한 문제입니다. 어느 법 몇 조를 보아야 하나요?",
    "{issue}에 적용되는 법령 조항과 그 내용을 밝혀 주십시오.",
    "아래와 같은 문제가 생겼습니다. 찾아보아야 할 조문을 알려 주세요. {issue}",
    "{issue}에 관하여 검토하여야 할 관련 조문은 무엇입니까?",
)
ANALYSE = (
    "{case}{은} {issue}에 관하여 어떻게 판단하였습니까?",
    "{issue}에 관한 대법원의 판단을 설명해 주세요. ({case})",
    "{issue}{이} 문제 된 {case}의 요지는 무엇인가요?",
    "{case}에서 법원은 {issue}에 대해 뭐라고 했나요?",
    "{issue}에 관하여 판시한 {case}의 판결요지를 밝혀 주십시오.",
    "{issue}에 대한 판례의 입장이 궁금합니다. {case}에서는 어떻게 보았나요?",
)
IMPACT = (
    "{case}{은} 이후 판례에 어떤 영향을 미쳤습니까?",
    "{case}{을} 참조한 이후의 판결에는 어떤 것이 있나요?",
    "{case}의 판시는 이후 어떤 사건에서 인용되었습니까?",
    "{issue}에 관한 {case}{은} 그 뒤 어떤 판결에서 참조되었나요?",
    "{case}의 선례로서의 의의와 이를 따른 판결을 설명해 주십시오.",
    "{case}{이} 나온 뒤 같은 쟁점을 다룬 판결을 알려 주세요.",
)

_FINAL_BRACKET = re.compile(r"\s*\((?:[^()]|\([^()]*\))*\)$")
_PARTICLES = {"은": ("은", "는"), "을": ("을", "를"), "이": ("이", "가")}


def phrase(templates: Sequence[str], key: str, **parts: str) -> str:
    """One of `templates`, chosen by a hash of `key`, filled with `parts`.

    `{은}`, `{을}` and `{이}` become the particle that fits the word before them.
    """
    digest = hashlib.sha256(key.encode()).digest()
    template = templates[int.from_bytes(digest[:4], "big") % len(templates)]
    marked = template.replace("{은}", "\0은").replace("{을}", "\0을").replace("{이}", "\0이")
    text = marked.format(**parts)
    return re.sub(r"\0(.)", lambda m: _PARTICLES[m[1]][_open_syllable(text[: m.start()])], text)


def issue_of(holding: str) -> str:
    """A 판시사항 as a neutral issue: without the outcome that reporters add in brackets
    ((적극), (소극), (=…)), which would give the answer away."""
    text = _GIVEN_ANSWER.sub("", _OUTCOME.sub("", holding)).rstrip(" .")
    # A short bracket at the end is an outcome too: 입증책임의 소재(검사).
    text = _SHORT_BRACKET.sub("", text)
    return " ".join(text.replace(" / ", ", 그리고 ").split()).rstrip(" .,")


def _open_syllable(text: str) -> bool:
    """Whether the last word ends in a vowel, so that 는, 를 and 가 follow it. A bracket is looked
    through: 제750조(불법행위의 내용)는 follows 조, as it is read aloud."""
    word, bracketed = text, 1
    while bracketed:
        word, bracketed = _FINAL_BRACKET.subn("", word.rstrip("'\"’”」』》〉 \n"))
    last = word[-1:]
    if "가" <= last <= "힣":
        return (ord(last) - 0xAC00) % 28 == 0
    return bool(_OPEN_WHEN_READ.search(last))
