"""How questions are put: several phrasings a type, in the registers of citizens and of lawyers."""

import hashlib
import re
from collections.abc import Sequence

# Not (적극적 손해) or (소극재산), which are terms.
_OUTCOME = re.compile(r"\s*[(\[][^()\[\]]*(?:적극|소극)(?!적|재산)[^()\[\]]*[)\]]")
_GIVEN_ANSWER = re.compile(r"\s*\(\s*=[^()]*(?:\([^()]*\)[^()]*)*\)")
_VERDICT = re.compile(
    r"\s*\((?:[유무]효|취소|긍정|부정|가능|불가능?|필요|불필?요|인정|부인|성립|불성립|[위적]법|[위합]헌)\)"
)
_SHORT_BRACKET = re.compile(r"\s*\([^()]{1,12}\)$")
# 이, 사, 오, 구; and every letter's name but 엘, 엠, 엔 and 알.
_OPEN_WHEN_READ = re.compile(r"[2459A-KO-QS-Za-ko-qs-z]$")

# Of each type: what a citizen asks, what a practitioner asks, and the curt style of an examination
# paper or an office memo. `part` is the statute with the part of it that is meant: where the
# article is named (`label`), nothing else need be.
EXPLAIN_NAMED = (
    "{law} {label}{title}{은} 어떤 내용인가요?",
    "{law} {label}{title}에는 뭐라고 되어 있는지 궁금해요.",
    "{law} {label}{title}{은} 무엇을 정하고 있습니까?",
    "{law} {label}{title}의 내용을 설명해 주십시오.",
    "{law} {label}{title}에 관하여 서술하시오.",
    "{law} {label}{title}의 규정 내용을 적으시오.",
)
EXPLAIN = (
    "{part}에서는 {topic}에 대해 어떻게 정하고 있나요?",
    "{topic}에 관한 규정이 {part}에 있다고 들었어요. 어떤 내용인가요?",
    "{part}{을} 찾아보고 있는데, {topic}에 대해서는 뭐라고 되어 있나요?",
    "{law} {label}{title}{은} 무엇을 정하고 있습니까?",
    "{law} {label}{title}의 내용을 설명해 주십시오.",
    "{topic}에 관한 {part}의 규정 내용과 근거 조문을 알려 주십시오.",
    "{part}상 {topic}에 관하여 서술하시오.",
    "{law} {label}{title}의 규정 내용을 적으시오.",
)
EXPLAIN_UNNAMED = (
    "{topic}에 대해 법은 어떻게 정하고 있나요?",
    "{topic}에 관해 궁금한 점이 있어요. 법에는 뭐라고 되어 있나요?",
)
APPLY = (
    "{when}에는 어떻게 되나요? {part}에 근거가 있나요?",
    "{part}에 관해 여쭤봅니다. {when}에는 법적으로 어떻게 되나요?",
    "{when}에는 어떻게 되는지, {part} 몇 조를 봐야 하는지 알려 주세요.",
    "{part}상 {when}에 적용되는 조항과 그 효과는 무엇입니까?",
    "{when}에 적용할 {part}의 조항과 그 내용을 밝혀 주십시오.",
    "{when}의 법률관계를 {part}에 따라 서술하시오.",
    "사안: {when}. {part}상 적용 조문과 결론은?",
)
APPLY_UNNAMED = (
    "{when}에는 법적으로 어떻게 되나요?",
    "{when}에는 어떻게 되는지 궁금해요. 어느 법에 나와 있나요?",
)
APPLY_ACTOR = (
    "{when}에 {ask}나요? {part}에 근거가 있나요?",
    "{part}에 관해 여쭤봅니다. {when}에 {ask}나요?",
    "{when}에 {ask}는지, {part} 몇 조를 봐야 하는지 알려 주세요.",
    "{part}에 따르면 {when}에 {ask}는지 궁금합니다.",
    "{when}에 {ask}는지 {part}의 조항을 들어 설명해 주십시오.",
    "{part}의 적용에 관한 질의입니다. {when}에 {ask}는지 근거 조항과 함께 밝혀 주십시오.",
    "{when}에 {ask}는지 {part}에 따라 서술하시오.",
    "{when}에 {ask}는지와 그 근거 조문을 {part}에서 찾아 적으시오.",
)
APPLY_PENALTY = (
    "{doer}{은} 어떤 처벌을 받나요?",
    "{doer}{은} 형이 어떻게 되나요? 몇 조에 나와 있는지도 궁금합니다.",
    "{doer}{이} 받게 되는 처벌과 그 근거 조문을 알려 주세요.",
    "{doer}에게 적용되는 벌칙 조항과 법정형은 무엇입니까?",
    "{doer}의 처벌 근거와 법정형을 밝혀 주십시오.",
    "{doer}에 대한 벌칙을 조문을 들어 서술하시오.",
    "행위자: {doer}. 적용 법조와 법정형은?",
)
APPLY_FACTS = (
    "이런 일이 있었습니다. {facts}입니다. 어떤 법 조항이 문제 되고 결론은 어떻게 되나요?",
    "{facts}인데, 법적으로 어떻게 되는지 관련 조항과 함께 알려 주세요.",
    "{facts}{이} 있습니다. 법원은 어느 조항에 비추어 어떤 결론을 내릴까요?",
    "다음 사안에 적용되는 법 조항과 그 결론은 무엇입니까? {facts}.",
    "{facts}에 관하여 적용 법조와 법원의 결론을 밝혀 주십시오.",
    "다음 사안을 관련 조문에 비추어 논하시오. {facts}.",
    "사실관계: {facts}. 적용 법조와 결론은?",
)
# What courts make of a provision moves on, and so does the provision: the year belongs to the
# question, unless the decision is named.
INTERPRET = (
    "{asked} 궁금합니다. {year}년에 법원은 어떻게 해석하였나요?",
    "법을 읽어 봐도 {asked} 잘 모르겠어요. {year}년의 판례는 어떻게 보았나요?",
    "{asked} 알고 싶어요. {year}년에 나온 법원의 해석을 알려 주세요.",
    "{provision}의 해석상 {issue}에 관한 {year}년 판례의 태도는 무엇입니까?",
    "{issue}에 관하여 법원은 {year}년에 {provision}{을} 어떻게 해석하였습니까?",
    "{provision}{을} 적용할 때 {asked} {year}년의 판례에 따라 설명해 주십시오.",
    "{issue}에 관하여 {provision}의 해석을 {year}년의 판례에 따라 서술하시오.",
    "조문: {provision}. 쟁점: {issue}. {year}년 판례의 해석은?",
)
INTERPRET_NAMED = (
    "{asked} 궁금합니다. {year}년에 법원은 어떻게 해석하였나요?",
    "법을 읽어 봐도 {asked} 잘 모르겠어요. {year}년의 판례는 어떻게 보았나요?",
    "{asked} 알고 싶어요. {year}년에 나온 법원의 해석을 알려 주세요.",
    "{issue}에 관한 {year}년 판례의 태도는 무엇입니까?",
    "{issue}에 관하여 법원은 {year}년에 어떻게 해석하였습니까?",
    "{asked} {year}년의 판례에 따라 설명해 주십시오.",
    "{issue}에 관한 {year}년 판례의 해석을 서술하시오.",
    "쟁점: {issue}. {year}년 판례의 해석은?",
)
ANALYSE = (
    "{asked} 궁금합니다. {case}에서는 어떻게 보았나요?",
    "{asked} 다툼이 있었던 사건에서 {court}은 {year}년에 어떤 판단을 내렸나요?",
    "{case}에서 법원은 {asked}에 대해 뭐라고 했나요?",
    "{case}{은} {issue}에 관하여 어떻게 판단하였습니까?",
    "{issue}에 관한 {court}의 판단을 설명해 주십시오. ({case})",
    "{issue}{이} 문제 된 {case}의 요지는 무엇입니까?",
    "{case}의 {kind}요지를 서술하시오. 쟁점은 {issue}이다.",
    "판례: {case}. 쟁점: {issue}. 법원의 판단은?",
)
# What a list of 참조판례 tells is that a decision looked to an earlier one on an issue: no more is
# claimed.
IMPACT = (
    "{asked} 문제 된 {later}에서 {case}{을} 참조했다고 들었어요. 어떤 판단이 나왔나요?",
    "{later}{이} {case}{을} 참조했다고 하던데, {asked}에 관해 어떤 판단을 했나요?",
    "{case}{은} {asked} 문제 된 {later}에 어떤 영향을 주었나요?",
    "{issue}에 관하여 {case}{을} 참조한 {later}의 판단을 설명해 주십시오.",
    "{later}{은} {issue}에 관하여 {case}{을} 참조하여 어떻게 판시하였습니까?",
    "{case}{이} {issue}에 관한 {later}의 판단에 미친 영향은 무엇입니까?",
    "{case} 이후 {later}에서 {issue}에 관한 판례가 어떻게 전개되었는지 서술하시오.",
    "선례: {case}. 이를 참조한 판례: {later}. 쟁점: {issue}. 법원의 판단은?",
)

_ASKED_HOW = {
    "무엇인지": """
        의미 의의 개념 정의 기준 판단기준 인정기준 구별기준 요건 성립요건 대항요건 방법 판단방법
        해석방법 입증방법 증명방법 인정방법 범위 적용범위 권한범위 취지 입법취지 원칙 내용 대상 근거
        발생근거 이유 사항 사유 상실사유 성질 성격 한계 보호법익 객체 차이 조치 편취액 이득액 처단형
        적용법률""",
    "언제인지": "경우 때 시기 시점 기산일 기산점 기준시 기준시점 기준시기 기수시기 착수시기",
    "누구인지": "주체 예금주 피해자 사람 자",
    "어떻게 되는지": """
        여부 효력 효과 정도 인식정도 관계 법률관계 죄수 죄수관계 성부 소재 유무 존부 요부 가부 죄책
        지위 증거능력 증명력 증명책임 입증책임 산정방법 허용범위 해석 처벌례 양도성 평가""",
}
"""What an issue's last word is asked for by: 의미가 무엇인지, 시기가 언제인지, 효력이 어떻게
되는지."""
# Nouns whose own last syllable is 의: 고의 인정 여부 has no particle to take off.
_ENDS_IN_UI = re.compile(r"[고동합결주명선악정범신협]의$")
_VERB_OF = {noun: verb for verb, nouns in _ASKED_HOW.items() for noun in nouns.split()}

_FINAL_BRACKET = re.compile(r"\s*\((?:[^()]|\([^()]*\))*\)$")
_PARTICLES = {"은": ("은", "는"), "을": ("을", "를"), "이": ("이", "가")}


def phrase(templates: Sequence[str], key: str, **parts: str) -> str:
    """One of `templates`, chosen by a hash of `key`, filled with `parts`.

    `{은}`, `{을}` and `{이}` become the particle that fits the word before them.
    """
    template = templates[pick(key, len(templates))]
    marked = template.replace("{은}", "\0은").replace("{을}", "\0을").replace("{이}", "\0이")
    text = marked.format(**parts)
    return re.sub(r"\0(.)", lambda m: _particle(text[: m.start()], m[1]), text)


def pick(key: str, count: int) -> int:
    """A number below `count` that `key` alone decides."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") % count


def issue_of(holding: str) -> str:
    """A 판시사항 as a neutral issue: without the outcome that reporters add in brackets
    ((적극), (소극), (=…)), which would give the answer away."""
    text = _VERDICT.sub("", _GIVEN_ANSWER.sub("", _OUTCOME.sub("", holding))).rstrip(" .")
    # A short bracket at the end is an outcome too: 입증책임의 소재(검사).
    text = _SHORT_BRACKET.sub("", text)
    return " ".join(text.replace(" / ", ", 그리고 ").split()).rstrip(" .,")


def asked_of(issue: str) -> str | None:
    """An issue as a clause that 궁금합니다 can follow: … 해당하는지, … 의미가 무엇인지; None if its
    last word does not ask (광산 덕대계약과 사용자)."""
    if re.search(r"[가-힣]지 여부$", issue):
        return issue.removesuffix(" 여부")
    if whose := re.fullmatch(r"(.+) (성립|인정) ?여부", issue):
        subject = whose[1] if _ENDS_IN_UI.search(whose[1]) else whose[1].removesuffix("의")
        verb = "성립하는지" if whose[2] == "성립" else "인정되는지"
        return f"{subject}{_particle(subject, '이')} {verb}"
    if what := re.fullmatch(r"(.+(?<!의)) 해당 여부", issue):
        return f"{what[1]}에 해당하는지"
    verb = _VERB_OF.get(issue.split()[-1]) if issue else None
    return f"{issue}{_particle(issue, '이')} {verb}" if verb else None


def _particle(word: str, kind: str) -> str:
    return _PARTICLES[kind][_open_syllable(word)]


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
