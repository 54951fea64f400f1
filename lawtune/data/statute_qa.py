"""Questions that an article of a statute answers: what it provides, and when which rule applies."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from lawtune.data import phrasing
from lawtune.data.library import LONGEST_ANSWER, new_pair
from lawtune.data.outline import subjects
from lawtune.data.provisions import is_deleted, render_article
from lawtune.data.quality import bigrams, closes, lacks_promised_items
from lawtune.data.split import article_group
from lawtune.data.superseded import WITHOUT_EFFECT
from lawtune.records import Article, QAPair, Source, Statute

GENERAL_CODES = ("민법", "형법")
"""A question that names no statute is understood under these; elsewhere it would be a riddle."""
APPLICATIONS = 2
"""Of one article, at most so many pairs on application."""
SAID_ELSEWHERE = 0.7
"""A case is another article's too if that has more than this share of its character bigrams."""
SHORTEST_CASE = 15
"""A case of fewer characters, 필요하다고 인정하는 left out, may be any of many."""
SHORTEST_OCCASION = 30
"""A case of fewer characters in which somebody may do something: he may do much else."""
SHORTEST_TITLE = 4
"""A shorter title (이사, 목적, 의의) does not tell what is asked."""

TELLING_TITLE = 7
"""A title of fewer characters (임원의 선임) is asked about together with its article's number."""

_ELSEWHERE = re.compile(
    r"(?<!」 )(?<!」)제\d+조|(?<![가-힣])(?:전|본)(?: ?\d*조|장|절|편|관)"
    r"|(?<![가-힣])이 (?:편|장|절|관)(?=[과의에 ])|준용|동조|앞의|별표"
)
_OTHER_PARAGRAPH = re.compile(r"제\d+항|제\d+호|전\d?항|본항|동항|각 ?호|다음|이 조")
_DELEGATES = re.compile(
    r"(?:대통령령|총리령|[가-힣]+부령|규칙|정관)(?:으|)로 정(?:한다|하여야 한다)\.$"
)
_WHEN = re.compile(
    r"(?P<when>[^,]{15,140}?[가-힣] (?:경우|때))에는 (?P<then>(?!각각|그러하지).{8,}다\.)"
)
_ANOTHER_WHEN = re.compile(r"(?:경우|때)(?:에는|에도|에 |,|$)|같다\.|또한 같")
_PENALTY = re.compile(
    r"(?P<doer>.{14,140}?(?:자|사람))[는은] (?P<then>(?:(?![자사]람?[는은] ).){6,70}처한다\.)"
)
_STARTS_ELSEWHERE = re.compile(
    r"^(?:당사자|상대방|그|이|이를|해당|당해|동|위|각|같은|이러한|다만|그러나)\s"
)
_SHORT_NAME = re.compile(r"\s?\(이하(?: 이 조에서)? [\"“‘]([^\"”’()]+)[\"”’](?:이?라) 한다\)")
_DISCRETION = re.compile(r"(?:특별?히 |특별한 사정이 있어 )?필요(?:하다고 인정)?[하한할되]\S* ")
_THIS_LAW = re.compile(r"(?<![가-힣])(?:이|본) ?법(?:률)?(?=[에을의이등 ])|이하 ")
# What a rule takes up from an article or a chapter that the question does not quote.
_THAT = re.compile(
    r"(?<![가-힣])그 (?=(기간|절차|법원|기일|사건|신청|청구|결정|재판|처분|동산|부동산|물건|토지"
    r"|통지|등기))"
)
# What a rule does to something that only its condition names.
_IT = re.compile(r"(?:[가-힣]+으로 정하는 바에 따라 )?(?:이를|이에|그에|이와) ")
_TOPIC = re.compile(r"[가-힣][은는]$")
# Not a topic: verbs and adjectives before a noun.
_MODIFIER = re.compile(
    r"(?:[하되있없않받르려오나내치키맞들앉쓰먹살드끄다](?:는)|같은|받은|얻은|많은|적은|높은|낮은|입은|맡은|찾은|남은|죽은"
    r"|또는|혹은|좋은|짧은|넘은|갚은|잡은|놓은|끊은|않은|깊은|늙은|젊은|작은)$"
)
_MAY = "무엇을 할 수 있"
_BODY = re.compile(
    r"(?<![가-힣])(?:근로자|사용자)?(위원|재단|협회|공단|센터)(?:회|장|들|측)?"
    r"(?:[은는이가을를의에과와도만나]|에는|에게|에게서|에서|에서는|으?로|(?:으로)?부터|이나)?(?![가-힣])"
)
_NAMED_BODY = r"[가-힣]{2}(?<!해당)(?<!소속)(?<!파산)"
# Somebody's guardian, and those who have one.
_GUARDIAN = re.compile(r"(?<!그 )(?<!이나 )(?<!또는 )법정대리인")
_WARD = re.compile("법정대리인|미성년|아동|청소년|세 미만|제한능력|피성년|피한정")
_ACTS = re.compile(r"(?<!상실|발생|소멸|해당|종료|성립)한다\.$")
_ADNOMINAL = {4, 8}
"""The final consonants ㄴ and ㄹ, by their place among the finals of Unicode's Hangul."""


def statute_pairs(statute: Statute, rejected: Counter[str]) -> Iterator[QAPair]:
    """Explanations and applications of every article, each of one kind only, so that no two
    questions share an answer. `rejected` counts the articles that serve for neither, and
    a statute that has none."""
    if not statute.articles:
        rejected["law_explanation: no article in the statute"] += 1
    standing = [article for article in statute.articles if not article.deleted]
    titles = Counter(article.title for article in standing)
    said = {article.label: bigrams(render_article(article)) for article in standing}
    for article in statute.articles:
        group = article_group(statute.name, article.label)
        if group in WITHOUT_EFFECT:
            rejected["article without effect"] += 1
            continue
        applications = list(islice(_applications(statute, article, said), APPLICATIONS))
        objection = _cannot_be_explained(article, titles)
        explanation = None if objection else _explanation(statute, article, group)
        if explanation and _speaks_of_some_body(f"{explanation.question} {explanation.answer}"):
            explanation, objection = None, "body that nobody has introduced"
        if applications and (explanation is None or phrasing.pick(group, 2)):
            yield from applications
        elif explanation:
            yield explanation
        else:
            rejected[f"law_explanation: {objection}"] += 1


def _cannot_be_explained(article: Article, titles: Counter[str]) -> str | None:
    """Why an article cannot be asked about by its title and told whole, or None."""
    if article.deleted:
        return "deleted article"
    text = render_article(article)
    if not text:
        return "article without text"
    if text.startswith("["):
        return "article that opens with its title"
    if any(map(is_deleted, article.provisions)):
        return "article with a deleted paragraph"
    if lacks_promised_items(text):
        return "list lost in the source"
    if len(text) > LONGEST_ANSWER:
        return "article too long to be told whole"
    # 동전, 같은: they point to something said before.
    points_back = article.title.startswith(("동전", "같은 "))
    if len(article.title) < SHORTEST_TITLE or titles[article.title] > 1 or points_back:
        return "title that does not tell the subject"
    if _ELSEWHERE.search(text):
        return "article that refers to others"
    if "\n" not in text and _DELEGATES.search(text):
        return "article that leaves the matter to a decree"
    return None


def _explanation(statute: Statute, article: Article, group: str) -> QAPair:
    text = render_article(article)
    cited = f"{statute.name} {article.label}"
    templates = phrasing.EXPLAIN
    if len(article.title) < TELLING_TITLE:
        templates = phrasing.EXPLAIN_NAMED
    elif statute.name in GENERAL_CODES:
        templates += phrasing.EXPLAIN_UNNAMED
    question = phrasing.phrase(
        templates,
        group,
        law=statute.name,
        part=_part(statute, article, article.title),
        label=article.label,
        title=f"({article.title})",
        topic=article.title,
    )
    # An answer that repeats what the question says is chosen by overlap and teaches little; only
    # where the question does not name the article must the answer do so.
    own_line = "\n" if "\n" in text else " "
    answer = text if article.label in question else f"{text}{own_line}({cited})"
    source = Source("statute", statute.name, article.label, date=statute.effective or None)
    return new_pair("law_explanation", question, answer, source, (cited,), group)


def _part(statute: Statute, article: Article, said: str) -> str:
    """The statute's name with what part of it a question is about: 상법(보험, 손해보험). Many
    codes have a 손해액의 산정기준, and 조합 is of three kinds in one of them."""
    about = subjects(article.headings, said)
    return f"{statute.name}({', '.join(about)})" if about else statute.name


def _applications(
    statute: Statute, article: Article, said: Mapping[str, set[str]]
) -> Iterator[QAPair]:
    """One pair for each unit of text that lays down a rule for a case. `said` are the bigrams of
    every article of the statute: of a case that occurs in another, one is half the truth."""
    for label, text in _units(article):
        rule = _rule(statute, text)
        if rule is None or _recurs(rule.case, article, said):
            continue
        cited = f"{statute.name} {label}"
        # A heading that the answer has too (간이파산) would give it away.
        part = _part(statute, article, f"{rule.case} {rule.then}")
        question = phrasing.phrase(rule.templates, cited, part=part, **rule.parts)
        if _speaks_of_some_body(f"{question} {rule.then}"):
            continue
        yield new_pair(
            "law_application",
            question,
            f"{cited}에 따라 {rule.then}",
            Source("statute", statute.name, article.label, date=statute.effective or None),
            (cited,),
            article_group(statute.name, article.label),
        )


@dataclass(frozen=True)
class _Rule:
    """A case, what the law attaches to it, and how it is asked about."""

    case: str
    then: str
    templates: Sequence[str]
    parts: Mapping[str, str]


def _rule(statute: Statute, text: str) -> _Rule | None:
    """The rule that a unit of text lays down; None if it has no such form or needs other texts to
    be understood."""
    if len(text) > LONGEST_ANSWER or _ELSEWHERE.search(text) or _OTHER_PARAGRAPH.search(text):
        return None
    first, _, more = text.partition("다. ")
    sentence = f"{first}다." if more else first
    if match := _PENALTY.fullmatch(sentence):
        case, templates, parts = match["doer"], phrasing.APPLY_PENALTY, {"doer": match["doer"]}
    elif (match := _WHEN.fullmatch(sentence)) and _is_a_case(match["when"], match["then"]):
        case, templates, parts = match["when"], phrasing.APPLY, {"when": match["when"]}
        if _has_topic(case):
            ask = _ask(match["then"])
            if ask == _MAY and len(case) < SHORTEST_OCCASION:
                return None
            templates, parts = phrasing.APPLY_ACTOR, {**parts, "ask": ask}
        elif statute.name in GENERAL_CODES:
            templates += phrasing.APPLY_UNNAMED
    else:
        return None
    then = _without_unused_names(f"{match['then']} {more}".strip())
    if _STARTS_ELSEWHERE.search(case) or len(_DISCRETION.sub("", case)) < SHORTEST_CASE:
        return None
    whole = f"{case} {then}"
    if any(match[1] not in whole[: match.start()] for match in _THAT.finditer(whole)):
        return None
    if _IT.match(then) or (_GUARDIAN.search(then) and not _WARD.search(case)):
        return None
    if _THIS_LAW.search(case) or _DELEGATES.search(then):
        return None
    return _Rule(case, then, templates, parts)


def _without_unused_names(text: str) -> str:
    """A text without the short names that it gives (이하 "자료"라 한다) and never uses."""

    def keep(match: re.Match[str]) -> str:
        return match[0] if text.count(match[1]) > 1 else ""

    return _SHORT_NAME.sub(keep, text)


def _recurs(case: str, article: Article, said: Mapping[str, set[str]]) -> bool:
    """Whether another article speaks of the same case."""
    mine, own = bigrams(case), article.label
    enough = SAID_ELSEWHERE * len(mine)
    return any(len(mine & words) > enough for label, words in said.items() if label != own)


def _speaks_of_some_body(text: str) -> bool:
    """Whether a text has a committee, a member of one, a foundation or an association, and no
    name of any such body."""
    kinds = {match[1].replace("위원", "위원회") for match in _BODY.finditer(text)}
    return any(not re.search(rf"{_NAMED_BODY}{kind}", text) for kind in kinds)


def _has_topic(when: str) -> bool:
    """Whether a condition opens with the topic of its main clause: 임차인은 … 한 때."""
    return any(_TOPIC.search(word) and not _MODIFIER.search(word) for word in when.split())


def _ask(then: str) -> str:
    """What to ask of one who acts, up to its ending: 무엇을 할 수 있(나요)."""
    if then.endswith("여서는 아니 된다."):
        return "무엇을 하여서는 안 되"
    if _has_topic(" ".join(then.split()[:2])):
        return "어떻게 되"  # someone else acts
    if then.endswith("할 수 있다."):
        return _MAY
    if then.endswith("야 한다."):
        return "어떻게 하여야 하"
    return "어떻게 하" if _ACTS.search(then) else "어떻게 되"


def _units(article: Article) -> Iterator[tuple[str, str]]:
    """The label and text of each paragraph without items, or of an article that has neither."""
    if article.text and not article.provisions:
        yield article.label, article.text
    for provision in article.provisions:
        if provision.level == "항" and not provision.children and not is_deleted(provision):
            yield f"{article.label} {provision.label}", provision.text


def _is_a_case(when: str, then: str) -> bool:
    """Whether a sentence divides into a complete condition and the one rule for it."""
    noun = when.rindex(" ")
    adnominal = (ord(when[noun - 1]) - 0xAC00) % 28 in _ADNOMINAL
    return adnominal and closes(when) and not _ANOTHER_WHEN.search(then)
