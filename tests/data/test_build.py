"""`data build` on the starter corpus: what the documents promise, checked from its output."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from lawtune.config import QUESTION_TYPES, SPLITS, BuildConfig
from lawtune.data.build import Built, build, write_built
from lawtune.data.provisions import render_article
from lawtune.data.sources import ReadReport, read_source
from lawtune.data.split import assign_split
from lawtune.errors import UserError
from lawtune.records import QAPair, Statute, read_qa
from lawtune.starter import CORPUS

PER_TYPE = 160


def count_tokens(text: str) -> int:
    return len(text) // 3


@pytest.fixture(scope="session")
def built() -> Built:
    return build([str(CORPUS)], BuildConfig(per_type=PER_TYPE), count_tokens)


@pytest.fixture(scope="session")
def statutes() -> list[Statute]:
    return list(read_source(CORPUS / "statutes", ReadReport()))


@pytest.fixture(scope="session")
def pairs(built) -> list[tuple[str, QAPair]]:
    return [(name, pair) for name in SPLITS for pair in built.splits[name]]


def folded(text: str) -> str:
    return " ".join(text.split())


def test_five_types_on_every_side_and_the_cap_kept(built):
    shares = {"train": 0.8, "validation": 0.1, "test": 0.1}
    for name, share in shares.items():
        counts = Counter(pair.type for pair in built.splits[name])
        assert set(counts) == set(QUESTION_TYPES)
        # Near-duplicates are dropped after the cap.
        assert all(0.6 * PER_TYPE * share <= n <= PER_TYPE * share for n in counts.values())


def test_no_group_and_no_pair_stands_on_two_sides(pairs):
    for key in (
        lambda pair: pair.group,
        lambda pair: (folded(pair.question), folded(pair.answer)),
        lambda pair: folded(pair.answer),
    ):
        sides: dict[object, set[str]] = {}
        for name, pair in pairs:
            sides.setdefault(key(pair), set()).add(name)
        assert [value for value, names in sides.items() if len(names) > 1] == []


def test_every_group_stands_where_the_hash_puts_it(pairs):
    assert all(assign_split(pair.group, 42, 0.1, 0.1) == name for name, pair in pairs)


def test_no_answer_quotes_another_sides_article(pairs, statutes):
    """Worked out anew: any thirteen words in a row, or a whole provision of eight or more, that
    stand in articles of other sides only."""
    where: dict[str, set[str]] = {}
    for statute in statutes:
        for article in statute.articles:
            name = f"{statute.name.replace(' ', '').replace('ㆍ', '·')} {article.label}"
            side = assign_split(name, 42, 0.1, 0.1)
            for line in [render_article(article), *render_article(article).split("\n")]:
                words = line.split()
                size = min(13, len(words))
                for start in range(len(words) - size + 1) if size >= 8 else ():
                    run = " ".join(words[start : start + size])
                    where.setdefault(run, set()).add(side)
    leaks = []
    for name, pair in pairs:
        words = pair.answer.split()
        for size in range(8, 14):
            for start in range(len(words) - size + 1):
                sides = where.get(" ".join(words[start : start + size]))
                if sides and name not in sides:
                    leaks.append((pair.id, " ".join(words[start : start + size])))
    assert leaks == []


def without_amendments(text: str) -> str:
    """Answers leave out the dates of the amendments that made a statute a former one."""
    dated = r"\d{4}\. \d+\. \d+\. [^()]*?제\d+호로 [^(),]*?전의 것(?:을 말한다)?(?:, )?"
    undated = re.sub(r"\((?:\. )?(?:이하 같다)?\)", "", re.sub(dated, "", folded(text)))
    return re.sub(r"(구 [가-힣ㆍ· ]+) ?\(이하 ‘\1’이라 한다\)", r"\1", undated)


def test_quoted_law_and_holdings_stand_in_the_sources(pairs, statutes):
    """Nothing is invented: what an answer says is in the source's own text."""
    corpus = {path.stem: path.read_text(encoding="utf-8") for path in CORPUS.rglob("*.md")}
    laws = {f"{s.name} {a.label}": folded(render_article(a)) for s in statutes for a in s.articles}
    seen = Counter()
    for _, pair in pairs:
        text, where = folded(pair.answer), f"{pair.source.law} {pair.source.article}"
        if pair.source.kind == "statute":
            text = text.removesuffix(f" ({where})")
            if pair.type == "law_application":
                cited, _, text = text.partition("에 따라 ")
                assert cited.startswith(where), pair.id
            assert text in laws[where], pair.id
        else:
            for lead in ("참조하여", "변경하여"):
                text = text.removeprefix(f"이 판례를 {lead} 다음과 같이 판단하였습니다. ")
            text = text.partition("에 따라 판단하면 ")[2] or text
            held = without_amendments(corpus[pair.group])
            text = re.sub(r" \((?:[가-힣·]+ )+제\d+조(?:의\d+)?(?: 제\d+항)?\)$", "", text)
            assert text.rstrip(".") in held, pair.id
        seen[pair.type, pair.source.kind] += 1
    assert len(seen) == 6  # application from statutes and from decisions
    assert min(seen.values()) > 5


def test_impacts_are_of_earlier_decisions_that_the_later_one_cites(pairs):
    corpus = {path.stem: path.read_text(encoding="utf-8") for path in CORPUS.rglob("*.md")}
    for _, pair in pairs:
        if pair.type == "precedent_impact":
            earlier, later = pair.citations
            assert earlier in pair.question and later in pair.question
            assert pair.group in later
            number = re.search(r"(?:선고|\d\.자) (\S+?)[, ]", earlier)[1]
            assert number in corpus[pair.group].split("## 참조판례")[1], pair.id
            assert re.search(r"\d{4}", earlier)[0] <= re.search(r"\d{4}", later)[0]


def test_no_answer_is_mostly_its_question(pairs):
    for _, pair in pairs:
        letters = folded(pair.answer).replace(" ", "")
        asked = folded(pair.question).replace(" ", "")
        runs = {letters[i : i + 2] for i in range(len(letters) - 1)}
        assert sum(run in asked for run in runs) <= 0.4 * len(runs), pair.id


def test_a_question_names_its_subject_and_not_a_bare_number(pairs, statutes):
    titles = {f"{s.name} {a.label}": a.title for s in statutes for a in s.articles}
    for _, pair in pairs:
        if pair.type == "law_explanation":
            assert titles[f"{pair.source.law} {pair.source.article}"] in pair.question
        elif pair.type == "law_application":
            # What the answer is about: the provision is for the answer to name.
            assert not re.search(r"(?<!」 )제\d+조", pair.question), pair.id


def test_citizens_ask_without_naming_an_article(pairs):
    asked = [p for _, p in pairs if re.search(r"나요\?|어요|까요\?|주세요|해요", p.question)]
    assert {pair.type for pair in asked} == set(QUESTION_TYPES)
    unnamed = [pair for pair in asked if not re.search(r"제\d+조", pair.question)]
    assert len(unnamed) > 0.2 * len(pairs)


def test_no_question_tells_the_outcome(pairs):
    verdict = re.compile(r"[(\[][^()\[\]]*(?:적극|소극)(?!적|재산)|\(\s*=|사례[.)]?$")
    assert [pair.question for _, pair in pairs if verdict.search(pair.question)] == []


def test_ids_dates_citations_and_texts(pairs):
    ids = [pair.id for _, pair in pairs]
    assert len(set(ids)) == len(ids)
    for _, pair in pairs:
        assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", pair.source.date), pair.id
        assert pair.citations and pair.group
        assert 8 <= count_tokens(pair.answer) <= 320
        assert count_tokens(pair.question) <= 160
        assert "\0" not in pair.question + pair.answer
        assert not re.search(r"[{}]|<br|\*\*|[①-⑳]", pair.question + pair.answer), pair.id


def test_distractors_are_fair(built):
    answers = {folded(p.answer): name for name in SPLITS for p in built.splits[name]}
    for name in ("validation", "test"):
        asked = [pair for pair in built.splits[name] if pair.distractors]
        assert len(asked) > 0.7 * len(built.splits[name])
        for pair in asked:
            choices = {folded(text) for text in (pair.answer, *pair.distractors)}
            assert len(choices) == 5
            assert not any(answers.get(choice) == "train" for choice in choices)
            for text in pair.distractors:
                assert 0.5 <= len(text) / len(pair.answer) <= 1.5
    assert not any(pair.distractors for pair in built.splits["train"])


def test_every_candidate_is_accounted_for(built):
    statistics = built.statistics
    kept = sum(len(pairs) for pairs in built.splits.values())
    dropped = len(statistics["near_duplicates_dropped"])
    lost = sum(statistics["rejected"].values()) + statistics["over_per_type"] + dropped
    assert statistics["considered"] == kept + lost
    assert statistics["sources"]["read"] == {"Case": 700, "Statute": 28}
    assert sum(split["pairs"] for split in statistics["splits"].values()) == kept
    assert statistics["dates"]["first"] < "2000" < statistics["dates"]["last"]


def test_without_a_cap_nothing_is_left_unexamined():
    config = BuildConfig(per_type=None)
    whole = build([str(CORPUS / "statutes" / "약관의 규제에 관한 법률.md")], config, count_tokens)
    kept = sum(len(pairs) for pairs in whole.splits.values())
    assert whole.statistics["over_per_type"] == 0
    rejected = sum(whole.statistics["rejected"].values())
    dropped = len(whole.statistics["near_duplicates_dropped"])
    assert whole.statistics["considered"] == kept + rejected + dropped


def test_a_full_disk_is_told(built, tmp_path, monkeypatch):
    def fill_up(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lawtune.data.build.write_json", fill_up)
    with pytest.raises(UserError, match="no space left on the disk of .*give the command again"):
        write_built(built, tmp_path)


def test_what_is_written(built, tmp_path):
    write_built(built, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "DATA_CARD.md",
        "statistics.json",
        "test.jsonl",
        "train.jsonl",
        "validation.jsonl",
    ]
    for name in SPLITS:
        assert read_qa(tmp_path / f"{name}.jsonl") == list(built.splits[name])
    statistics = json.loads((tmp_path / "statistics.json").read_text(encoding="utf-8"))
    card = (tmp_path / "DATA_CARD.md").read_text(encoding="utf-8")
    for reason, count in statistics["rejected"].items():
        assert f"- {reason}: {count}" in card
    for name in QUESTION_TYPES.values():
        assert name in card


SOURCE = CORPUS / "statutes" / "이자제한법.md"


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_same_files_whatever_the_hash_seed(tmp_path, hash_seed):
    """Byte for byte, against this process, whose own seed is random."""
    code = (
        "import sys; from pathlib import Path; from lawtune.config import BuildConfig\n"
        "from lawtune.data.build import build, write_built\n"
        "config = BuildConfig(per_type=40)\n"
        "write_built(build(sys.argv[1:3], config, lambda t: len(t) // 3), Path(sys.argv[3]))\n"
    )
    sources = small_corpus(tmp_path / "cases")
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", code, *sources, str(tmp_path / "theirs")]
    subprocess.run(command, env=environment, check=True, timeout=120)
    write_built(build(sources, BuildConfig(per_type=40), count_tokens), tmp_path / "mine")
    names = [path.name for path in (tmp_path / "mine").iterdir()]
    assert len(names) == 5
    for name in names:
        mine, theirs = ((tmp_path / side / name).read_bytes() for side in ("mine", "theirs"))
        assert mine == theirs, name


def small_corpus(folder: Path) -> list[str]:
    folder.mkdir()
    for path in sorted((CORPUS / "decisions").iterdir())[::7]:
        (folder / path.name).write_bytes(path.read_bytes())
    return [str(CORPUS / "statutes" / "민법.md"), str(folder)]


def test_a_new_document_moves_no_old_one(tmp_path):
    small = build([str(SOURCE)], BuildConfig(), count_tokens)
    larger = build([str(SOURCE), *small_corpus(tmp_path / "cases")], BuildConfig(), count_tokens)
    side = {pair.id: name for name in SPLITS for pair in larger.splits[name]}
    for name in SPLITS:
        assert all(side.get(pair.id, name) == name for pair in small.splits[name])


def test_a_source_read_twice_changes_nothing_and_is_counted():
    once = build([str(SOURCE)], BuildConfig(), count_tokens)
    twice = build([str(SOURCE), str(SOURCE)], BuildConfig(), count_tokens)
    assert twice.splits == once.splits
    reason = "statute or decision read before under this name"
    assert twice.statistics["sources"]["skipped"] == {reason: 1}


LOWER = """---
사건번호: {number}
법원: {court}
선고일자: {date}
---

## 판시사항

{matter}의 반환을 구하는 소의 소멸시효가 진행하는 때

## 판결요지

{matter}은 이를 지급한 날부터 소멸시효가 진행하고, 당사자가 그 사실을 안 때를 묻지 아니한다.
"""


def test_two_courts_may_use_one_number(tmp_path):
    """All are asked about, on one side; the same decision under another spelling is read once. A
    court's seat elsewhere counts for itself."""
    for name, number, court, date, matter in (
        ("a", "2020나100", "서울고등법원", "2021-01-05", "보증금"),
        ("b", "2020나100", "부산고등법원", "2022-03-04", "매매대금"),
        ("c", "2020나100", "서울고법", "2021-01-05", "보증금"),
        ("d", "(창원)2020나100", "부산고등법원", "2021-09-09", "도급대금"),
        ("e", "2020나100", "부산고등법원(창원)", "2021-09-09", "도급대금"),
    ):
        text = LOWER.format(number=f"'{number}'", court=court, date=date, matter=matter)
        (tmp_path / f"{name}.md").write_text(text, encoding="utf-8")
    built = build([str(tmp_path)], BuildConfig(), count_tokens)
    pairs = [pair for name in SPLITS for pair in built.splits[name]]
    assert [pair.citations for pair in pairs] == [
        ("서울고등법원 2021. 1. 5. 선고 2020나100 판결",),
        ("부산고등법원 2022. 3. 4. 선고 2020나100 판결",),
        ("부산고등법원 2021. 9. 9. 선고 (창원)2020나100 판결",),
    ]
    assert {pair.group for pair in pairs} == {"2020나100"}
    reason = "statute or decision read before under this name"
    assert built.statistics["sources"]["skipped"] == {reason: 2}


QA = [
    {
        "question": f"질문 {i}번은 무엇입니까?",
        "answer": f"{i}번에 대한 답은 {'가나다라'[i % 4] * 30}입니다.",
    }
    for i in range(40)
]


def test_questions_of_a_users_own(tmp_path):
    rows = [dict(row, id=str(i), group=f"g{i}") for i, row in enumerate(QA)]
    rows[0]["answer"] = "담당자는 홍길동이고 연락처는 010-1234-5678로 등록되어 있습니다."
    rows[1]["context"] = "주민등록번호 880101-1234567"
    jsonl, table = tmp_path / "a.jsonl", tmp_path / "b.csv"
    jsonl.write_text("\n".join(json.dumps(row) for row in [*rows, rows[3]]), encoding="utf-8")
    # The same ids again, other questions: the second file also counts from 0.
    lines = [
        f"{i},다른 물음 {i}입니까?,{i}번째 다른 답은 {'마바사아'[i % 4] * 30}입니다."
        for i in range(40)
    ]
    table.write_text("\n".join(["id,question,answer", *lines]), encoding="utf-8")
    built = build([str(jsonl), str(table)], BuildConfig(near_duplicate=0.999), count_tokens)
    pairs = [pair for name in SPLITS for pair in built.splits[name]]
    assert len({pair.id for pair in pairs}) == len(pairs) == 80
    for name in SPLITS:
        for pair in built.splits[name]:
            assert assign_split(pair.group or pair.id, 42, 0.1, 0.1) == name
    assert built.statistics["rejected"] == {"general: identical pair": 1}
    assert built.statistics["personal_data_masked"] == {"phone": 1, "resident_number": 1}
    whole = json.dumps([pair.to_json() for pair in pairs], ensure_ascii=False)
    assert "[전화번호]" in whole and "[주민등록번호]" in whole
    assert "1234-5678" not in whole and "1234567" not in whole


def test_wrong_answers_of_a_users_own_are_kept_and_masked(tmp_path):
    rows = [dict(row, distractors=[f"{i}번의 오답", "010-1234-5678"]) for i, row in enumerate(QA)]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    built = build([str(path)], BuildConfig(near_duplicate=0.999), count_tokens)
    for name in SPLITS:
        assert built.splits[name]
        for pair in built.splits[name]:
            number = re.search(r"\d+", pair.question)[0]
            assert pair.distractors == (f"{number}번의 오답", "[전화번호]")
    assert built.statistics["personal_data_masked"] == {"phone": 40}


def test_sources_that_give_nothing(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        build([str(tmp_path / "gone.jsonl")], BuildConfig(), count_tokens)
    short = tmp_path / "short.jsonl"
    short.write_text('{"question": "가", "answer": "나"}')
    with pytest.raises(UserError, match="no question could be built"):
        build([str(short)], BuildConfig(), count_tokens)
    bare = tmp_path / "bare.md"
    bare.write_text("# 시험법\n\n### 제1조(목적)\n이 법은 시험을 목적으로 한다.\n")
    with pytest.raises(UserError, match=r"no front matter \(1: .*bare\.md\)"):
        build([str(bare)], BuildConfig(), count_tokens)
    bad = tmp_path / "bad.csv"
    bad.write_text("question,answer\n가,\n")
    with pytest.raises(UserError, match=r"bad\.csv, line 2"):
        build([str(bad)], BuildConfig(), count_tokens)


def test_an_article_without_text_is_no_answer(tmp_path):
    path = tmp_path / "law.md"
    path.write_text(
        "---\n제목: 시험법\n법령구분: 법률\n시행일자: 2025-01-31\n---\n"
        "### 제1조(빈 조)\n\n### 제2조(지운 항)\n① 삭제 <2012.2.10>\n"
        "### 제3조(신고의 방법)\n신고는 서면이나 구술로 하며 그 비용은 국가가 부담한다.\n",
        encoding="utf-8",
    )
    built = build([str(path)], BuildConfig(), count_tokens)
    assert sum(len(pairs) for pairs in built.splits.values()) == 1
    assert built.statistics["rejected"] == {"law_explanation: article without text": 2}
