"""Whether a model has read the test's answers: told when it has, silent when it has not."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from shipped import corpus_test_pairs

from lawtune.cli import main
from lawtune.config import CorpusConfig
from lawtune.data.corpus import CorpusReport, build_documents
from lawtune.data.ngram_filter import FILTER_FILE, NgramFilter, write_ngram_filter
from lawtune.data.ngrams import RunSet, hash_runs, words_of
from lawtune.data.sources import ReadReport, read_source
from lawtune.data.split import assign_split, case_group
from lawtune.eval.contamination import check_answers, contamination, known_text, statute_runs
from lawtune.eval.stats import Bootstrap
from lawtune.records import Case, QAPair
from lawtune.starter import CORPUS

NO_STATUTE = RunSet([])


def prose(name: str, words: int) -> str:
    return " ".join(f"{name}{number}" for number in range(words))


def pair(answer: str, id: str = "a") -> QAPair:
    return QAPair(id=id, question="무엇인가요?", answer=answer)


def check(answer: str, *texts: str):
    return check_answers([pair(answer)], {"training": [NgramFilter.of(texts)]}, NO_STATUTE)


# --- what counts --------------------------------------------------------------------------------


def test_half_of_the_runs_is_contamination_and_less_is_not():
    answer = prose("답", 32)  # 20 runs
    for copied, expected in ((12, 0), (13, 1), (21, 9), (22, 10), (32, 20)):
        text = " ".join(answer.split()[:copied])
        found = check(answer, f"앞말 {text} 뒷말")
        assert found.judged == 1
        assert bool(found.shares) == (expected >= 10)
        if found.shares:
            assert found.shares[0]["share"] == found.shares[0]["training"] == expected / 20


def test_phrases_that_everybody_uses_are_none():
    """A set phrase of 20 words in an answer of 60: eight 13-word runs of 48."""
    phrase = prose("상용구", 20)
    answer = f"{prose('앞', 20)} {phrase} {prose('뒤', 20)}"
    assert check(answer, *(f"{prose(f'글{n}', 30)} {phrase}" for n in range(50))).shares == {}


def test_spelling_does_not_hide_a_copy():
    answer = prose("답", 40)
    assert check(answer, answer.replace(" ", ",\n")).shares
    assert check(answer, f"「{answer}」").shares


def test_quotations_of_statutes_are_left_out():
    article = prose("조문", 40)
    own = prose("설명", 28)
    statutes = RunSet([hash_runs(words_of(article))])
    filters = {"training": [NgramFilter.of([article])]}
    (quoted, both) = [pair(article, "q"), pair(f"{article} {own}", "b")]
    found = check_answers([quoted, both], filters, statutes)
    # Nothing is left of the one to judge, and of the other its own words, which are new.
    assert (found.n, found.judged, found.shares) == (2, 1, {})
    assert len(check_answers([quoted, both], filters, NO_STATUTE).shares) == 2
    copied = {"training": [NgramFilter.of([own])]}
    # Its own 16 runs, of those and the 12 that straddle the quotation's end.
    assert check_answers([both], copied, statutes).shares[0]["share"] == round(16 / 28, 4)


def test_an_answer_of_hardly_any_runs_is_not_judged():
    for words, judged in ((5, 0), (14, 0), (15, 1)):
        answer = prose("답", words)
        found = check(answer, answer)
        assert (found.judged, len(found.shares)) == (judged, judged)
        assert found.share == (1.0 if judged else None)


def test_texts_count_together_and_each_is_told():
    answer = prose("답", 32)
    words = answer.split()
    filters = {
        "training": [NgramFilter.of([" ".join(words[:18])])],
        "pretraining": [NgramFilter.of([" ".join(words[10:27])]), NgramFilter.of(["다른 글"])],
    }
    found = check_answers([pair(answer)], filters, NO_STATUTE)
    # Runs 0–5 in the one, 10–14 in the other: eleven of twenty.
    assert found.shares == {0: {"share": 0.55, "training": 0.3, "pretraining": 0.25}}
    assert found.to_json([pair(answer)])["answers"][0]["id"] == "a"


def test_a_sparse_filter_is_asked_only_what_it_can_know():
    texts = [prose(f"글{n}", 400) for n in range(40)]
    sparse = NgramFilter.of(texts, max_runs=4_000)
    assert sparse.every == 4
    pairs = [pair(texts[0], "copied"), pair(prose("새", 400), "new")]
    dense = NgramFilter.of(["무관한 글"])
    found = check_answers(pairs, {"training": [dense], "pretraining": [sparse]}, NO_STATUTE)
    assert found.judged == 2
    assert list(found.shares) == [0] and found.shares[0]["pretraining"] == 1.0


def test_clean_answers_are_hardly_ever_accused():
    """By the binomial distribution at the filter's 2.2 %, no length of answer is accused more often
    than six runs, three of which must err: 2 in 10,000."""
    known = NgramFilter.of([prose("읽은", 60_000)])
    pairs = [pair(prose(f"새{n}말", 18), str(n)) for n in range(4_000)]
    found = check_answers(pairs, {"pretraining": [known]}, NO_STATUTE)
    assert found.judged == 4_000
    assert len(found.shares) <= 6  # 0.8 expected


# --- what is known ------------------------------------------------------------------------------


def test_what_nobody_recorded_is_unknown_and_never_clean(tmp_path: Path):
    for name in ("adapter", "base"):
        (tmp_path / name).mkdir()
    folders = {"adapter": tmp_path / "adapter", "base": tmp_path / "base"}
    answers = [pair(prose("답", 40))]
    nobody = contamination(answers, known_text(folders), {}, Bootstrap(10, 0))
    assert nobody == {"checked": [], "unknown": ["training", "pretraining"]}
    write_ngram_filter([prose("답", 40)], tmp_path / "adapter" / FILTER_FILE)
    found = check_answers(answers, known_text(folders), NO_STATUTE)
    assert (found.checked, found.unknown) == (["training"], ["pretraining"])
    assert found.shares[0] == {"share": 1.0, "training": 1.0}


def test_the_starters_statutes_are_known_by_the_words_that_answers_quote():
    runs = statute_runs()
    quoted = (
        "고의 또는 과실로 인한 위법행위로 타인에게 손해를 가한 자는 그 손해를 배상할 책임이 있다"
    )
    assert runs.contains(hash_runs(words_of(quoted))).all()
    assert len(runs) > 100_000


# --- the exclusion list -------------------------------------------------------------------------


def decisions() -> list[Case]:
    """Made-up decisions of 60 random words each, every one of its own."""
    rng = np.random.default_rng(0)
    cases = []
    for number in range(60):
        summary = " ".join(f"말{word}" for word in rng.integers(10**6, size=60))
        cases.append(
            Case(
                number=f"2001다{number + 1}",
                court="대법원",
                date="2001-01-01",
                title="손해배상",
                kind="판결",
                holdings={},
                summaries={"": summary},
            )
        )
    return cases


@pytest.mark.parametrize("excluded", [True, False])
def test_without_the_exclusion_list_the_check_fails(excluded: bool, tmp_path: Path):
    """The documents of test groups are kept out of pre-training; were they not, every answer that
    is made of them would be found."""
    config = CorpusConfig()
    cases = decisions()
    shares = (config.seed, config.validation_share, config.test_share)
    held_out = [case for case in cases if assign_split(case_group(case), *shares) == "test"]
    pairs = [pair(case.summaries[""], case.number) for case in held_out]
    assert len(pairs) >= 3

    if not excluded:
        config = replace(config, validation_share=0.0, test_share=0.0)
    documents = build_documents(lambda: cases, config, CorpusReport())
    training = (document.text for document in documents if document.split == "train")
    write_ngram_filter(training, tmp_path / FILTER_FILE)

    found = check_answers(pairs, known_text({"base": tmp_path}), NO_STATUTE)
    assert found.judged == len(pairs)
    assert found.share == (0.0 if excluded else 1.0)


# --- from end to end ----------------------------------------------------------------------------


@pytest.mark.slow
def test_a_report_tells_of_the_answers_that_an_adapter_was_tuned_on(tmp_path: Path, gpt2_base):
    """Two of four test answers were in the training data; the base left no word of its text."""
    rows = [
        {"id": name, "question": f"{name}은 무엇인가?", "answer": prose(name, 20), "group": name}
        for name in ("가", "나", "다", "라")
    ]
    statute = (
        "고의 또는 과실로 인한 위법행위로 타인에게 손해를 가한 자는 그 손해를 배상할 책임이 있다"
    )
    rows.append({"id": "마", "question": "민법 제750조는?", "answer": statute, "group": "마"})
    train, test = tmp_path / "train.jsonl", tmp_path / "test.jsonl"
    for path, some in ((train, [*rows[:2], rows[4]]), (test, rows)):
        lines = (json.dumps(row, ensure_ascii=False) for row in some)
        path.write_text("\n".join(lines), "utf-8")
    model = tmp_path / "model"
    words = ["--base", str(gpt2_base), "--data.train", str(train), "--out", str(model)]
    limits = ["--data.max_length", "128", "--train.epochs", "1"]
    assert main(["finetune", *words, *limits]) == 0
    words = ["--model", str(model), "--data", str(test), "--out", str(tmp_path / "out")]
    assert main(["evaluate", *words, "--max_new_tokens", "2", "--bootstrap", "20"]) == 0

    report = json.loads((tmp_path / "out" / "evaluation_report.json").read_text("utf-8"))
    account = report["contamination"]
    # The statute's wording is everybody's: it is not judged.
    assert [one["id"] for one in account["answers"]] == ["가", "나"]
    assert (account["judged"], account["share"]) == (4, 0.5)
    assert (account["checked"], account["unknown"]) == (["training"], ["pretraining"])
    assert account["without"]["n"] == 3
    assert account["without"]["metrics"]["bits_per_byte"]["n"] == 3
    told = "판정한 정답 4개 가운데 2개를 모델이 미리 읽었습니다"
    for name in ("report.html", "evaluation_summary.txt"):
        text = " ".join((tmp_path / "out" / name).read_text("utf-8").split())
        assert told in text and "모르는 글: 기준 모델의 사전학습 글" in text


@pytest.mark.slow
def test_the_shipped_test_answers_are_mostly_new_because_of_the_exclusion():
    """Courts repeat themselves, so some answers stand in other decisions; without the exclusion
    nearly all would."""
    pairs, statutes = corpus_test_pairs(), statute_runs()
    records = list(read_source(CORPUS, ReadReport()))
    documents = list(build_documents(lambda: records, CorpusConfig(), CorpusReport()))
    prose = [document for document in documents if document.source != "statute"]

    def share(texts) -> float:
        return check_answers(pairs, {"pretraining": [NgramFilter.of(texts)]}, statutes).share

    assert share(document.text for document in prose if document.split == "train") < 0.1
    assert share(document.text for document in prose) > 0.7
