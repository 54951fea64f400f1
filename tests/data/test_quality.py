"""Why a pair is refused, and when an answer quotes another split's article."""

import pytest

from lawtune.config import BuildConfig
from lawtune.data.quality import lacks_promised_items, states_outcome, unfit, unsound
from lawtune.data.quotes import QuotationIndex
from lawtune.records import Article, Provision, QAPair, Statute

SOUND = QAPair("누가 책임집니까?", "고의 또는 과실로 손해를 가한 자가 배상할 책임이 있다.")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (SOUND.answer, None),
        ("다음과 같다.\n┌──┬──┐\n│가│나│", "answer holds a table"),
        ("배상할 책임이 있고,", "answer ends in mid-sentence"),
        ("누가 책임집니까?", "answer repeats the question"),
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
