"""Personal data: what is masked, and the numbers of the law that must not be."""

import pytest

from lawtune.data.privacy import mask
from lawtune.starter import CORPUS

RESIDENT = "[주민등록번호]"


@pytest.mark.parametrize("seventh", range(10))
def test_resident_numbers_of_every_seventh_digit(seventh):
    """1–4 for citizens, 5–8 for foreigners, 9 and 0 for those born before 1900; no checksum."""
    text, found = mask(f"피고인(주민등록번호 880229-{seventh}234567)은")
    assert text == f"피고인(주민등록번호 {RESIDENT})은"
    assert found == {"resident_number": 1}


@pytest.mark.parametrize(
    "number",
    [
        "880101-1234567",
        "880101 - 1234567",
        "880101–5234567",
        "880101－8234567",
        "8801011234567",
        "8801017234567",
        "880101 1234567",
    ],
)
def test_resident_numbers_beside_hangul(number):
    assert mask(f"홍길동{number}의") == (f"홍길동{RESIDENT}의", {"resident_number": 1})


@pytest.mark.parametrize(
    "number",
    ["881301-1234567", "880132-1234567", "1880101-1234567", "880101-12345678", "880101-123456"],
)
def test_what_no_resident_number_can_be(number):
    assert mask(number)[1]["resident_number"] == 0


@pytest.mark.parametrize(
    "number",
    [
        "010-1234-5678",
        "010 1234 5678",
        "010.1234.5678",
        "01012345678",
        "011-123-4567",
        "010－1234－5678",
        "010–1234–5678",
        "010ㅡ1234ㅡ5678",
        "02-123-4567",
        "02-1234-5678",
        "(02) 123-4567",
        "02)123-4567",
        "031-123-4567",
        "064-123-4567",
        "070-1234-5678",
        "0505-123-4567",
        "+82-10-1234-5678",
        "+82 10 1234 5678",
        "+82-2-123-4567",
        "+82 (0)10-1234-5678",
        "+821012345678",
        "010 - 1234 - 5678",
        "010-12345678",
    ],
)
def test_phone_numbers(number):
    assert mask(f"연락처{number}로") == ("연락처[전화번호]로", {"phone": 1})


def test_an_extension_behind_a_name():
    text = "보험과 홍길동 사무관(2156-9834)에게 문의"
    assert mask(text) == ("보험과 홍길동 사무관([전화번호])에게 문의", {"phone": 1})


@pytest.mark.parametrize("address", ["hong@example.com", "h.g-d+1@mail.example.co.kr"])
def test_addresses(address):
    assert mask(f"메일은{address}입니다.") == ("메일은[전자우편]입니다.", {"email": 1})


@pytest.mark.parametrize(
    "number", ["1234-5678-9012-3456", "1234 5678 9012 3456", "4111111111111111"]
)
def test_cards(number):
    assert mask(f"카드{number}번") == ("카드[카드번호]번", {"card_number": 1})


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("계좌번호: 110-123-456789", "계좌번호: [계좌번호]"),
        ("예금계좌(국민 123456-04-123456)로", "예금계좌(국민 [계좌번호])로"),
        ("신한은행 110-123-456789에", "신한은행 [계좌번호]에"),
        ("계좌 301-0123-4567-89로", "계좌 [계좌번호]로"),
        ("계좌번호 11012345678901로", "계좌번호 [계좌번호]로"),
        ("카카오뱅크 3333-01-1234567로", "카카오뱅크 [계좌번호]로"),
        ("농협 302-1234-5678-91", "농협 [계좌번호]"),
        ("110-123-456789(신한은행)로", "[계좌번호](신한은행)로"),
        ("새마을금고 9002-1234-5678-9로", "새마을금고 [계좌번호]로"),
        ("신협 131-012-345678로", "신협 [계좌번호]로"),
        ("우체국 012345-01-123456으로", "우체국 [계좌번호]으로"),
        ("012345-01-123456(우체국)으로", "[계좌번호](우체국)으로"),
    ],
)
def test_accounts(text, masked):
    assert mask(text) == (masked, {"account_number": 1})


@pytest.mark.parametrize(
    "text",
    [
        "대법원 2018. 10. 30. 선고 2013다61381 전원합의체 판결(공2018하, 2317)",
        "90도2106, 2019다12345, 12346(병합), 2020헌마1234",
        "법률 제12345호, 대통령령 제30509호(2020. 3. 3.)",
        "제1234조의5 제67항 제890호",
        "1억 2,345만 6,789원, 금 1234567890원, 10,000,000,000원",
        "2020-01-05부터 2021-12-31까지, 20200105, 2020.01.05",
        "계좌를 2020-01-05에 개설, 계좌 3개를 2020. 1. 5. 개설, 은행 2020-01-05",
        "사건 2020-12-345678호, 1588-1234, 100분의 3",
        "법인등록번호 110111-1234567, 법인번호: 110111-1234567",
        "은행업을 지정한 상표(등록번호 제4100302980000호), 금고 이상의 형, 금고 2년",
        "총 9501011500000원, 제02-2020-0001호",
        "2년(2019-2020), 압수·수색영장(2010-6974)",
        "트위터 @lawtune, a@b",
        "",
    ],
)
def test_numbers_of_the_law_stay(text):
    assert mask(text) == (text, {})


def test_full_width_digits_are_digits():
    """As old documents have them, and as KoGPT-2's tokenizer reads them; elsewhere they stay."""
    text = "제７５０조, 주민등록번호 ８８０１０１－１２３４５６７, 전화 ０１０－１２３４－５６７８"
    assert mask(text) == (
        f"제７５０조, 주민등록번호 {RESIDENT}, 전화 [전화번호]",
        {"resident_number": 1, "phone": 1},
    )
    text = "１１０-１２３-４５６７８９(신한은행), 계좌번호 １１０１２３４５６７８９"
    assert mask(text) == ("[계좌번호](신한은행), 계좌번호 [계좌번호]", {"account_number": 2})


def test_several_kinds_in_one_text():
    text, found = mask("a@b.kr, 010-1111-2222와 02-333-4444, 900101-2345678")
    assert text == f"[전자우편], [전화번호]와 [전화번호], {RESIDENT}"
    assert found == {"email": 1, "phone": 2, "resident_number": 1}
    assert mask(text) == (text, {})


def test_the_starter_corpus_holds_none():
    """Laws and holdings name no person: every hit would be a false alarm."""
    hits = {}
    paths = sorted(CORPUS.rglob("*.md"))
    assert len(paths) > 700
    for path in paths:
        if found := mask(path.read_text(encoding="utf-8"))[1]:
            hits[path.name] = found
    assert hits == {}
