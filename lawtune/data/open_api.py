"""law.go.kr's Open API (국가법령정보 공동활용) as a source of statutes, decisions and replies.

The service answers errors with status 200 as often as not: every answer is judged by its content
before it is believed or kept, and an outage is never taken for "there is no such law".
"""

import hashlib
import logging
import os
import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

import httpx

from lawtune.data.open_api_xml import (
    left_out,
    parse_case,
    parse_interpretation,
    parse_statute,
    parse_xml,
)
from lawtune.errors import UserError
from lawtune.files import write_text
from lawtune.records import Case, Interpretation, Statute

PREFIX = "law.go.kr:"
KEY_VARIABLE = "LAW_OC"
URL_VARIABLE = "LAWTUNE_LAW_URL"
BASE_URL = "https://www.law.go.kr/DRF"
MAX_RECORDS = 1000
"""How many search results a source fetches; what lies beyond is reported, not fetched."""

PAGE_SIZE = 100
"""The most results that the API lists on a page."""

ATTEMPTS = 5
TIMEOUT = 60.0
"""Seconds without a byte before an attempt is given up."""

SEARCH_LIFETIME = 24 * 3600
"""Seconds for which a cached search is believed. A cached document is one version of one text and
never grows old."""

_DETAIL_ROOTS = ("법령", "PrecService", "ExpcService")
_REFUSED = re.compile(r"사용자 정보 검증|인증에 실패|미신청")
_EXHAUSTED = re.compile(r"(?:호출|요청|횟수|사용량|트래픽)[^.]{0,20}초과|LIMITED_NUMBER")
_UNSEEN = re.compile(r"<(script|style)\b.*?</\1>", re.DOTALL | re.IGNORECASE)
_APPLY = (
    "Apply for the Open API at https://open.law.go.kr (the key, OC, is the name part of the e-mail"
    f" address you sign up with) and set it: `export {KEY_VARIABLE}=yourname`"
)

Record = Statute | Case | Interpretation


@dataclass(frozen=True)
class _Kind:
    """What the API calls one kind of source. `target`, `filters` and `identifier` are request
    parameters, `entry` and `serial` elements of a search answer."""

    target: str
    filters: dict[str, str]
    entry: str
    serial: str
    identifier: str
    page: str
    parse: Callable[[Element, str], Record | None]
    unusable: str


_KINDS = {
    # nw=3: the version in force; without it every past and coming version is listed.
    "statute": _Kind(
        target="eflaw",
        filters={"nw": "3"},
        entry="law",
        serial="법령일련번호",
        identifier="MST",
        page="lsInfoP.do?lsiSeq=",
        parse=parse_statute,
        unusable="statute without an article",
    ),
    "case": _Kind(
        target="prec",
        filters={},
        entry="prec",
        serial="판례일련번호",
        identifier="ID",
        page="precInfoP.do?precSeq=",
        parse=parse_case,
        unusable="decision without a number or date",
    ),
    "interpretation": _Kind(
        target="expc",
        filters={},
        entry="expc",
        serial="법령해석례일련번호",
        identifier="ID",
        page="expcInfoP.do?expcSeq=",
        parse=parse_interpretation,
        unusable="reply without question or answer",
    ),
}


class OpenApiClient:
    """Asks the API, patiently, and keeps its good answers on disk.

    Args:
        key: the OC; it is never written to the cache or into a message.
        cache_dir: where answers are kept, under a hash of the request without the key.
        limit: how many search results `fetch_records` fetches.
        sleep: waits that many seconds; a test puts its own here.
    """

    def __init__(
        self,
        key: str,
        base_url: str,
        cache_dir: Path,
        limit: int = MAX_RECORDS,
        sleep: Callable[[float], None] = time.sleep,
    ):
        self.key = key
        self.base_url = base_url.rstrip("/")
        self.cache_dir = Path(cache_dir)
        self.limit = limit
        self._sleep = sleep
        # At its INFO level httpx logs whole addresses, and the key with them.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        self._http = httpx.Client(timeout=TIMEOUT, follow_redirects=True)

    @classmethod
    def from_environment(cls) -> "OpenApiClient":
        """A client with the key in `LAW_OC`, caching under `XDG_CACHE_HOME` or `~/.cache`.

        Raises:
            UserError: the key is not set.
        """
        key = os.environ.get(KEY_VARIABLE, "").strip()
        if not key:
            raise UserError(f"law.go.kr needs a key, and {KEY_VARIABLE} is not set. {_APPLY}")
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        base_url = os.environ.get(URL_VARIABLE) or BASE_URL
        return cls(key, base_url, caches / "lawtune" / "law.go.kr")

    def search(self, parameters: dict[str, str]) -> Element | None:
        """One page of search results (`lawSearch.do`); errors and None as `document`."""
        return self._ask("lawSearch.do", parameters, SEARCH_LIFETIME)

    def document(self, parameters: dict[str, str]) -> Element | None:
        """One document (`lawService.do`), or None if the API says that it has none in XML.

        Raises:
            UserError: the key is refused, the quota is used up, the service cannot be reached or
                fails, or its answer is not its XML; each says so.
        """
        return self._ask("lawService.do", parameters, None)

    def _ask(
        self, endpoint: str, parameters: dict[str, str], lifetime: float | None
    ) -> Element | None:
        request = {**parameters, "type": "XML"}
        cached = self._cache_path(endpoint, request)
        if _is_fresh(cached, lifetime):
            root = parse_xml(cached.read_text(encoding="utf-8"))
            if root is not None:
                return root
        text = self._download(endpoint, request)
        root = _judge(text)
        if root is not None:
            write_text(cached, text)
        return root

    def _cache_path(self, endpoint: str, request: dict[str, str]) -> Path:
        named = [f"{self.base_url}/{endpoint}", *(f"{k}={v}" for k, v in sorted(request.items()))]
        digest = hashlib.sha256("\n".join(named).encode()).hexdigest()
        return self.cache_dir / digest[:2] / f"{digest}.xml"

    def _download(self, endpoint: str, request: dict[str, str]) -> str:
        """The answer's text, tried up to `ATTEMPTS` times with growing pauses."""
        failure = UserError("")
        for attempt in range(ATTEMPTS):
            if attempt:
                # 1, 2, 4, 8 s, each ± half, so that many clients do not return at once.
                self._sleep(2 ** (attempt - 1) * random.uniform(0.5, 1.5))
            try:
                answer = self._http.get(
                    f"{self.base_url}/{endpoint}", params={**request, "OC": self.key}
                )
            except httpx.RequestError as error:
                failure = _outage(f"gives no answer ({type(error).__name__})")
                continue
            if answer.status_code == 429:
                failure = _out_of_quota("HTTP 429, too many requests")
            elif answer.status_code >= 500:
                failure = _outage(f"fails with HTTP {answer.status_code}")
            elif answer.status_code != 200:
                raise UserError(
                    f"law.go.kr refused the request with HTTP {answer.status_code}"
                    f" ({self.base_url}/{endpoint}); is {URL_VARIABLE} right?"
                )
            else:
                # The service writes the asker's key into the links of its answers.
                text = answer.content.decode("utf-8-sig", errors="replace")
                return re.sub(r"\bOC=[^&\"'<>\s\]]*", "OC=", text)
        raise failure


def is_api_source(spec: str) -> bool:
    """Whether a `--source` names the Open API rather than a path."""
    return spec.startswith(PREFIX)


def fetch_records(
    spec: str, client: OpenApiClient, skip: Callable[[str, str], None] | None = None
) -> Iterator[Record]:
    """Yield every record that a search finds, up to the client's limit.

    Args:
        spec: `law.go.kr:KIND:QUERY`, KIND being statute, case or interpretation.
        skip: told (reason, what) of all that was found and left out; logged when not given.

    Raises:
        UserError: the spec is malformed (at once), nothing is found, or the API fails (while
            iterating; see `OpenApiClient.document`).
    """
    name, _, query = spec.removeprefix(PREFIX).partition(":")
    if not is_api_source(spec) or name not in _KINDS or not query.strip():
        raise UserError(
            f"{spec!r}: expected law.go.kr:KIND:QUERY, such as law.go.kr:statute:민법, with KIND"
            f" one of {', '.join(_KINDS)}"
        )
    return _fetch(spec, query.strip(), _KINDS[name], client, skip or _log_skip)


def _fetch(
    spec: str, query: str, kind: _Kind, client: OpenApiClient, skip: Callable[[str, str], None]
) -> Iterator[Record]:
    for entry in _search(spec, query, kind, client, skip):
        serial = (entry.findtext(kind.serial) or "").strip()
        origin = f"https://www.law.go.kr/LSW/{kind.page}{serial}"
        parameters = {"target": kind.target, kind.identifier: serial}
        if kind.target == "eflaw":
            parameters["efYd"] = (entry.findtext("시행일자") or "").strip()
        root = client.document(parameters)
        if root is None:
            skip("listed by law.go.kr without its text in XML", origin)
            continue
        record = kind.parse(root, origin)
        if record is None:
            skip(kind.unusable, origin)
            continue
        for reason, what in left_out(root):
            skip(reason, f"{origin}: {what}")
        yield record


def _search(
    spec: str, query: str, kind: _Kind, client: OpenApiClient, skip: Callable[[str, str], None]
) -> Iterator[Element]:
    """The search's entries over all pages, each serial number once."""
    entries: dict[str, Element] = {}
    total, page = 0, 1
    # What the first page announced stands, whatever a later one says.
    while page == 1 or (page - 1) * PAGE_SIZE < min(total, client.limit):
        parameters = {"target": kind.target, "query": query, "display": str(PAGE_SIZE)}
        root = client.search(parameters | kind.filters | {"page": str(page)})
        total = max(total, 0 if root is None else int(root.findtext("totalCnt") or 0))
        found = [] if root is None else root.findall(kind.entry)
        entries |= {(entry.findtext(kind.serial) or "").strip(): entry for entry in found}
        page += 1
    if not entries:
        raise UserError(f"{spec}: law.go.kr answered, and has nothing of that name")
    if total > client.limit:
        skip(f"found beyond the first {client.limit}", f"{spec}: {total - client.limit} more")
    missing = min(total, client.limit) - len(entries)
    if missing > 0:
        skip("counted by law.go.kr but not listed", f"{spec}: {missing}")
    yield from list(entries.values())[: client.limit]


def _judge(text: str) -> Element | None:
    """The root of a good answer; None where the API says that it has no such document.

    Raises:
        UserError: anything else.
    """
    root = parse_xml(text)
    if root is not None and _is_good(root):
        return root
    said = " ".join(re.sub(r"<[^<>]*>", " ", _UNSEEN.sub(" ", text)).split())
    refused, exhausted, said = _REFUSED.search(said), _EXHAUSTED.search(said), said[:200]
    if refused:
        raise UserError(
            f"law.go.kr refused the key in {KEY_VARIABLE}: {said}. At https://open.law.go.kr, under"
            " OPEN API, check the key, register this machine's IP address, and tick the kinds of"
            " document you ask for"
        )
    if exhausted:
        raise _out_of_quota(said)
    if root is not None and root.tag == "Law" and (not said or "일치하는" in said):
        return None
    # Tax decisions are served as an HTML frame whatever type is asked for.
    if "precInfoP.do" in text and "precSeq" in text:
        return None
    raise UserError(
        f"law.go.kr answered with something other than its XML: {said or '(nothing)'!r}. It may be"
        " under maintenance: this says nothing about what it holds. Try again later"
    )


def _is_good(root: Element) -> bool:
    if root.tag in _DETAIL_ROOTS:
        return len(root) > 0
    total = (root.findtext("totalCnt") or "").strip()
    if not total.isdigit() or (root.findtext("resultCode") or "").strip("0 "):
        return False
    # Hits announced on a page that lists none are a fault, not the end of the list.
    return int(total) == 0 or any(len(child) for child in root)


def _out_of_quota(said: str) -> UserError:
    return UserError(
        f"law.go.kr's quota for this key is used up for now: {said}. Wait, then run the same"
        " command again; what was fetched is cached"
    )


def _outage(problem: str) -> UserError:
    return UserError(
        f"law.go.kr {problem}, {ATTEMPTS} times over: an outage or a network fault, which says"
        " nothing about what it holds. Try again later; what was fetched is cached"
    )


def _is_fresh(path: Path, lifetime: float | None) -> bool:
    try:
        age = time.time() - path.stat().st_mtime
    except OSError:
        return False
    return lifetime is None or age < lifetime


def _log_skip(reason: str, what: str) -> None:
    logging.getLogger(__name__).warning("skipped %s: %s", what, reason)
