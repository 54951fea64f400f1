import json
import math
import re
import shlex
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import pytest
from rich.cells import cell_len

from lawtune.cli import build_parser, parse
from lawtune.config import QUESTION_TYPES, EvaluateConfig, ScoreConfig
from lawtune.errors import UserError
from lawtune.eval.evaluation import Evaluation, refuse_ambiguous_ids
from lawtune.eval.groups import grouped
from lawtune.eval.metrics import METRICS
from lawtune.eval.report import format_summary, format_table, plain, write_reports
from lawtune.eval.score import read_predictions
from lawtune.eval.texts import LANGUAGES
from lawtune.options import load_config, to_dict
from lawtune.records import QAPair

CURVE = [{"step": 1, "loss": 4.0}, {"step": 2, "loss": 3.0}, {"step": 2, "validation_loss": 3.5}]
HOSTILE = "<script>alert('물음')</script><img src=x onerror=alert(1)> &amp; {{ 1 + 1 }}"


def figure(value, base=None, half=0.01, n=200):
    delta = None if base is None else value - base
    return {
        "value": value,
        "n": n,
        "groups": n,
        "ci95": [value - half, value + half],
        "base": base,
        "base_ci95": None if base is None else [base - half, base + half],
        "delta": delta,
        "delta_ci95": None if delta is None else [delta - half, delta + half],
    }


def make_metrics(compared=True):
    values = {"bits_per_byte": (1.1, 1.3), "accuracy": (0.3, 0.25), "accuracy_raw": (0.2, 0.2)}
    values |= {"chrf": (20.0, 12.0), "bleu": (9.0, 5.0), "rougeL": (0.2, 0.1)}
    values |= {"response_length": (1234.5, 80.0)}
    metrics = {k: figure(v, b if compared else None) for k, (v, b) in values.items()}
    metrics["accuracy"] |= {"chance": 0.2, "word_overlap_baseline": 0.35}
    return metrics


def make_evaluation(compared=True, text="손해를 배상할 책임이 있다."):
    kinds = [*QUESTION_TYPES, "general"]
    sample = {"id": "a", "type": "law_explanation", "question": text, "gold": text}
    sample |= {"prediction": text, "base_prediction": "" if compared else None}
    return Evaluation(
        n=1200,
        signature="lawtune:0|seed:42; bleu = tok:char",
        metrics=make_metrics(compared),
        by_question_type={kind: {"n": 200, "metrics": make_metrics(compared)} for kind in kinds},
        samples=[sample],
        run={
            "model": text,
            "groups": 12,
            "generated": 100,
            "accuracy_excluded": [f"record {number}" for number in range(500)],
            "distractors_rechosen": 3,
            "created": "2026-01-02T03:04:05+00:00",
            "config": {"bootstrap": 2000},
        },
        predictions=[{"id": "a", "prediction": text}],
    )


def make_full_evaluation(compared=True, text="민법 제750조에 따라 손해를 배상한다."):
    """An evaluation with every part that a report can have."""
    calibrated = {
        "n": 60,
        "excluded": 0,
        "ece": figure(0.3, 0.4 if compared else None),
        "overconfidence": figure(-0.25, 0.1 if compared else None),
        "ece_if_calibrated": {"mean": 0.06, "q95": 0.11},
        "bins": [{"n": 30, "probability": 0.4, "right": 0.2, "ci95": [0.1, 0.3]}] * 2,
        "base_bins": [{"n": 60, "probability": 0.9, "right": 0.0, "ci95": [0.0, 0.1]}],
    }
    if not compared:
        calibrated["base_bins"] = None
    contaminated = {
        "n": 1200,
        "judged": 900,
        "contaminated": 9,
        "share": 0.01,
        "answers": [{"id": "a", "share": 0.75, "training": 0.75}],
        "checked": ["training"],
        "unknown": ["pretraining"],
        "without": {"n": 1191, "metrics": make_metrics(compared) | {"chrf": figure(17.5)}},
    }
    shown = {"id": "a", "type": None, "question": text, "gold": text, "prediction": text}
    shown |= {"base_prediction": text if compared else None, "stopped": False, "chrf": 12.3}
    cited = {"text": "민법 제750조", "kind": "statute", "law": "민법", "article": "제750조"}
    cited |= {"case": None, "status": "absent", "start": 0, "end": min(8, len(text))}
    shown["citations"] = {"prediction": [cited], "gold": [cited | {"status": "verified"}]}
    laws = ("민법", "정보통신망 이용촉진 및 정보보호 등에 관한 법률 시행령", "(other)", "(none)")
    evaluation = make_evaluation(compared, text)
    return replace(
        evaluation,
        samples=[shown],
        worst=[shown],
        by_law={law: {"n": 50, "metrics": make_metrics(compared)} for law in laws},
        calibration=calibrated,
        contamination=contaminated,
        run=evaluation.run
        | {"citation_index_as_of": "2026-05-26", "data": "테스트 자료.jsonl", "model": "모델"},
    )


class Tags(HTMLParser):
    """Collects tags and attributes, and insists that every element is closed in turn."""

    VOID = ("meta", "br", "img", "link", "input")

    def __init__(self, page):
        super().__init__()
        self.open, self.seen, self.attributes = [], [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("compared", [True, False])
def test_writes_the_four_files(tmp_path, lang, compared):
    evaluation = make_evaluation(compared)
    write_reports(evaluation, tmp_path / "out", lang, CURVE, {"data": {"sha256": "abc"}})
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        "evaluation_report.json",
        "evaluation_summary.txt",
        "predictions.jsonl",
        "report.html",
    }
    report = json.loads((tmp_path / "out/evaluation_report.json").read_text(encoding="utf-8"))
    assert report["run"].pop("data") == {"sha256": "abc"}
    assert report == evaluation.to_json()
    assert list(report) == ["n", "signature", "metrics", "by_question_type", "samples", "run"]
    lines = (tmp_path / "out/predictions.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == evaluation.predictions


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_page_is_self_contained_and_escaped(tmp_path, lang):
    write_reports(make_evaluation(text=HOSTILE), tmp_path, lang, CURVE, {"note": HOSTILE})
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    tags = Tags(page)
    assert not {"script", "img", "link", "iframe", "object"} & set(tags.seen)
    assert not {"src", "onerror", "srcset"} & {name for name, _ in tags.attributes}
    # Links lead to places in the page, and to such as there are.
    links = {value for name, value in tags.attributes if name == "href"}
    assert links <= {f"#{value}" for name, value in tags.attributes if name == "id"}
    assert not re.search(r"https?://|url\(|@import", page)
    assert "&lt;script&gt;" in page
    assert "{{ 1 + 1 }}" in page
    # Both models and their differences by group (a length has none), those by type, the curve.
    assert tags.seen.count("svg") == 5 + 2 + 1


@pytest.mark.parametrize("lang", LANGUAGES)
def test_undefined_is_null_and_never_zero(tmp_path, lang):
    nothing = dict.fromkeys(("value", "ci95", "base", "delta", "delta_ci95"))
    metrics = {name: nothing | {"n": 0, "groups": 0} for name in METRICS}
    metrics["accuracy"] |= {"chance": None, "word_overlap_baseline": math.nan}
    by_type = {"general": {"n": 1, "metrics": metrics}}
    evaluation = replace(make_evaluation(), metrics=metrics, by_question_type=by_type)
    write_reports(evaluation, tmp_path, lang)
    report = json.loads((tmp_path / "evaluation_report.json").read_text(encoding="utf-8"))
    assert report["metrics"]["bits_per_byte"] == nothing | {"n": 0, "groups": 0}
    assert report["metrics"]["accuracy"]["word_overlap_baseline"] is None
    table = format_table(evaluation, lang)
    assert not re.search(r"0\.0", table)
    Tags((tmp_path / "report.html").read_text(encoding="utf-8"))


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("compared", [True, False])
def test_the_summary_fits_one_screen(lang, compared):
    lines = format_summary(make_evaluation(compared, text="긴 이름/" * 40), lang).splitlines()
    assert len(lines) <= 40
    assert max(cell_len(line) for line in lines) <= 100
    # Only the line with the model's name may be cut.
    assert [number for number, line in enumerate(lines) if line.endswith("...")] == [0]


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("extra", [0, 13, 50])
def test_the_summary_fits_one_screen_however_many_metrics(monkeypatch, lang, extra):
    names = [f"further_metric_{number}" for number in range(extra)]
    for name in names:
        monkeypatch.setitem(METRICS, name, METRICS["rougeL"])
    evaluation = make_full_evaluation()
    metrics = {**evaluation.metrics, **{name: figure(0.2, 0.1) for name in names}}
    kinds = {kind: evaluation.by_question_type[kind] for kind in QUESTION_TYPES}
    evaluation = replace(evaluation, metrics=metrics, by_question_type=kinds)
    text = format_summary(evaluation, lang)
    lines, words = text.splitlines(), LANGUAGES[lang]
    assert len(lines) <= 40
    assert max(cell_len(line) for line in lines) <= 100
    shown = sum(line.startswith("further_metric_") for line in lines)
    if extra < 50:
        assert shown == extra
    else:
        # What there is no room for is counted.
        assert words["metrics_elsewhere"].format(count=extra - shown) in text
    # Twenty metrics leave room for the question types.
    types = [words["types"][kind] in text for kind in QUESTION_TYPES]
    assert all(types) if extra < 50 else words["types_elsewhere"] in text
    assert lines[-1] == words["files"]


def test_metrics_stand_under_headings_and_none_is_lost(monkeypatch):
    monkeypatch.setitem(METRICS, "further", METRICS["rougeL"])
    names = [*METRICS][::-1]
    found = grouped(names)
    assert sorted(name for members in found.values() for name in members) == sorted(names)
    assert found["other"] == ["further"]
    assert set(found) <= set(LANGUAGES["ko"]["groups"])
    assert "other" not in grouped(name for name in METRICS if name != "further")


def test_the_share_of_bytes_under_unk_is_shown():
    metrics = make_metrics()
    assert "<unk>" not in format_table(make_evaluation(), "en")
    metrics["bits_per_byte"]["unknown_bytes"] = 0.0003
    evaluation = replace(make_evaluation(), metrics=metrics)
    assert "(<unk>): 0.03%." in format_table(evaluation, "en")


def test_a_figure_of_a_part_of_its_type_says_of_how_many():
    evaluation = make_evaluation()
    part = make_metrics() | {"chrf": figure(20.0, 12.0) | {"n": 17}}
    part |= {name: part[name] | {"n": 200} for name in ("bits_per_byte", "accuracy")}
    kinds = {"law_explanation": {"n": 200, "metrics": part}}
    *_, row = format_table(replace(evaluation, by_question_type=kinds), "en").splitlines()
    assert row.endswith("12.00 -> 20.00 (n=17)") and row.count("n=") == 1


def test_the_table_is_aligned_by_terminal_cells():
    rows = format_table(make_evaluation(), "ko").splitlines()[2:9]
    assert len({cell_len(row) for row in rows}) == 1
    assert "1.100" in rows[0]
    assert "-0.200 [-0.210, -0.190]" in re.sub(" +", " ", rows[0])


def test_the_page_shows_base_beside_tuned_with_n_and_interval(tmp_path):
    write_reports(make_evaluation(), tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for shown in ("1.300", "1.100", "[1.090, 1.110]", "−0.200", "[−0.210, −0.190]", ">200<"):
        assert shown in page
    assert "(빈 답)" in page
    assert "0.350" in page


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("compared", [True, False])
def test_every_part_is_on_the_page_and_in_the_summary(tmp_path, lang, compared):
    write_reports(make_full_evaluation(compared), tmp_path, lang, CURVE)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    tags = Tags(page)
    words = LANGUAGES[lang]
    ids = {value for name, value in tags.attributes if name == "id"}
    assert ids == {
        "figures",
        "by-type",
        "by-law",
        "calibration",
        "contamination",
        "samples",
        "worst",
        "definitions",
        "run",
    }
    for shown in (
        words["other_laws"],
        words["no_law"],
        words["ece_above"],
        words["statuses"]["absent"],
        words["not_stopped"],
        words["false_citations"].format(count=1),
        "0.110",
        "75.0 %",
        "17.50",
        "2026-05-26",
        "&#39;테스트 자료.jsonl&#39;",
        "500: record 0, record 1,",
        words["contamination_counts"].format(n=1200, judged=900),
    ):
        assert shown in page
    told = words["contamination"]["partly"].format(
        texts=words["contamination"]["texts"]["pretraining"]
    )
    assert told in unescape(page)
    summary = (tmp_path / "evaluation_summary.txt").read_text(encoding="utf-8")
    assert told in " ".join(summary.split())
    report = json.loads((tmp_path / "evaluation_report.json").read_text(encoding="utf-8"))
    assert set(report) >= {"by_law", "calibration", "worst", "contamination"}


@pytest.mark.parametrize(
    "run",
    [
        {"model": "내 모델", "data": "문제 1.jsonl", "limit": 5},
        {"model": "m", "data": "d", "base_given": "그 base"},
        {"model": "m", "data": "d", "questions_cut": []},
        {"model": "p.jsonl", "data": "d", "predictions_sha256": "0"},
        {"model": "A: a | B: b", "data": "d", "compared": {"A": ["a", "a2"], "B": ["b"]}},
    ],
)
def test_the_command_that_makes_it_again_is_one(tmp_path, run):
    schema = ScoreConfig if {"predictions_sha256", "questions_cut"} & run.keys() else EvaluateConfig
    config = replace(schema(), seed=7)
    evaluation = replace(make_evaluation(), run=run | {"config": to_dict(config)})
    write_reports(evaluation, tmp_path, "en")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    name, *words = shlex.split(unescape(re.search("<pre><code>(.*?)</code>", page)[1]))
    arguments, overrides = parse(build_parser(), words)
    assert name == "lawtune"
    assert load_config(schema, None, overrides) == config
    if "compared" in run:
        assert (arguments.a, arguments.b) == (["a", "a2"], ["b"])
    elif "questions_cut" in run:
        assert (arguments.model, str(arguments.mcq)) == ("m", "d")
    elif "predictions_sha256" in run:
        assert (str(arguments.predictions), str(arguments.data)) == ("p.jsonl", "d")
    elif "base_given" in run:
        assert (arguments.model, arguments.base) == ("m", "그 base")
    else:
        assert (arguments.model, arguments.limit) == ("내 모델", 5)


def test_charts_abreast_stay_level_where_a_difference_is_undefined(tmp_path):
    evaluation = make_evaluation()
    one = evaluation.metrics["bleu"] | dict.fromkeys(("base", "delta", "delta_ci95"))
    write_reports(replace(evaluation, metrics={**evaluation.metrics, "bleu": one}), tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    charts = re.findall(r'<svg viewBox="0 0 \d+ (\d+)"[^>]*><title>([^<]*)', page)
    heights = {title: height for height, title in charts}
    title = LANGUAGES["ko"]["groups"]["similarity"]
    assert heights[title] == heights[f"{title}: {LANGUAGES['ko']['forest_heading']}"]


def test_what_nobody_recorded_is_called_unknown(tmp_path):
    nobody = {"checked": [], "unknown": ["training", "pretraining"]}
    write_reports(replace(make_evaluation(), contamination=nobody), tmp_path, "en")
    for name in ("report.html", "evaluation_summary.txt"):
        assert "Contamination: unknown." in (tmp_path / name).read_text(encoding="utf-8")
    # Nor is an answer clean that could not be judged.
    nothing = nobody | {"checked": ["training"], "unknown": [], "n": 3, "judged": 0}
    nothing |= {"contaminated": 0, "share": None, "answers": []}
    write_reports(replace(make_evaluation(), contamination=nothing), tmp_path, "en")
    told = (tmp_path / "evaluation_summary.txt").read_text(encoding="utf-8")
    assert "Contamination (fine-tuning data): unknown." in told
    write_reports(make_evaluation(), tmp_path, "en")
    assert "Contamination" not in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["", "가" * 100_000, HOSTILE, "\u2028\x00\ud7ff" * 20])
def test_whatever_an_answer_holds_the_page_is_whole(tmp_path, text):
    write_reports(make_full_evaluation(text=text), tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    Tags(page)
    assert "<script" not in page and "<img" not in page
    assert len(page) < 250_000


def test_a_report_of_one_untyped_record_is_whole(tmp_path):
    alone = {name: one | {"n": 1, "ci95": None} for name, one in make_metrics(False).items()}
    evaluation = replace(
        make_evaluation(False), n=1, metrics=alone, by_question_type={}, samples=[], signature="x"
    )
    for lang, words in LANGUAGES.items():
        write_reports(evaluation, tmp_path / lang, lang)
        page = (tmp_path / lang / "report.html").read_text(encoding="utf-8")
        Tags(page)
        assert words["by_type_heading"] not in page and words["samples_heading"] not in page


def test_languages_have_the_same_texts():
    def keys(value):
        return {k: keys(v) for k, v in value.items()} if isinstance(value, dict) else None

    assert keys(LANGUAGES["ko"]) == keys(LANGUAGES["en"])
    assert set(LANGUAGES["ko"]["metrics"]) == set(LANGUAGES["ko"]["definitions"]) == set(METRICS)


def test_an_unknown_language_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(UserError, match="ko, en"):
        write_reports(make_evaluation(), tmp_path / "out", "fr")
    assert not (tmp_path / "out").exists()


def test_plain_makes_json_of_anything(tmp_path):
    value = {"a": (1, math.inf), "b": {"c": tmp_path, "d": math.nan}}
    assert plain(value) == {"a": [1, None], "b": {"c": str(tmp_path), "d": None}}


def test_a_record_that_stands_twice_has_one_line_which_score_can_read(tmp_path):
    line = {"id": "a", "prediction": "답"}
    write_reports(replace(make_evaluation(), predictions=[line, line]), tmp_path)
    pair = QAPair("물음", "답", id="a")
    assert read_predictions(tmp_path / "predictions.jsonl", [pair, pair]).texts == {"a": "답"}


def test_an_id_names_one_record_which_may_stand_there_twice():
    pair = QAPair("물음", "답", id="a")
    refuse_ambiguous_ids([pair, pair])
    for other in (replace(pair, answer="다른 답"), replace(pair, question="다른 물음")):
        with pytest.raises(UserError, match="'a'"):
            refuse_ambiguous_ids([pair, other])
