"""Personal data in Korean legal text: found, counted and masked.

Look-arounds on digits stand where other scripts would use a word boundary: `\\b` sees none between
a digit and Hangul.
"""

import re
from collections import Counter

DASHES = "-‐‑‒–—―−－ㅡ"
"""What stands between the parts of a number; the last is the vowel that many type for a dash."""

_DASH = f"[{DASHES}]"
_YEAR_MONTH_DAY = r"\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"

# A company's number in the register is public, and 110111- opens those of Seoul.
_NO_COMPANY = "".join(
    f"(?<!{word}{after})"
    for word in ("법인등록번호", "법인번호")
    for after in ("", " ", ": ", " : ", "[(]")
)

# Two letters each, as a look-behind takes no words of different lengths: the last of 우체국.
_BANK = "은행|뱅크|농협|수협|신협|금고|체국"
_ACCOUNT = rf"(?=(?:{_DASH}?\d){{10,16}}(?!\d))(?:\d{{10,14}}|\d{{2,6}}(?:{_DASH}\d{{1,8}}){{2,3}})"

_PATTERNS: dict[str, tuple[re.Pattern[str], str]] = {
    # The seventh digit tells sex and century: 1–4 for citizens, 5–8 for foreigners, 9 and 0 for
    # those born before 1900. There has been no checksum since October 2020.
    "resident_number": (
        re.compile(
            rf"{_NO_COMPANY}(?<!\d){_YEAR_MONTH_DAY}(?:\s?{_DASH}\s?[0-9]| [1-8])\d{{6}}(?!\d)"
        ),
        "[주민등록번호]",
    ),
    "resident_number_bare": (
        re.compile(rf"{_NO_COMPANY}(?<!\d){_YEAR_MONTH_DAY}[1-8]\d{{6}}(?!\d|\s?원)"),
        "[주민등록번호]",
    ),
    "card_number": (
        re.compile(
            rf"(?<!\d)\d{{4}}({_DASH}| )\d{{4}}\1\d{{4}}\1\d{{4}}(?!\d)|(?<!\d)[3-6]\d{{15}}(?!\d)"
        ),
        "[카드번호]",
    ),
    "phone": (
        re.compile(
            rf"(?<![\d제-])(?:\+82[- ]?\(?0?\)?|\(?0)(?:1[016789]|2|[3-6][1-5]|70|50\d)"
            rf"(?:\)[- ]?|\s?{_DASH}\s?|[. ])\d{{3,4}}(?:\s?{_DASH}\s?|[. ])\d{{4}}(?![\d-])"
            rf"|(?<!\d)(?:\+82[- ]?0?|0)1[016789]{_DASH}?\d{{7,8}}(?!\d)"
            # An extension behind a name: 사무관(2156-9834), but no year (2019-2020).
            rf"|(?<=\()(?!(?:19|20)\d\d{_DASH})[2-9]\d{{2,3}}{_DASH}\d{{4}}(?=\))"
        ),
        "[전화번호]",
    ),
    "email": (
        re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"),
        "[전자우편]",
    ),
    # Bank accounts have no common shape: ten digits or more (a date has eight), in one to four
    # groups, near a word that says so. A number that 제 stands before is a document's.
    "account_number": (
        re.compile(
            rf"(?<=계좌|{_BANK})[^\n\d]{{0,20}}?(?<![\d제]){_ACCOUNT}(?!\d|-\d)"
            rf"|(?<![\d-]){_ACCOUNT}(?=\s?\([가-힣 ]{{0,10}}(?:{_BANK}))"
        ),
        "[계좌번호]",
    ),
}
_ACCOUNT_DIGITS = re.compile(rf"{_ACCOUNT}$")
# Full-width digits, of old documents, as KoGPT-2's tokenizer reads them: place by place.
_HALF_WIDTH = {ord("０") + digit: str(digit) for digit in range(10)}
# Every kind has three digits in a row or an @: most texts are done with at a glance.
_WORTH_A_LOOK = re.compile(r"\d{3}|@")


def mask(text: str) -> tuple[str, Counter[str]]:
    """Replace personal data by a label in brackets.

    Returns:
        The masked text and how many of each kind were found: resident_number, card_number, phone,
        email, account_number.
    """
    found: Counter[str] = Counter()
    if not _WORTH_A_LOOK.search(text):
        return text, found
    plain = text.translate(_HALF_WIDTH)
    for kind, (pattern, label) in _PATTERNS.items():
        # From the end, so that what is replaced moves no place that is still to come.
        for start, end in reversed([_place(kind, match) for match in pattern.finditer(plain)]):
            text = text[:start] + label + text[end:]
            plain = plain[:start] + label + plain[end:]
            found[kind.removesuffix("_bare")] += 1
    return text, found


def _place(kind: str, match: re.Match[str]) -> tuple[int, int]:
    """Where the personal data of a match stands: the words between 계좌 and the number stay."""
    if kind != "account_number":
        return match.span()
    return match.end() - len(_ACCOUNT_DIGITS.search(match[0])[0]), match.end()
