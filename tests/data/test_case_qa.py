"""What is asked about a decision, and what is not."""

from collections import Counter
from dataclasses import replace

import pytest

from lawtune.data.case_qa import case_pairs
from lawtune.data.library import Library
from lawtune.records import Article, Case, Provision, Statute


def decision(number="2010도1", date="2010-01-01", **changes) -> Case:
    values = {
        "court": "대법원",
        "holdings": {"": "절도죄에서 불법영득의사의 의미"},
        "summaries": {
            "": "절도죄의 불법영득의사란 남의 물건을 제 것처럼 처분하려는 의사를 말한다."
        },
        "cited_articles": "형법 제329조",
    }
    return Case(number, title="절도", kind="판결", date=date, **(values | changes))


def pairs_of(case: Case, *others: Case):
    rejected: Counter[str] = Counter()
    return list(case_pairs(case, Library.of([case, *others]), rejected)), rejected


def test_an_issue_on_a_cited_provision_is_interpretation():
    (pair,), _ = pairs_of(decision())
    assert pair.type == "law_interpretation"
    assert pair.answer.startswith(decision().summaries[""])
    # The answer names the provision unless the question did.
    assert ("형법 제329조" in pair.question) is not ("(형법 제329조)" in pair.answer)
    assert pair.citations == ("형법 제329조", "대법원 2010. 1. 1. 선고 2010도1 판결")


def test_an_issue_that_construes_nothing_is_analysis():
    (pair,), _ = pairs_of(
        decision(
            holdings={"": "물건을 곧 돌려준 경우, 절도죄의 성립 여부(소극)"},
            summaries={"": "물건을 쓰고 곧 돌려준 경우에는 절도죄가 성립하지 아니한다."},
        )
    )
    assert pair.type == "precedent_analysis"
    assert "소극" not in pair.question


def test_the_date_of_an_amendment_is_left_out():
    former = "(1995. 12. 29. 법률 제5057호로 개정되기 전의 것, 이하 같다)"
    told = "구 형법{}의 불법영득의사란 처분의 의사이다."
    (pair,), _ = pairs_of(decision(summaries={"": told.format(former)}))
    assert pair.answer.startswith(told.format(""))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"holdings": {}}, "no 판시사항"),
        ({"summaries": {}}, "no 판결요지 for the issue"),
        ({"summaries": {"": "불법영득의사의 뜻 " * 80}}, "판결요지 too long to be told whole"),
        ({"holdings": {"": "불법영득의사의 " * 30 + "의미"}}, "issue too long to be asked"),
        ({"holdings": {"": "절도와 불법영득의사"}}, "issue that asks nothing"),
        (
            {"summaries": {"": "원심의 불법영득의사에 관한 판단은 옳다."}},
            "text about the proceedings",
        ),
        (
            {"summaries": {"": "상고를 모두 물리친다는 데에 뜻이 모였다."}},
            "판결요지 that does not speak to the issue",
        ),
        (
            {"summaries": {"": "상표법 제93조의 불법영득의사란 처분의 의사이다."}},
            "law of a time gone by",
        ),
        (
            {"holdings": {"": "형법 제309조 제1항과 제310조와의 관계"}},
            "issue of little but numbers",
        ),
        (
            {"holdings": {"": "구 노동조합법 제3조 제4호 단서의 규정 취지"}},
            "issue of little but numbers",
        ),
        (
            {
                "holdings": {"": "구 방문판매 등에 관한 법률 시행령 제32조의2의 규정 취지"},
                "cited_articles": "구 방문판매 등에 관한 법률 시행령 제32조의2",
            },
            "issue of little but numbers",
        ),
        (
            {"holdings": {"": "절도죄의 죄책을 인정한 사례"}},
            "no facts and conclusion to tell apart",
        ),
    ],
)
def test_why_an_issue_is_not_asked(changes, reason):
    pairs, rejected = pairs_of(decision(**changes))
    assert pairs == []
    assert rejected == {f"case: {reason}": 1}


def test_an_issue_that_tells_its_subject_may_name_a_provision():
    made = decision(
        holdings={"": "소멸시효에 관한 민법 제766조의 의미"},
        summaries={"": "민법 제766조의 소멸시효는 손해를 안 날부터 기산한다는 의미이다."},
        cited_articles="민법 제766조",
    )
    assert pairs_of(made)[0]


def test_a_statute_of_today_that_has_lost_a_cited_provision_gives_the_decision_away():
    def asked(cited: str, *articles: Article):
        statute = Statute("형법", "법률", "2026-01-01", "2026-01-01", articles)
        library = Library.of([decision(cited_articles=cited), statute])
        rejected: Counter[str] = Counter()
        return list(case_pairs(library.cases["2010도1", "대법원"], library, rejected)), rejected

    paragraphs = (Provision("항", "1", "훔치지 말라."), Provision("항", "2", "삭제"))
    standing = Article("329", "절도", "", paragraphs)
    deleted = Article("329", "", "", deleted=True)
    for cited, article in (
        ("형법 제329조", deleted),
        ("형법 제329조 제2항", standing),
        ("형법 제329조 제3항", standing),
        ("형법 제330조", standing),
    ):
        assert asked(cited, article) == ([], {"case: law of a time gone by": 1}), cited
    for cited in ("형법 제329조", "형법 제329조 제1항", "구 형법 제330조", "민법 제3조"):
        assert len(asked(cited, standing)[0]) == 1, cited


@pytest.mark.parametrize(
    ("named", "lost"),
    [
        ("여신전문금융업법 제70조 제1항 제2호", False),
        ("여신전문금융업법 제70조 제1항 제3호", True),
        ("여신전문금융업법 제70조 제1항 제2호의2", True),
        ("여신 전문금융업법 제70조", False),
        ("여신전문금융업법 제70조 제2호", True),  # its 호 stand in 항 today
        ("여신전문금융업법 제70조의2", True),
        ("구 여신전문금융업법 제71조", False),
        ("대여신전문금융업법 제71조", False),  # another statute's name
        ("형법 제355조", False),  # not in the library
    ],
)
def test_provisions_that_a_statute_of_today_has_lost(named: str, lost: bool):
    items = (Provision("호", "1", "하나"), Provision("호", "2", "둘"))
    article = Article("70", "벌칙", "", (Provision("항", "1", "다음 각 호", items),))
    statute = Statute("여신전문금융업법", "법률", "2026-01-01", "2026-01-01", (article,))
    assert Library.of([statute]).has_lost(f"{named}에 해당하는지 여부") is lost


def test_a_former_statute_called_by_its_name_alone():
    told = {"cited_articles": "구 절도법(2010. 1. 1. 개정되기 전의 것) 제3조"}
    for holding, count in (
        ("절도법의 불법영득의사의 의미", 0),
        ("구 절도법의 불법영득의사의 의미", 1),
    ):
        assert len(pairs_of(decision(holdings={"": holding}, **told))[0]) == count


def test_a_conclusion_that_names_its_provision_is_not_led_by_it():
    held = "형법 제329조의 절도죄가 성립한다"
    (pair,), _ = pairs_of(decision(holdings={"": FACTS.replace("절도죄가 성립한다", held)}))
    assert pair.answer == f"{held}."


def test_what_the_terms_of_a_contract_mean_is_no_interpretation_of_law():
    for issue, kind in (
        ("절도보험약관에서 불법영득의사의 의미", "precedent_analysis"),
        ("형법 제329조와 절도보험약관에서 불법영득의사의 의미", "law_interpretation"),
    ):
        (pair,), _ = pairs_of(decision(holdings={"": issue}))
        assert pair.type == kind


def test_a_short_issue_without_a_provision_is_asked():
    (pair,), _ = pairs_of(decision(holdings={"": "불법영득의사의 의미"}))
    assert "불법영득의사의 의미" in pair.question


def test_a_former_statute_is_not_named_twice():
    told = "구 관세법(2010. 12. 30. 법률 제10424호로 개정되기 전의 것, 이하 ‘구 관세법’이라 한다)"
    (pair,), _ = pairs_of(decision(summaries={"": f"{told}의 불법영득의사란 처분의 의사이다."}))
    assert pair.answer.startswith("구 관세법의 불법영득의사란")


@pytest.mark.parametrize("kind", ["판결", "결정"])
def test_a_court_and_its_decision_are_called_what_they_are(kind):
    issue, summary = (
        "물건을 곧 돌려준 경우, 절도죄의 성립 여부",
        "물건을 곧 돌려준 경우에는 아니다.",
    )
    texts = []
    for number in range(60):
        told = decision(f"2010도{number}", holdings={"": issue}, summaries={"": summary})
        (pair,), _ = pairs_of(replace(told, court="서울북부지법", kind=kind))
        texts.append(pair.question)
    assert not any("대법원" in text for text in texts)
    other = {"판결": "결정", "결정": "판결"}[kind]
    assert any(f"{kind}요지" in text for text in texts) and not any(other in t for t in texts)


FACTS = (
    "손님이 가게에 두고 간 지갑을 주인이 돌려주지 아니하고 가져간 사안에서, "
    "절도죄가 성립한다고 한 사례"
)


def test_facts_are_the_question_and_what_was_held_the_answer():
    (pair,), _ = pairs_of(decision(holdings={"": FACTS}))
    assert pair.type == "law_application"
    assert "손님이 가게에 두고 간 지갑을 주인이 돌려주지 아니하고 가져간 사안" in pair.question
    assert "성립" not in pair.question
    assert pair.answer == "형법 제329조에 따라 판단하면 절도죄가 성립한다."


@pytest.mark.parametrize(
    "holding",
    [
        FACTS.replace("가져간 사안", "가져갔다는 내용으로 기소된 사안"),
        FACTS.replace("성립한다고", "성립한다고 본 원심을 수긍한다고"),
    ],
)
def test_a_charge_is_no_fact_and_a_review_no_conclusion(holding):
    assert pairs_of(decision(holdings={"": holding}))[0] == []


LATER = {"cited_cases": "대법원 2005. 5. 5. 선고 2005도5 판결(공2005, 1)"}


def test_what_a_decision_made_of_an_earlier_one():
    earlier = decision("2005도5", "2005-05-05")
    pairs, _ = pairs_of(decision(**LATER), earlier)
    (pair,) = [pair for pair in pairs if pair.type == "precedent_impact"]
    assert earlier.citation in pair.question and decision().citation in pair.question
    assert (
        pair.answer == f"이 판례를 참조하여 다음과 같이 판단하였습니다. {decision().summaries['']}"
    )
    assert pair.group == "2010도1"


def test_an_earlier_decision_on_another_question_is_left_alone():
    beside = decision(
        "2005도5", "2005-05-05", holdings={"": "상고의 기간"}, summaries={"": "이레 안에 낸다."}
    )
    assert {pair.type for pair in pairs_of(decision(**LATER), beside)[0]} == {"law_interpretation"}
    unread, _ = pairs_of(decision(**LATER))
    assert {pair.type for pair in unread} == {"law_interpretation"}


SEOUL = decision("2005노5", "2005-05-05", court="서울고등법원")
BUSAN = decision("2005노5", "2005-06-06", court="부산고등법원")
NOWHERE = decision("2005노5", "2005-06-06", court="")


@pytest.mark.parametrize(
    ("cited", "others", "meant"),
    [
        ("부산고법 2005. 6. 6. 선고 2005노5 판결", (SEOUL, BUSAN), BUSAN),
        ("서울고등법원 2005. 5. 5. 선고 2005노5 판결", (SEOUL, BUSAN), SEOUL),
        ("부산고법 2005. 6. 6. 선고 2005노5 판결", (SEOUL,), None),
        ("2005노5 판결", (SEOUL,), SEOUL),
        ("2005노5 판결", (SEOUL, BUSAN), None),
        ("부산고법 2005. 6. 6. 선고 2005노5 판결", (NOWHERE,), NOWHERE),
    ],
)
def test_a_number_that_two_courts_use_is_the_named_courts(cited, others, meant):
    pairs, _ = pairs_of(decision(cited_cases=cited), *others)
    impacts = [pair for pair in pairs if pair.type == "precedent_impact"]
    assert [pair.citations[0] for pair in impacts] == ([meant.citation] if meant else [])


def test_only_the_named_courts_decision_is_overruled():
    changing = decision(cited_cases="부산고법 2005. 6. 6. 선고 2005노5 판결(변경)")
    library = Library.of([SEOUL, BUSAN, changing])
    assert list(case_pairs(SEOUL, library, Counter()))
    assert not list(case_pairs(BUSAN, library, Counter()))


def test_law_that_a_later_decision_changed_is_not_asked_about():
    changing = decision(
        "2020도7", "2020-07-07", cited_cases="대법원 2010. 1. 1. 선고 2010도1 판결(변경)"
    )
    pairs, rejected = pairs_of(decision(), changing)
    assert pairs == []
    assert rejected == {"case: a later decision changed the law laid down": 1}
    (impact,) = [p for p in pairs_of(changing, decision())[0] if p.type == "precedent_impact"]
    assert impact.answer.startswith("이 판례를 변경하여 ")
