"""`lawtune score`: what must hold of answers whose worth is known, and files that are not right."""

import json
import random
import re
import subprocess
import sys
import unicodedata
from collections import defaultdict
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from shipped import corpus_test_pairs

from lawtune.cli import main
from lawtune.config import EvaluateConfig, ScoreConfig
from lawtune.errors import UserError
from lawtune.eval.ask import Answer
from lawtune.eval.evaluate import evaluate
from lawtune.eval.report import write_reports
from lawtune.eval.score import LONGEST_ANSWER, Predictions, read_predictions, score
from lawtune.starter import QA

DATA = QA / "test.jsonl"
PAIRS = corpus_test_pairs()[::2]

SIMILARITIES = {"chrf": 100, "bleu": 100, "bleu_morpheme": 100}
SIMILARITIES |= dict.fromkeys(("rouge1", "rouge2", "rougeL"), 1)
SIMILARITIES |= dict.fromkeys(("keyword_coverage", "legal_relevance"), 1)
"""Each with its maximum."""


@cache
def scored(kind):
    """The report of answers made by a rule from the gold ones; half of the corpus's test set."""
    texts = {pair.id: RULES[kind](pair) for pair in PAIRS}
    return score(PAIRS, predictions_of(texts), ScoreConfig(bootstrap=300)).to_json()


def predictions_of(texts):
    return Predictions(texts, (), ())


def shuffle():
    """Each question's answer by another of its type."""
    kinds = defaultdict(list)
    for pair in PAIRS:
        kinds[pair.type].append(pair)
    generator, found = random.Random(0), {}
    for pairs in kinds.values():
        answers = [pair.answer for pair in pairs]
        turn = generator.randrange(1, len(pairs))
        found |= zip((p.id for p in pairs), answers[turn:] + answers[:turn], strict=True)
    return found


def random_hangul(pair):
    generator = random.Random(pair.id)
    return "".join(
        " " if generator.random() < 0.2 else chr(generator.randrange(0xAC00, 0xD7A4))
        for _ in pair.answer
    )


def without_articles(pair):
    """Every article's number changed to one that no statute has (the longest has 1,118)."""

    def change(found):
        return f"제{int(found[1]) + 5000}조"

    return re.sub(r"제(\d+)조(?:의\d+)?", change, pair.answer)


def full_width(text):
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


SHUFFLED = shuffle()
RULES = {
    "gold": lambda pair: pair.answer,
    "empty": lambda pair: "",
    "question": lambda pair: pair.question,
    "shuffled": lambda pair: SHUFFLED[pair.id],
    "random": random_hangul,
    "no such article": without_articles,
    "nfd": lambda pair: unicodedata.normalize("NFD", without_articles(pair)),
    "crlf": lambda pair: without_articles(pair).replace("\n", "\r\n"),
    "full width": lambda pair: full_width(without_articles(pair)),
}


def value(kind, name):
    return scored(kind)["metrics"][name]["value"]


@pytest.mark.parametrize(("name", "highest"), SIMILARITIES.items())
def test_the_gold_answers_score_the_maximum_and_none_at_all_the_minimum(name, highest):
    assert value("gold", name) == pytest.approx(highest)
    assert value("empty", name) == 0


def test_an_empty_answer_leaves_shares_undefined():
    for name in ("citation_verified", "citation_absent", "legal_term_rate", "repetition"):
        assert value("empty", name) is None
    assert value("empty", "response_length") == value("empty", "citation_f1") == 0


@pytest.mark.parametrize("name", ["keyword_coverage", "legal_relevance", "citation_f1"])
def test_repeating_the_question_earns_nothing(name):
    assert value("question", name) <= 0.05


@pytest.mark.parametrize("name", [*SIMILARITIES, "citation_f1"])
def test_answers_to_other_questions_of_the_type_fall_far_below(name):
    gold, shuffled = (scored(kind)["metrics"][name] for kind in ("gold", "shuffled"))
    assert shuffled["ci95"][1] < gold["ci95"][0]
    assert shuffled["value"] < gold["value"] / 2


@pytest.mark.parametrize(("name", "highest"), SIMILARITIES.items())
def test_random_hangul_scores_near_nothing(name, highest):
    assert value("random", name) < 0.01 * highest


def test_articles_that_do_not_exist_are_what_the_checker_is_for():
    changed, gold = (scored(kind)["metrics"] for kind in ("no such article", "gold"))
    for name, highest in SIMILARITIES.items():
        if name != "legal_relevance":  # provisions are half of what it is about
            assert changed[name]["value"] > 0.85 * highest, name
    assert gold["citation_absent"]["value"] == 0
    assert changed["citation_absent"]["ci95"][0] > 0.35
    assert gold["citation_f1"]["articles"] > 0.5
    assert changed["citation_f1"]["articles"] == 0
    # Where articles are all that is asked for, nothing is left.
    kinds = {kind: scored(kind)["by_question_type"] for kind in ("no such article", "gold")}
    for type_ in ("law_application", "law_explanation"):
        before, after = (kinds[kind][type_]["metrics"] for kind in ("gold", "no such article"))
        assert before["citation_f1"]["value"] > 0.7
        assert after["citation_f1"]["value"] == 0


@pytest.mark.parametrize("twin", ["nfd", "crlf", "full width"])
def test_twins_in_another_encoding_score_the_same(twin):
    assert scored(twin)["metrics"] == scored("no such article")["metrics"]
    assert scored(twin)["signature"] == scored("no such article")["signature"]


@pytest.mark.parametrize(
    "twin",
    [
        lambda text: unicodedata.normalize("NFD", text),
        lambda text: text.replace("\n", "\r\n"),
        full_width,
    ],
    ids=["nfd", "crlf", "full width"],
)
def test_data_in_another_encoding_scores_the_same(twin):
    pairs = PAIRS[::7]
    twins = [
        replace(
            pair,
            question=twin(pair.question),
            answer=twin(pair.answer),
            citations=tuple(map(twin, pair.citations)),
        )
        for pair in pairs
    ]
    answers = predictions_of({pair.id: SHUFFLED[pair.id] + pair.answer[:40] for pair in pairs})
    config = ScoreConfig(bootstrap=50)
    assert score(twins, answers, config).metrics == score(pairs, answers, config).metrics


class Parrot:
    """A model that says what it is told to."""

    name, has_adapter = "parrot", False

    def __init__(self, texts):
        self.texts = texts

    def render(self, question, type, context):
        return question

    def log_likelihoods(self, prompts, answers):
        return [-1.0] * len(prompts)

    def overflow(self, prompt, answers, max_new_tokens=0):
        return 0

    def unknown_bytes(self, texts):
        return [0] * len(texts)

    def generate(self, prompts, max_new_tokens, batch_size):
        return [Answer(self.texts[prompt], 1, True) for prompt in prompts]


def test_score_and_evaluate_agree_on_the_same_answers(tmp_path):
    pairs = PAIRS[::10]
    model = Parrot({pair.question: SHUFFLED[pair.id] for pair in pairs})
    evaluation = evaluate(model, pairs, EvaluateConfig(bootstrap=50), pool=PAIRS)
    write_reports(evaluation, tmp_path)
    again = score(
        pairs, read_predictions(tmp_path / "predictions.jsonl", pairs), ScoreConfig(bootstrap=50)
    )
    for name, entry in again.metrics.items():
        if name != "stopped":
            assert entry == evaluation.metrics[name], name
    assert evaluation.metrics["stopped"]["value"] == 1
    assert again.metrics["stopped"]["value"] is None


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def data(tmp_path):
    rows = [
        {"id": "a", "question": "물음 하나", "answer": "민법 제750조에 따른 배상"},
        {"id": "b", "question": "물음 둘", "answer": "형법 제347조에 따른 처벌"},
        {"id": "c", "question": "물음 셋", "answer": "상법 제382조에 따른 선임"},
    ]
    return write(tmp_path / "data.jsonl", rows)


def run(data, rows, *more):
    """`lawtune score` on predictions; its status and its report, if there is one."""
    predictions = write(data.with_name("answers.jsonl"), rows)
    line = ["score", "--data", data, "--predictions", predictions, "--bootstrap", 20, *more]
    status = main(list(map(str, line)))
    report = data.parent / "score" / "evaluation_report.json"
    return status, json.loads(report.read_text("utf-8")) if report.is_file() else None


def test_unknown_and_missing_ids_are_counted_and_listed(data, capsys):
    status, report = run(data, [{"id": "a", "prediction": "배상"}, {"id": "z", "prediction": "가"}])
    assert status == 0
    assert report["run"]["missing"] == ["b", "c"]
    assert report["run"]["unknown_ids"] == ["z"]
    assert report["n"] == report["metrics"]["chrf"]["n"] == 3
    said = capsys.readouterr().err
    assert "2 records without a prediction, scored as empty: b, c" in said
    assert "1 predictions for ids that the data lacks, left out: z" in said
    lines = (data.parent / "score" / "predictions.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["prediction"] for line in lines] == ["배상", "", ""]


def test_a_very_long_answer_is_cut_and_listed(data):
    rows = [{"id": name, "prediction": "배상 " * 33_334} for name in ("a", "b")]
    status, report = run(data, [*rows, {"id": "c", "prediction": "선임"}])
    assert status == 0
    assert report["run"]["answers_cut"] == ["a", "b"]
    longest = LONGEST_ANSWER
    assert report["metrics"]["response_length"]["value"] == pytest.approx((2 * longest + 2) / 3)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"id": "a", "prediction": "가"}] * 2, "line 2: the id 'a' stands in line 1 already"),
        ([{"id": "z", "prediction": "가"}], "no prediction for any of the 3 records: it has 'z'"),
        ([], "no prediction for any of the 3 records"),
        ([{"id": "a"}], "line 1: a prediction needs a text under 'prediction'"),
        ([{"id": "a", "prediction": None}], "needs a text under 'prediction'"),
        ([{"prediction": "가"}], "line 1: a prediction needs the record's id under 'id'"),
        ([["a", "가"]], "line 1: expected a JSON object, found list"),
    ],
)
def test_a_file_that_is_no_predictions_is_refused_in_one_line(data, capsys, rows, message):
    assert run(data, rows) == (2, None)
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_predictions_are_not_written_over(data, capsys):
    rows = [{"id": "a", "prediction": "배상", "mine": 1}]
    own = write(data.with_name("predictions.jsonl"), rows)
    before = own.read_bytes()
    line = ["score", "--data", data, "--predictions", own, "--out", data.parent]
    assert main(list(map(str, line))) == 2
    assert "would be written over" in capsys.readouterr().err
    assert own.read_bytes() == before


def test_citations_are_checked_against_what_source_names(data, tmp_path):
    law = "---\n제목: 가나법\n---\n# 가나법\n\n##### 제1조 (목적)\n\n이 법은 목적을 정한다.\n"
    (tmp_path / "law").mkdir()
    (tmp_path / "law" / "가나법.md").write_text(law, encoding="utf-8")
    rows = [{"id": "a", "prediction": "가나법 제1조와 가나법 제9조, 민법 제750조"}]
    _, report = run(data, rows, "--source", tmp_path / "law")
    found = {
        name: report["metrics"][f"citation_{name}"]["value"] for name in ("verified", "absent")
    }
    assert found == pytest.approx({"verified": 1 / 3, "absent": 1 / 3})
    assert ", 1 statutes, 0 case numbers" in report["signature"]
    # The same in number, another in content.
    (tmp_path / "other").mkdir()
    changed = law.replace("제1조", "제2조")
    (tmp_path / "other" / "가나법.md").write_text(changed, encoding="utf-8")
    _, other = run(data, rows, "--source", tmp_path / "other")
    assert other["metrics"]["citation_verified"]["value"] == 0
    assert other["signature"] != report["signature"]
    _, starter = run(data, rows)
    assert starter["metrics"]["citation_verified"]["value"] == pytest.approx(1 / 3)
    assert starter["signature"] != report["signature"]


def test_two_records_of_one_id_are_refused():
    pair = PAIRS[0]
    other = type(pair)(question="다른 물음", answer="다른 답", id=pair.id)
    with pytest.raises(UserError, match="two different records"):
        score([pair, other], predictions_of({pair.id: "가"}), ScoreConfig(bootstrap=10))


def test_personal_data_is_masked_as_in_a_models_answers(data):
    number = "900101-1234567"
    run(data, [{"id": "a", "prediction": f"주민등록번호 {number}"}])
    for file in Path(data.parent / "score").iterdir():
        assert number not in file.read_text("utf-8")


def test_no_model_is_needed(data):
    answers = write(data.with_name("answers.jsonl"), [{"id": "a", "prediction": "배상"}])
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['transformers'] = None\n"
        "from lawtune.cli import main\n"
        f"sys.exit(main(['score', '--data', {str(data)!r}, '--predictions', {str(answers)!r},"
        " '--bootstrap', '20']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stderr
