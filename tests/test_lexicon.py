"""The tool that makes the lexicon, on a corpus small enough to count by hand."""

import importlib.util
from collections import Counter
from pathlib import Path

import pytest

from lawtune.records import Article, Case, Provision, Statute

TOOL = Path(__file__).resolve().parent.parent / "tools" / "make_lexicon.py"


@pytest.fixture(scope="module")
def tool():
    found = importlib.util.spec_from_file_location("make_lexicon", TOOL)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_a_document_is_an_article_or_a_holding(tool):
    item = Provision("호", "1", "손해의 배상")
    articles = (
        Article("1", "목적", "", (Provision("항", "1", "다음 각 호", (item,)),)),
        Article("2", "", "", deleted=True),
    )
    statute = Statute("가나법", "법률", "", "", articles)
    case = Case("2020다1", "대법원", "2020-01-01", "", "판결", {"1": "쟁점"}, {"1": "요지"})
    assert list(tool.read_documents([statute, case])) == [
        ("목적", "다음 각 호\n손해의 배상"),
        ("쟁점", "요지"),
    ]


def test_runs_of_nouns_are_counted_with_documents_and_headings(tool):
    nouns = ["손해/NNG", "배상/NNG"]
    counts = tool.count_runs([(nouns, [*nouns, "을/JKO", "손해/NNG"]), ([], ["배상/NNG"])])
    assert counts.total == {"손해": 3, "배상": 3, "손해+배상": 2}
    assert counts.documents == {"손해": 1, "배상": 2, "손해+배상": 1}
    assert counts.headings == {"손해": 1, "배상": 1, "손해+배상": 1}


def test_terms_are_frequent_here_and_rare_elsewhere(tool):
    documents = {"기망": 20, "사람": 20, "편취": 4, "행위": 200, "여부": 200, "착오": 20}
    runs = ["기망+행위", "기망+죄", "기망+사람", "사람+기망", "기망+적", "기망+여부", "편취+행위"]
    documents |= dict.fromkeys(runs, 20)
    headings = Counter(dict.fromkeys(documents, 1)) - Counter(["착오"])
    total = Counter(documents) + Counter({"말": 1_000_000, "행위": 20_000})  # of a larger corpus
    counts = tool.Counts(total, Counter(documents), headings)
    # 사람 is as frequent in any text; 편취 stands in too few documents, 행위 in too many to be a
    # term by itself, 착오 in no heading; 적 is no noun's suffix, 여부 joins with anything.
    assert tool.find_terms(counts, documents=1000) == ["기망", "기망+죄", "기망+행위"]


def test_what_ships_is_the_tools_own(tool):
    from lawtune.eval.legal import lexicon

    known = lexicon()
    assert "불법+행위+자" not in known.terms
    for term in known.terms:
        assert 1 <= term.count("+") + 1 <= tool.LONGEST_TERM
        first, last = term.split("+")[0], term.split("+")[-1]
        assert len(first) > 1 or first in tool.PREFIXES
        assert len(last) > 1 or last in tool.SUFFIXES
