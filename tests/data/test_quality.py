"""Why a pair is refused, and when an answer quotes another split's article."""

import pytest

from lawtune.config import BuildConfig
from lawtune.data.quality import (
    incomplete,
    lacks_promised_items,
    states_outcome,
    unclear,
    unfit,
    unsound,
)
from lawtune.data.quotes import QuotationIndex
from lawtune.records import Article, Provision, QAPair, Statute

SOUND = QAPair("누가 책임집니까?", "고의 또는 과실로 손해를 가한 자가 배상할 책임이 있다.")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (SOUND.answer, None),
        ("다음과 같다.\n┌──┬──┐\n│가│나│", "answer holds a table"),
        ("다음과 같다. | 구분 | 금액 | |:---|---:| | 가 | 10원 |", "answer holds a table"),
        ("배상할 책임이 있고,", "answer ends in mid-sentence"),
        ("배상(이하 생략 한다.", "answer opens a bracket or quotation and does not close it"),
        (
            "‘책임’이라 함은 “의무를 말한다.",
            "answer opens a bracket or quotation and does not close it",
        ),
        ("누가 책임집니까?", "answer repeats the question"),
        ("1) 손해를 배상합니다.\n2) 원상으로 돌립니다.", None),
        ("다음과 같습니다. 가) 배상 나) 원상회복", None),
        ("2) 배상(이하 생략 한다.", "answer opens a bracket or quotation and does not close it"),
        ("갑은) 배상한다.", "answer opens a bracket or quotation and does not close it"),
        ("2013년과 ‘14년의 손해를 배상한다.", None),
        ("이자는 연 25%", None),
        ("담당은 Financial Services Commission", None),
        ("https://www.law.go.kr/법령/민법", None),
    ],
)
def test_unsound(answer, reason):
    assert unsound(QAPair(SOUND.question, answer)) == reason


@pytest.mark.parametrize(
    ("question", "answer", "reason"),
    [
        (3, 8, None),
        (160, 320, None),
        (161, 8, "question too long"),
        (3, 7, "answer too short"),
        (3, 321, "answer too long"),
    ],
)
def test_unfit(question, answer, reason):
    """One word, one token."""
    pair = QAPair("말 " * question, "말 " * answer)
    assert unfit(pair, lambda text: len(text.split()), BuildConfig()) == reason


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ("다음 각 호의 사항을 적는다.", True),
        ("다음 각 호의 사항을 적는다.\n제1호 성명", False),
        ("제1호 다음 각 목의 자\n제2호 법인", True),
        ("제1호 다음 각 목의 자\n가목 개인", False),
        ("제2조 각 호의 사항을 적는다.", False),
        ("다음 날까지 신고한다.", False),
    ],
)
def test_a_promised_list_that_the_source_lost(text, lost):
    assert lacks_promised_items(text) is lost


@pytest.mark.parametrize(
    ("holding", "told"),
    [
        ("죄책을 인정한 사례", True),
        ("죄책을 인정한 사례.", True),
        ("죄책을 인정한 사례(원심판결 파기)", True),
        ("죄책이 인정되는지 여부(적극)", False),
    ],
)
def test_holdings_that_tell_their_outcome(holding, told):
    assert states_outcome(holding) is told


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("형법 제30조의 공동정범이 성립하기 위하여는 공동가공의 의사가 필요하다.", None),
        ("이사 …의 직무대행자는 책임을 진다.", "text with gaps"),
        ("저작물인 '△△△강좌'는 보호된다.", "text with gaps"),
        ("출원상표 와 인용상표 의 유사 여부", "text with gaps"),  # their pictures are lost
        ("출원상표와 인용상표의 유사 여부", None),
        ("원심이 인정한 사실에 따르면 죄가 된다.", "text about the proceedings"),
        ("[별개의견] 원래 상습성은 속성이다.", "text about the proceedings"),
        ("피고인에게 불리하게 해석할 수 없다.", None),
        ("갑이 을에게 매도한 경우에는 무효이다.", "text about one case's parties"),
        ("甲 회사의 이사는 책임을 진다.", "text about one case's parties"),
        ("D장관이 권고한 것은 직무권한에 속한다.", "text about one case's parties"),
        ("‘직무’를 갑작스럽게 정하지 아니한다.", None),
        ("따라서 그 죄가 성립한다.", "text that goes on from another"),
        ("이 경우 책임을 진다.", "text that goes on from another"),
        ("책임은 위 규정에 따른다.", "text that points back to what it lacks"),
        ("민법 제750조의 뜻과 위 규정에 따른 책임이 있다.", None),
        ("설명의무의 내용과 위 설명의무를 어긴 책임이 있다.", None),
        ("내용을 알리고 위 설명의무를 다하여야 한다.", "text that points back to what it lacks"),
        ("상표법 제2조와 같은 법 제3조에 따른다.", None),
        ("상표와 같은 조 제3호에 따른다.", "text that points back to what it lacks"),
        ("위와 같은 방법으로 한 담보는 무효이다.", "text that points back to what it lacks"),
    ],
)
def test_a_text_that_cannot_stand_alone(text, reason):
    assert incomplete(text) == reason


def test_facts_may_have_parties_but_no_gaps_and_no_proceedings():
    assert unclear("甲이 위 승용차를 乙에게 넘긴 경우") is None
    assert unclear("甲이 원심에서 다툰 경우") == "text about the proceedings"
    assert unclear("甲이 ○○에게 넘긴 경우") == "text with gaps"


def words(prefix: str, count: int) -> str:
    return " ".join(f"{prefix}{i}" for i in range(count))


@pytest.fixture
def index():
    """제1조 is for training, 제2조 for testing; they share one long provision."""
    common = Provision("항", "9", words("공통", 14))
    articles = (
        Article("1", "", words("학습", 20), (common,)),
        Article("2", "", words("시험", 20), (Provision("항", "1", words("짧은", 7)), common)),
    )
    sides = {"법 제1조": "train", "법 제2조": "test"}
    return QuotationIndex([Statute("법", "법률", "", "", articles)], sides.get)


@pytest.mark.parametrize(
    ("answer", "own", "quotes"),
    [
        (words("시험", 20), "train", True),
        (words("시험", 20), "test", False),
        (words("시험", 20), "validation", True),
        (words("학습", 20), "test", True),
        (words("시험", 13), "train", True),
        (words("시험", 12), "train", False),
        ("앞말 " + " ".join(words("시험", 20).split()[4:17]) + " 뒷말", "train", True),
        (words("공통", 14), "train", False),  # its own split says the same
        (words("공통", 14), "test", False),
        (words("공통", 14), "validation", True),
        ("제1항 " + words("짧은", 7), "train", True),  # eight words with its mark: quoted whole
        (words("짧은", 7), "train", False),
        ("아무 상관 없는 글", "train", False),
        ("", "train", False),
    ],
)
def test_quotations(index, answer, own, quotes):
    assert index.quotes_another_split(answer, own) is quotes
    assert index.quotes_another_split(answer.replace(" ", "\n"), own) is quotes


def test_a_list_of_short_items_is_a_quotation_too():
    items = tuple(Provision("호", str(i), words(f"항목{i}", 4)) for i in range(1, 6))
    statute = Statute("법", "법률", "", "", (Article("1", "", "다음과 같다.", items),))
    index = QuotationIndex([statute], lambda group: "test")
    told = " ".join(f"제{item.number}호 {item.text}" for item in items)
    assert index.quotes_another_split(told, "train")
    assert not index.quotes_another_split(told, "test")
