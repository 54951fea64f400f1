"""What is asked about an article, and what is not."""

from collections import Counter
from dataclasses import replace

import pytest

from lawtune.data.provisions import parse_article
from lawtune.data.statute_qa import statute_pairs
from lawtune.records import Article, Provision, Statute


def pairs_of(*articles: Article, law: str = "시험법"):
    rejected: Counter[str] = Counter()
    statute = Statute(law, "법률", "2020-01-01", "2020-01-01", articles)
    return list(statute_pairs(statute, rejected)), rejected


def article(text: str, title: str = "계약의 해지와 통지", number: str = "5") -> Article:
    return Article(number, title, text)


@pytest.mark.parametrize(
    ("text", "case", "rule"),
    [
        (
            "임차인이 두 달의 차임을 연체한 때에는 임대인은 계약을 해지할 수 있다.",
            "임차인이 두 달의 차임을 연체한 때",
            "시험법 제5조에 따라 임대인은 계약을 해지할 수 있다.",
        ),
        (
            "임차인이 두 달의 차임을 연체한 경우에는 바로 해지할 수 있다. 다만, 통지하여야 한다.",
            "임차인이 두 달의 차임을 연체한 경우",
            "시험법 제5조에 따라 바로 해지할 수 있다. 다만, 통지하여야 한다.",
        ),
        (
            "다른 사람의 자동차를 허락 없이 운전한 사람은 1년 이하의 징역에 처한다.",
            "다른 사람의 자동차를 허락 없이 운전한 사람",
            "시험법 제5조에 따라 1년 이하의 징역에 처한다.",
        ),
        (
            "법원은 당사자가 기일에 두 번 출석하지 아니한 때에는 소송을 종결하여야 한다.",
            "법원은 당사자가 기일에 두 번 출석하지 아니한 때",
            "시험법 제5조에 따라 소송을 종결하여야 한다.",
        ),
    ],
)
def test_a_rule_for_a_case(text, case, rule):
    # A title that does not tell its subject leaves application alone.
    (pair,), _ = pairs_of(article(text, title="해지"))
    assert pair.type == "law_application"
    assert case in pair.question
    assert pair.answer == rule
    assert pair.citations == ("시험법 제5조",)
    assert pair.group == "시험법 제5조"


@pytest.mark.parametrize(
    "text",
    [
        "제3조의 청구를 받은 임대인이 이를 거절한 때에는 해지할 수 있다.",
        "전항의 통지를 받은 임대인이 이를 거절한 때에는 해지할 수 있다.",
        "그 통지를 받은 임대인이 오래 답하지 아니한 때에는 해지할 수 있다.",
        "임차인이 두 달의 차임을 연체한 때에는 그 절차를 취소하여야 한다.",
        "이 법에 특별한 규정이 없는 임대차의 경우인 때에는 민법에 따른다.",
        "법원은 특별히 필요하다고 인정하는 때에는 기일을 연장할 수 있다.",
        "주소를, 주소가 알려지지 아니한 경우에는 거소를 관할하는 법원이 관할한다.",
        "임차인이 두 달을 연체한 때에는 해지할 수 있고 세 달인 때에는 해지된다.",
        "임차인이 두 달의 차임을 연체한 때에는 대통령령으로 정한다.",
        "임대차가 두 달이 지나도록 이어진 때에는 앞의 규정을 준용한다.",
    ],
)
def test_a_case_that_a_question_cannot_tell_whole(text):
    assert pairs_of(article(text, title="해지"))[0] == []


def test_what_a_topic_is_asked_for():
    def asked(then):
        text = f"임대인은 임차인이 두 달의 차임을 이유 없이 연체한 때에는 {then}"
        return pairs_of(article(text, title="해지"))[0][0].question

    assert "무엇을 할 수 있" in asked("곧바로 계약을 해지할 수 있다.")
    assert "어떻게 하여야 하" in asked("그 뜻을 서면으로 알려야 한다.")
    assert "어떻게 되" in asked("계약을 해지한 것으로 본다.")
    # It is not the topic that acts.
    assert "어떻게 되" in asked("법원은 계약을 해지하게 할 수 있다.")


def test_a_title_in_brackets_of_its_own_tells_no_more_without_them():
    made = parse_article("1", "(목적)", ["이 규칙은 해지에 필요한 사항을 정한다."])
    assert made.title == "목적"
    assert pairs_of(made)[1] == {"law_explanation: title that does not tell the subject": 1}


def test_a_committee_has_a_name():
    text = "위원회가 하는 조정절차는 공개하지 아니한다."
    assert pairs_of(article(text.replace("위원회", "분쟁조정위원회"), "조정절차의 비공개"))[0]
    assert pairs_of(article(text.replace("위원회가", "위원회사가"), "조정절차의 비공개"))[0]
    assert pairs_of(article(text.replace("위원회가", "협회가"), "조정절차의 비공개"))[0] == []
    assert pairs_of(article(text.replace("위원회가", "협회에서는"), "조정절차의 비공개"))[0] == []
    estate = text.replace("위원회가", "파산재단에 관하여 재단이")
    assert pairs_of(article(estate, "조정절차의 비공개"))[0] == []
    other = text.replace("위원회가", "국민연금공단에 관하여 위원이")
    assert pairs_of(article(other, "조정절차의 비공개"))[0] == []
    case = "신청을 한 자는 위원이 불공정한 의결을 할 우려가 있는 때에는 기피신청을 할 수 있다."
    assert pairs_of(article(case, "제척"))[0] == []
    assert pairs_of(article(case.replace("위원이", "심의위원회의 위원이"), "제척"))[0]

    side = "근로자위원측에서 의제를 문서로 명시하여 소집을 요구한 때에는 의장은 소집하여야 한다."
    assert pairs_of(article(side, "소집"))[0] == []
    assert pairs_of(article(side.replace("근로자", "조정위원회의 근로자"), "소집"))[0]


def test_a_guardian_has_a_ward():
    case = "동의를 받기 어려운 경우에는 인터넷주소를 법정대리인에게 안내할 수 있다."
    assert pairs_of(article(f"수집자는 매체의 특성상 {case}", "동의"))[0] == []
    assert pairs_of(article(f"수집자는 매체의 특성상 아동의 {case}", "동의"))[0]
    heir = (
        "상속권이 참칭상속권자로 인하여 침해된 때에는 상속권자 또는 그 법정대리인은 소를 제기한다."
    )
    assert pairs_of(article(heir, "상속회복"))[0]


def test_applications_are_asked_where_an_explanation_would_not_do():
    rule = Provision("항", "1", "임차인이 두 달의 차임을 연체한 때에는 임대인은 해지한다.")
    body = Provision("항", "2", "위원회는 이를 조정한다.")
    for number in range(20):
        made = Article(str(number), "계약의 해지와 통지", "", (rule, body))
        assert [pair.type for pair in pairs_of(made)[0]] == ["law_application"]


def test_a_chapters_name_does_not_give_the_answer_away():
    case = "파산재단에 속하는 재산액이 5억원 미만인 때에는 법원은 간이파산의 결정을 한다."
    made = [replace(article(case, "결정", str(n)), headings=("제9장 간이파산",)) for n in range(9)]
    assert all("간이파산" not in pairs_of(one)[0][0].question for one in made)
    kept = [replace(one, headings=("제9장 면책절차",)) for one in made]
    assert any("면책절차" in pairs_of(one)[0][0].question for one in kept)


def test_what_somebody_may_do_is_not_asked_of_a_case_that_tells_little():
    text = "세관장은 {} 때에는 강제징수비를 징수할 수 있다."
    assert pairs_of(article(text.format("관세의 강제징수를 할"), "징수"))[0] == []
    longer = "납세의무자가 독촉을 받고도 관세를 내지 아니하여 그 재산을 압류한"
    assert pairs_of(article(text.format(longer), "징수"))[0]
    duty = "세관장은 관세의 강제징수를 할 때에는 미리 통지하여야 한다."
    assert pairs_of(article(duty, "징수"))[0]


def test_an_article_that_lost_its_effect_is_not_asked_about():
    made = article(
        "다른 사람의 자동차를 허락 없이 운전한 사람은 1년 이하의 징역에 처한다.", number="269"
    )
    pairs, rejected = pairs_of(made, law="형법")
    assert pairs == []
    assert rejected == {"article without effect": 1}


def test_a_case_of_several_articles_is_not_asked_about():
    text = "임차인이 두 달의 차임을 연체한 때에는 {} 계약을 해지할 수 있다."
    both = article(text.format("임대인은"), "해지"), article(text.format("전대인은"), "해제", "6")
    assert len(pairs_of(both[0])[0]) == 1
    assert pairs_of(*both)[0] == []


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (Article("5", "계약의 해지와 통지", "", (), deleted=True), "deleted article"),
        (article(""), "article without text"),
        (article("해지한다. " * 120), "article too long to be told whole"),
        (article("계약은 해지로 끝난다.", title="해지"), "title that does not tell the subject"),
        (
            article("계약은 해지로 끝난다.", title="동전의 해지와 통지"),
            "title that does not tell the subject",
        ),
        (
            article("지위가 같으면 나누어 받는다.", title="같은 순위자"),
            "title that does not tell the subject",
        ),
        (
            article("위원회가 하는 조정절차는 공개하지 아니한다.", title="조정절차의 비공개"),
            "body that nobody has introduced",
        ),
        (article("제7조에 따라 해지한다."), "article that refers to others"),
        (article("이 장과 이 절에 따라 해지한다."), "article that refers to others"),
        (
            article("필요한 사항은 대통령령으로 정한다."),
            "article that leaves the matter to a decree",
        ),
        (article("다음 각 호의 사항을 통지한다."), "list lost in the source"),
    ],
)
def test_why_an_article_is_not_explained(made, reason):
    pairs, rejected = pairs_of(made)
    assert pairs == []
    assert rejected == {f"law_explanation: {reason}": 1}


def test_a_statute_without_articles_is_counted():
    assert pairs_of() == ([], {"law_explanation: no article in the statute": 1})


def test_an_explanation_names_its_article_once():
    text = "계약은 당사자가 서면으로 통지하여 해지한다."
    numbered = [
        article(text, f"{name}계약의 해지와 통지", str(i))
        for i, name in enumerate("갑을병정무기경신임계", 1)
    ]
    pairs, _ = pairs_of(*numbered)
    assert len(pairs) == len(numbered)
    for pair in pairs:
        assert pair.type == "law_explanation"
        told = pair.answer == f"{text} ({pair.citations[0]})"
        asked = pair.source.article in pair.question
        assert told is not asked and pair.answer.startswith(text)
    assert len({told := p.answer == text for p in pairs}) == 2, told


def test_a_short_title_is_asked_about_with_its_number():
    pairs, _ = pairs_of(article("해지는 서면으로 통지하여야 한다.", title="해지 통지"), law="민법")
    assert "제5조(해지 통지)" in pairs[0].question


def test_paragraphs_and_items_are_told_in_order_with_the_source_on_a_line_of_its_own():
    provisions = (
        Provision("항", "1", "다음 각 호의 사항을 통지한다.", (Provision("호", "1", "성명"),)),
        Provision("항", "2", "제1항의 통지는 서면으로 한다."),
    )
    answers = set()
    for number in range(1, 30):
        made = Article(str(number), "계약의 해지와 통지", "", provisions)
        answers.add(pairs_of(made)[0][0].answer.replace(f"제{number}조", "제N조"))
    text = "제1항 다음 각 호의 사항을 통지한다.\n제1호 성명\n제2항 제1항의 통지는 서면으로 한다."
    assert answers == {text, f"{text}\n(시험법 제N조)"}


def test_a_question_names_the_part_of_a_statute_that_it_means():
    headings = ("제4편 보험", "제2장 손해보험", "제1절 통칙")
    told = [
        article("손해액은 그 손해가 발생한 때의 가액으로 한다.", "가액의 산정방법", str(n))
        for n in range(60)
    ]
    questions = [pairs_of(replace(one, headings=headings))[0][0].question for one in told]
    named = [q for q in questions if "시험법(손해보험)" in q]
    by_number = [q for q in questions if "시험법 제" in q]
    assert len(named) + len(by_number) == 60 and min(len(named), len(by_number)) > 5


def test_a_short_name_that_is_never_used_is_left_out():
    text = "임차인이 두 달의 차임을 연체한 때에는 통지서(이하 {}라 한다)를 보내야 한다."
    (pair,), _ = pairs_of(article(text.format('"연체통지"'), "해지"))
    assert pair.answer == "시험법 제5조에 따라 통지서를 보내야 한다."
    (kept,), _ = pairs_of(article(text.format('"통지서"'), "해지"))
    assert "이하" in kept.answer


@pytest.mark.parametrize(
    ("then", "ask"),
    [
        ("이를 알려야 한다.", None),
        ("임대인에게 알려야 한다.", "어떻게 하여야 하"),
        ("임대인에게 알린다.", "어떻게 되"),
        ("임대인에게 통지한다.", "어떻게 하"),
        ("그 권리를 상실한다.", "어떻게 되"),
        ("물건을 처분하여서는 아니 된다.", "무엇을 하여서는 안 되"),
        ("계약을 해지할 수 있다.", "무엇을 할 수 있"),
    ],
)
def test_what_is_asked_of_one_who_acts(then: str, ask: str | None):
    case = "임차인은 임대인이 두 달이 넘도록 건물을 넘겨주지 아니한 때에는"
    made, _ = pairs_of(article(f"{case} {then}", "해지"))
    assert [ask in pair.question for pair in made] == ([] if ask is None else [True])
