"""The wording of citations in Korean legal texts, as regular expressions.

Fragments begin with an underscore. Every repetition is bounded or over disjoint characters, so that
no text, however odd, makes a search slow.
"""

import re

from lawtune.eval.citation_cases import NUMBER

_UNIT = (
    r"(?:제\s*)?\d+(?:의\s*\d+)?\s*[항호](?:의\s*\d+(?!\d|\s*[항호]))?"
    r"|제\s*\d+(?:\s*[,·]\s*\d+){1,9}\s*[항호]|[①-⑳]\s*항"
    r"|\(?[가나다라마바사아자차카타파하거너더러머버서어저처커터퍼허](?:\)\s?|\.)?목(?![적록표차격])"
)
_JOIN = r"(?:\s*(?:본문|단서|전단|후단|전문|후문))?\s*(?:,|·|및|또는|이나|와|과|내지|부터|~|-)\s*"
UNITS = re.compile(
    rf"\s*(?:의\s*)?(?:{_UNIT})(?:\s*(?:의\s*)?(?:{_UNIT}))*"
    rf"(?:{_JOIN}(?:{_UNIT})(?:\s*(?:{_UNIT}))*(?:\s*까지)?)*"
)
ONE_UNIT = re.compile(
    r"(?P<number>\d+|[①-⑳])(?:의\s*(?P<branch>\d+))?"
    # Of 제1, 2항 the first, too, is a 항.
    r"(?:\s*(?P<level>[항호])(?:의\s*(?P<after>\d+))?|(?=(?:\s*[,·]\s*\d+)+\s*(?P<shared>[항호])))"
    r"|(?P<letter>[가-허])(?:\)\s?|\.)?목"
)
TITLE = re.compile(
    r"\s*\((?![^()]*(?:의 점|포괄하여|관한 조문))"
    r"(?!각 |이하|현행|다만|단,|위 |구 |같은 |동 |즉|예컨대|판시|피고)([^()\"'“”‘’\d]{1,40})"
    r"(?<!선택)(?<!참조)(?<!의 점)(?<!가중)(?<!준용)(?<!적용)(?<!한다)(?<!형으로 처벌)\)"
)
NOTE = re.compile(
    r"\s*\((?=[^()]*(?:\d{4}\s*\.|[‘'’]\d\d\.|법률\s*제|령\s*제\d|이하\s*[\"'“‘「]|약칭|같다|개정|폐지"
    r"|이하[^()]*(?:한다|함|칭|[가-힣]법\))))[^()]{,200}(?:\([^()]{,100}\)[^()]{,200}){,4}\)"
)
DEFINITION = re.compile(
    r"(?:이하|약칭)[\s:,]*(?:각각\s*|에서는\s*|단순히\s*)?"
    r"(?:[\"'“‘「]\s*([^\"'“”‘’「」()]{1,30}?)\s*[\"'”’」]"
    r"|([가-힣 ]{1,20}?)\s*(?:(?:이라|라)\s*(?:고\s*)?(?:만\s*)?한다|(?<=[가-힣]법)(?=\))))"
)
FORMER_NOTE = re.compile(r"전의\s*것|개정\s*전|폐지(?:되기|\))")
FORMER = re.compile(
    r"(?:(?<![가-힣])구|舊|(?<![가-힣])종전의?|(?:개정|폐지)(?:되기|하기)?\s*전의?)\s*\Z"
)
IN_FORCE = re.compile(r"현행\s*\Z")
FROM_HERE_ON = re.compile(r"이하\s*같다")
FOREIGN = re.compile(
    r"(?<![가-힣])(?:일본국?|독일|미국|영국|프랑스|중국|대만|홍콩|싱가포르|호주|캐나다|스위스|오스트리아|이탈리아|스페인"
    r"|네덜란드|벨기에|러시아|인도|베트남|북한)(?:의|\s[가-힣]{2,8}주)?\s*(?:구|현행|연방)?\s*\Z"
)
LAW_SUFFIX = re.compile(r"(?:법|법률|령|규칙|규정|조례|고시|세칙|훈령|예규|협약|조약)\Z")
SUBORDINATE = re.compile(r"\s*(시행령|시행규칙|시행세칙)(?![가-힣])")
_BRANCH = r"(?:의\s*\d+(?!\d|\s*(?:항|호|개|가지|명|차|년|인)))?"
_ARTICLE = (
    rf"(?:제\s*\d+(?:(?:\s*[,·~]\s*\d+){{1,9}}|-\d+)?\s*조{_BRANCH}"
    r"|제\s*\d+의\s*\d+\s*조|§\s*\d+(?:조(?:의\s*\d+)?)?"
    rf"|(?<![\d제.,-])\d{{1,4}}(?:-\d+)?\s*조{_BRANCH})"
    r"(?![합직사치선정건원])"
)
ARTICLE_AHEAD = re.compile(rf"」?\s*(?:의\s*)?(?:부칙\s*)?{_ARTICLE}")
ARTICLE_NUMBER = re.compile(r"(\d+(?:-\d+)?)\s*(?:조)?(?:의\s*(\d+))?")
NEXT_TO = re.compile(r"」?\s*(?:상\s*)?(?:의\s*)?(부칙\s*(?:\([^()]*\)\s*)?)?\Z")
BARE_ADDENDUM = re.compile(r"부칙\s*(?:\([^()]*\)\s*|<[^<>]*>\s*)?\Z")
LIST = re.compile(
    r"\s*(?:본문|단서|전단|후단|전문|후문|각\s*호|각\s*항)?\s*"
    r"(?:,|·|및|또는|이나|와|과|나|/)*\s*(?:\[\d+\]\s*)?\Z"
)
# Behind a citation a name begins, but not amid a word (긴급명령제4조의시행에관한규정).
AFTER_CITATION = re.compile(
    r"(?:(?:및|또는|그리고|이나|와|과)(?=\s))?\s+(?:(?:및|또는|그리고)\s+)?"
)
RANGE = re.compile(r"\s*(?:내지|부터|에서|~|-)\s*\Z")
UNTIL = re.compile(r"\s*까지")
PRIVATE = re.compile(
    r"(?:약관|계약|계약서|정관|규약|협약|협정|합의서|취업규칙|규준|기준|가이드라인|지침|내규|사규|세칙"
    r"|규정|규칙|조례안|개정안|법률안|약정|설명서|약정서|헌장|강령|회칙|장전|각서|협의서|특약(?:사항)?)"
    r"(?:상|의|은|는|에)?\s*\Z"
)
NOT_A_LAW = re.compile(
    # 평가방법, 사용법, but 소방법, 학교폭력예방법, 고령자고용법, 근기법.
    r"(?<![소예국])방법\Z|[사활적]용법\Z|(?:수사|분석|평가|금융|투자|관리|거래)기법\Z"
    r"|(?:범행|사기)수법\Z|\A(?:용|해|기|수|요|위|불|적|합|편|입|문|어|필|화|사|공)법\Z"
    r"|\A(?:실정|관습|특별|일반|성문|판례|현행|관련|해당|개별|개정|모|신|구|본|동|같은|위|이|각|그)?"
    r"(?:법|법률|법령|시행령|시행규칙)\Z|\A취업규칙\Z|\A[영령]\Z"
)
GENERIC = re.compile(r"\A(?:감독규정|업무규정|시행세칙|업무규칙)\Z")
AGENCY_RULE = re.compile(
    r"(?:감독|업|업무|시행|소송|집행|등기|조정|비송|공탁|등록|임용|복무|사무)(?:규정|규칙|세칙)\Z"
    r"|관한(?:규정|규칙)\Z"
)
NO_NAME = re.compile(
    r"(?:[은는을를]|으로|에서|라고|하여|하고|되어|되는|하는|하면|한다|따라|따른|의하여|경우)\Z"
    r"|\A(?:한편|그리고|또한|다만|결국|위|이|그|각|구|본|현행|따라서|그런데|즉|특히|이는|먼저|그러나)\Z|(?:법|법률|법령)\Z"
)
# 제2조 제32호에서 “공중”은 “불특정 다수인 …”이라고: the word defined stands before its definition.
_BEFORE_QUOTE = (
    r"(?:\s*(?:본문|단서|전단|후단|전문|후문))?(?:\s*(?:은|는|이|가|에서는|에서|에는|에|의|소정의?))?\s*[,:]?"
    r"(?:\s*(?:정한|정하는|정하고 있는|규정한|규정된|규정하는|규정하고 있는))?"
    r"(?:\s*[\"“‘][^\"“”‘’]{1,12}[\"”’]\s*(?:은|는|이란|란|의 의미에 관(?:하여|해)))?"
)
# What stands in “…” are the article's words whatever follows; ‘…’ is a notion, named after it or
# made shorter, unless the text says 라고 규정하고. A straight mark right behind 제1항 closes.
QUOTE = re.compile(
    rf"{_BEFORE_QUOTE}\s*(?:(?<!\d[항호조])(?<![\d목])\"([^\"]{{10,800}})\"|“([^”]{{10,800}})”"
    r"|‘([^’]{10,800})’\s*(?:이?라?고|와 같이|이라는)\s*[가-힣])"
)
EVENT = re.compile(
    rf"(?P<case>(?<![\d])(?:{NUMBER})(?!\d))"
    rf"|(?P<article>{_ARTICLE})"
    r"|(?P<bracket>「[^「」\n]{1,90}」)"
    r"|(?P<same>(?<![가-힣])(?:같은|동|위|이|본|당해)\s*(?:시행령|시행규칙|법률|법|영|령|규칙|규정|조례)"
    r"(?:\s*(?:시행령|시행규칙))?(?=\s*(?:부칙|제\s*\d|§|\d+조|\(\d{4}\.))"
    r"|(?<![가-힣])그\s*(?:시행령|시행규칙)(?=\s*제\s*\d))"
    r"|(?P<here>(?<![가-힣])(?:같은|동|위)\s*[조항호](?:의)?\s*(?=제?\s*\d+\s*[항호]))"
    r"|(?P<short>(?<![가-힣])(?:법|영|령|시행령|시행규칙|규칙|규정)(?=[^\S\n]*(?:부칙\s*)?제\s*\d))"
    r"|(?P<law>(?:법률?|조약|령|규칙|규정|조례|고시|세칙)"
    r"(?=[^가-힣]|제\s*\d|상|에|의|은|이|을|과|와|및|소정|위반|\Z))"
    r"|(?P<mark>[()“”\"]|\n\s*\n)"
)
BEFORE_A_NAME = {"구", "신", "전", "후", "현"}
BOUNDARY = re.compile(r"[^\w\s·]|[_ㅇ舊①-⑳]")
"""What the name of a statute does not reach across."""
