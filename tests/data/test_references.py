"""참조조문 and 참조판례 as reporters write them."""

import pytest

from lawtune.data.references import (
    ArticleReference,
    CaseReference,
    court_name,
    law_key,
    parse_article_references,
    parse_case_references,
)


def labels(text: str) -> dict[str, list[str]]:
    return {n: [ref.label for ref in refs] for n, refs in parse_article_references(text).items()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("민법 제750조", {"": ["민법 제750조"]}),
        (
            "[1] 상법 제391조 제1항 / [2] 상법 제209조 제2항, 제389조 제3항",
            {"1": ["상법 제391조 제1항"], "2": ["상법 제209조 제2항", "상법 제389조 제3항"]},
        ),
        ("[1] 민법 제2조<br/>[2] 형법 제1조", {"1": ["민법 제2조"], "2": ["형법 제1조"]}),
        (
            "[1] 민법 제2조 / [2][3] 상법 제5조 / [5] 형법 제7조 / [3], [5] 민법 제9조",
            {
                "1": ["민법 제2조"],
                "2": ["상법 제5조"],
                "3": ["상법 제5조", "민법 제9조"],
                "5": ["형법 제7조", "민법 제9조"],
            },
        ),
        ("상법 제24조의 2, 제14조의2 제1항", {"": ["상법 제24조의2", "상법 제14조의2 제1항"]}),
        ("민법 제766조 제1항, 제2항", {"": ["민법 제766조 제1항", "민법 제766조 제2항"]}),
        ("건축법시행령 제3조제1항제2호", {"": ["건축법시행령 제3조 제1항"]}),
        (
            "민법 제1조(법원), 제2조 [신의성실], 상법 제1조",
            {"": ["민법 제1조", "민법 제2조", "상법 제1조"]},
        ),
        (
            "근로기준법 제10조 , 동법시행령 제1조 단서",
            {"": ["근로기준법 제10조", "근로기준법 시행령 제1조"]},
        ),
        (
            "주택법 제1조, 같은 법 시행령 제2조, 같은 법 시행규칙 제3조, 같은 법 제4조",
            {"": ["주택법 제1조", "주택법 시행령 제2조", "주택법 시행규칙 제3조", "주택법 제4조"]},
        ),
        ("민법 부칙 제3조, 제4조", {"": []}),
        ("제20조", {"": []}),
        ("민법 제1조, 민법 제1조", {"": ["민법 제1조"]}),
        ("", {}),
    ],
)
def test_articles(text, expected):
    assert labels(text) == expected


def test_a_statute_as_it_once_stood():
    text = (
        "구 형법(1995. 12. 29. 법률 제5057호로 개정되기 전의 것(부칙 제2조 포함)) 제357조 제1항,"
        " 제20조, 민법 제2조, 구 개인정보 보호법 제3조"
    )
    first, inherited, current, spaced = parse_article_references(text)[""]
    assert first == ArticleReference("형법", "357", "1", former=True)
    assert first.label == "구 형법 제357조 제1항"
    assert inherited == ArticleReference("형법", "20", None, former=True)
    assert current == ArticleReference("민법", "2", None, former=False)
    assert (spaced.law, spaced.former) == ("개인정보 보호법", True)


def test_several_paragraphs_in_one_breath_name_none():
    (reference,) = parse_article_references("민법 제766조 제1항 및 제2항")[""]
    assert reference.paragraph is None


def test_titles():
    reference = ArticleReference("형법", "355", "2")
    assert reference.with_title("횡령, 배임") == "형법 제355조(횡령, 배임) 제2항"


def test_keys_of_statutes():
    assert law_key("남녀고용평등과 일ㆍ가정 양립") == law_key("남녀고용평등과일·가정양립")
    assert law_key("구강보건법") == "구강보건법"
    assert law_key("구민법") != law_key("민법")  # another code, of 1912


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "대법원 1995. 4. 11. 선고 94다33903 판결(공1995상, 1835)",
            {"": (CaseReference("94다33903", "대법원"),)},
        ),
        (
            "[1] 대법원 2000. 1. 1. 선고 99다1, 2 판결"
            " / [2] 헌법재판소 1990. 4. 2. 선고 89헌가113 결정",
            {
                "1": (CaseReference("99다1", "대법원"),),
                "2": (CaseReference("89헌가113", "헌법재판소"),),
            },
        ),
        (
            "대법원 1978. 1. 1. 선고 77다1 판결(변경), 대법원 1990. 1. 1. 선고 89다카2 판결",
            {"": (CaseReference("77다1", "대법원", True), CaseReference("89다카2", "대법원"))},
        ),
        (
            "대법원 1999. 3. 18. 선고 98다32175 전원합의체 판결(공1999상, 718)(폐기)",
            {"": (CaseReference("98다32175", "대법원", True),)},
        ),
        (
            "대법원 4291. 5. 1. 선고 4291민상1 판결",
            {"": (CaseReference("4291민상1", "대법원"),)},
        ),
        (
            "서울고법(춘천) 2020. 1. 1. 선고 2019나1 판결, 2020. 2. 2. 선고 2019나2 판결,"
            " 수원지법 성남지원 2020. 3. 3. 선고 2019가합3 판결",
            {
                "": (
                    CaseReference("2019나1", "서울고등법원"),
                    CaseReference("2019나2", "서울고등법원"),
                    CaseReference("2019가합3", "수원지방법원성남지원"),
                )
            },
        ),
        ("2019나1", {"": (CaseReference("2019나1"),)}),
        ("당원 1990. 1. 1. 선고 89나1 판결", {"": (CaseReference("89나1"),)}),
        ("", {}),
    ],
)
def test_cases(text, expected):
    assert parse_case_references(text) == expected


def test_precedents_belong_to_the_issues_that_their_marks_name():
    """Numbers are left out, shared and come back; what changed one changed no other."""
    text = (
        "[1][2] 대법원 1990. 1. 1. 선고 90다1 판결(변경) / [4] 대법원 1995. 2. 2. 선고 95다2 판결,"
        " 대법원 1996. 3. 3. 선고 96다3 판결 / [2] 대법원 1997. 4. 4. 선고 97다4 판결"
    )
    changed = CaseReference("90다1", "대법원", True)
    assert parse_case_references(text) == {
        "1": (changed,),
        "2": (changed, CaseReference("97다4", "대법원")),
        "4": (CaseReference("95다2", "대법원"), CaseReference("96다3", "대법원")),
    }


def test_a_court_has_one_name():
    for text, name in {
        "서울고법": "서울고등법원",
        "수원지법 성남지원": "수원지방법원성남지원",
        "부산고등법원(창원)": "부산고등법원",
        "서울행법": "서울행정법원",
        "대판": "대법원",
        "당원": "",
    }.items():
        assert court_name(text) == name
