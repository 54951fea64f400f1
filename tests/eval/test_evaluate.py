import json
import math
import unicodedata
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest

from lawtune.config import EvaluateConfig
from lawtune.data.ngram_filter import NgramFilter
from lawtune.errors import UserError
from lawtune.eval.evaluate import evaluate
from lawtune.eval.sample import NO_LAW, OTHER_LAWS, by_law, law_of, sample_indices, spread
from lawtune.eval.texts import LANGUAGES
from lawtune.eval.verdict import statements
from lawtune.records import QAPair, Source

CONFIG = EvaluateConfig(bootstrap=200, batch_size=2)


@dataclass(frozen=True)
class Said:
    text: str
    tokens: int = 1
    stopped: bool = True


class FakeModel:
    """Likelihoods and answers from functions: (prompt, answer) → nats, prompt → text."""

    name = "fake"

    def __init__(self, likelihood, answer=lambda prompt: "", base=None):
        self.likelihood, self.answer, self.base = likelihood, answer, base
        self.has_adapter = base is not None
        self.asked = []

    def render(self, question, type, context):
        return f"{type}|{context}|{question}|"

    def log_likelihoods(self, prompts, answers):
        self.asked += zip(prompts, answers, strict=True)
        return [self.likelihood(p, a) for p, a in zip(prompts, answers, strict=True)]

    def generate(self, prompts, max_new_tokens, batch_size):
        assert len(prompts) <= batch_size
        return [Said(self.answer(prompt)) for prompt in prompts]

    def overflow(self, prompt, answers, max_new_tokens=0):
        return 0

    def unknown_bytes(self, texts):
        return [3 * text.count("뷁") for text in texts]

    @contextmanager
    def base_only(self):
        tuned = self.likelihood, self.answer
        self.likelihood, self.answer = self.base
        try:
            yield
        finally:
            self.likelihood, self.answer = tuned


def question_of(prompt):
    return prompt.split("|")[2]


def make_pairs(count=5, **changes):
    """Answers 답0…답4, each record with the other four as its distractors."""
    return [
        QAPair(
            question=f"물음{i}",
            answer=f"답{i}",
            id=f"r{i}",
            type="law_explanation",
            group=f"g{i}",
            distractors=tuple(f"답{other}" for other in range(count) if other != i)[:4],
            **changes,
        )
        for i in range(count)
    ]


def knows_all(prompt, answer):
    return -1.0 if question_of(prompt) == answer.replace("답", "물음") else -2.0


def replace_choosing(monkeypatch, chosen=None):
    """Stands in for the choosing of distractors, which has tests of its own."""
    calls = []

    def choose_distractors(pairs, seed, pool):
        calls.append(([pair.id for pair in pairs], len(pool), seed))
        return [replace(pair, distractors=(chosen or {}).get(pair.id, ())) for pair in pairs]

    monkeypatch.setattr("lawtune.eval.choice.choose_distractors", choose_distractors)
    return calls


def test_bits_per_byte_by_hand():
    pairs = make_pairs()
    metrics = evaluate(FakeModel(lambda p, a: -4 * math.log(2)), pairs, CONFIG).metrics
    # 답0 is four bytes: four bits each.
    assert metrics["bits_per_byte"]["value"] == pytest.approx(1.0)
    assert metrics["bits_per_byte"]["n"] == 5


def test_bytes_under_unk_stand_beside_bits_per_byte():
    pairs = make_pairs()
    pairs[0] = replace(pairs[0], answer="뷁답0")
    bits = evaluate(FakeModel(lambda p, a: -1.0), pairs, CONFIG).metrics["bits_per_byte"]
    # Three of the bytes of five answers of four bytes each, and three more.
    assert bits["unknown_bytes"] == pytest.approx(3 / 23)


def test_bits_per_byte_is_a_ratio_of_sums():
    pairs = [
        replace(pair, answer=text) for pair, text in zip(make_pairs(2), ["a", "abc"], strict=True)
    ]
    pairs = [replace(pair, distractors=("a", "abc")) for pair in pairs]
    nats = {"a": -math.log(2), "abc": -5 * math.log(2)}
    metrics = evaluate(FakeModel(lambda p, a: nats[a]), pairs, CONFIG).metrics
    assert metrics["bits_per_byte"]["value"] == pytest.approx(6 / 4)


def test_a_model_that_knows_every_answer_is_right_every_time():
    accuracy = evaluate(FakeModel(knows_all), make_pairs(), CONFIG).metrics["accuracy"]
    assert (accuracy["value"], accuracy["n"]) == (1.0, 5)
    assert accuracy["chance"] == pytest.approx(0.2)
    # Five of five: the exact binomial bound, whatever was resampled.
    assert accuracy["ci95"] == [pytest.approx(0.025 ** (1 / 5)), 1.0]


def test_a_tie_with_the_gold_is_wrong():
    metrics = evaluate(FakeModel(lambda p, a: -3.0), make_pairs(), CONFIG).metrics
    assert metrics["accuracy"]["value"] == 0.0
    assert metrics["accuracy_raw"]["value"] == 0.0


def test_accuracy_is_the_gain_over_the_empty_question_and_raw_is_not():
    # 답0 is likely whatever is asked, so it wins by likelihood alone; each question raises its
    # own answer by one nat, which the difference sees.
    def generic(prompt, answer):
        raised = question_of(prompt) == answer.replace("답", "물음")
        return (-1.0 if answer == "답0" else -9.0) + raised

    metrics = evaluate(FakeModel(generic), make_pairs(), CONFIG).metrics
    assert metrics["accuracy"]["value"] == 1.0
    assert metrics["accuracy_raw"]["value"] == pytest.approx(1 / 5)


def test_raw_accuracy_divides_by_bytes():
    # 가나다라 costs more in all than 가 but less a byte.
    first, second = make_pairs(2)
    pairs = [
        replace(first, answer="가나다라", distractors=("가",)),
        replace(second, answer="가", distractors=("가나다라",)),
    ]
    nats = {"가나다라": -6.0, "가": -3.0}
    metrics = evaluate(FakeModel(lambda p, a: nats[a]), pairs, CONFIG).metrics
    assert metrics["accuracy_raw"]["value"] == 0.5
    assert metrics["accuracy"]["chance"] == 0.5


def test_each_likelihood_is_asked_once_and_the_empty_prompt_has_no_context():
    model = FakeModel(knows_all)
    evaluate(model, make_pairs(context="참고"), CONFIG)
    assert len(model.asked) == len(set(model.asked))
    # 5 questions × 5 choices, gold ones shared with bits_per_byte, and 5 answers unasked.
    assert len(model.asked) == 25 + 5
    empty = [prompt for prompt, _ in model.asked if not question_of(prompt)]
    assert set(empty) == {"law_explanation|None||"}
    assert len(empty) == 5


def test_word_overlap_baseline_by_hand():
    answers = ["손해 배상", "임대 계약", "근로 시간", "저작 물건", "도로 교통"]
    questions = ["손해 배상은?", "임대 계약은?", "무엇인가?", "근로 시간은?", "도로 교통은?"]
    pairs = [
        replace(
            pair,
            question=question,
            answer=answer,
            distractors=tuple(other for other in answers if other != answer),
        )
        for pair, question, answer in zip(make_pairs(), questions, answers, strict=True)
    ]
    accuracy = evaluate(FakeModel(knows_all), pairs, CONFIG).metrics["accuracy"]
    # The third shares nothing with any (a tie), the fourth shares most with a wrong one.
    assert accuracy["word_overlap_baseline"] == pytest.approx(3 / 5)
    # This model has none right: of the eight flips of three signs, two are as far apart.
    assert accuracy["value"] == 0 and accuracy["word_overlap_baseline_p"] == 0.25


def test_a_shortened_file_keeps_its_choices():
    report = evaluate(FakeModel(knows_all), make_pairs()[:2], CONFIG)
    assert report.metrics["accuracy"]["n"] == 2
    assert report.run["distractors_rechosen"] == 0


def test_records_without_distractors_get_them_chosen_or_are_counted_out(monkeypatch):
    calls = replace_choosing(monkeypatch, chosen={"r1": ("답0", "답2", "답3", "답4")})
    pairs = make_pairs()
    pairs[1] = replace(pairs[1], distractors=())
    pairs[2] = replace(pairs[2], distractors=())
    report = evaluate(FakeModel(knows_all), pairs, CONFIG, pool=make_pairs(6))
    assert calls == [(["r1", "r2"], 6, CONFIG.seed)]
    assert report.run["distractors_rechosen"] == 1
    assert report.run["accuracy_excluded"] == ["r2"]
    assert report.metrics["accuracy"]["n"] == 4
    assert report.metrics["bits_per_byte"]["n"] == 5


def test_a_file_without_choices_has_no_accuracy(monkeypatch):
    replace_choosing(monkeypatch)
    pairs = [replace(pair, distractors=()) for pair in make_pairs()]
    accuracy = evaluate(FakeModel(knows_all), pairs, CONFIG).metrics["accuracy"]
    assert accuracy["n"] == 0
    assert {key for key, value in accuracy.items() if value is not None} == {"n", "groups"}


def test_base_and_delta_are_paired():
    base = (lambda p, a: -8 * math.log(2), lambda p: "")
    model = FakeModel(lambda p, a: -4 * math.log(2), lambda p: "답0", base)
    report = evaluate(model, make_pairs(), CONFIG)
    bits = report.metrics["bits_per_byte"]
    assert (bits["value"], bits["base"]) == (pytest.approx(1), pytest.approx(2))
    assert bits["delta"] == pytest.approx(-1)
    assert bits["delta_ci95"] == [pytest.approx(-1)] * 2
    assert report.metrics["response_length"]["delta"] == 2
    row = report.predictions[0]
    assert (row["id"], row["prediction"], row["base_prediction"]) == ("r0", "답0", "")


def test_how_each_answer_ended_is_kept():
    class Rambling(FakeModel):
        def generate(self, prompts, max_new_tokens, batch_size):
            return [Said("말", tokens=max_new_tokens, stopped=False) for _ in prompts]

    model = Rambling(knows_all, base=(knows_all, lambda p: ""))
    row = evaluate(model, make_pairs(), replace(CONFIG, max_new_tokens=7)).predictions[0]
    for prefix in ("", "base_"):
        assert (row[f"{prefix}stopped"], row[f"{prefix}tokens"]) == (False, 7)


def test_prompts_that_lose_their_head_are_listed():
    class Narrow(FakeModel):
        def overflow(self, prompt, answers, max_new_tokens=0):
            return max(0, len(prompt) + max(max(map(len, answers)), max_new_tokens) - 60)

    pairs = make_pairs()
    pairs[1] = replace(pairs[1], context="가" * 40)
    pairs[3] = replace(pairs[3], context="가" * 20)
    whole = evaluate(Narrow(knows_all), pairs, replace(CONFIG, max_new_tokens=2))
    assert whole.run["prompts_cut"] == ["r1"]
    # An answer that is generated needs room for all that it may become.
    sampled = evaluate(Narrow(knows_all), pairs, replace(CONFIG, max_new_tokens=30))
    assert sampled.run["prompts_cut"] == ["r1", "r3"]


def test_personal_data_in_answers_is_masked():
    number = "900101-1234567"
    report = evaluate(
        FakeModel(knows_all, lambda p: f"주민등록번호 {number}"), make_pairs(), CONFIG
    )
    assert number not in json.dumps([report.predictions, report.samples])


def test_without_an_adapter_there_is_no_base():
    report = evaluate(FakeModel(knows_all), make_pairs(), CONFIG)
    for figures in report.metrics.values():
        assert (figures["base"], figures["delta"], figures["delta_ci95"]) == (None,) * 3
    assert report.predictions[0] == {"id": "r0", "prediction": "", "stopped": True, "tokens": 1}
    assert report.samples[0]["base_prediction"] is None


def test_echoing_the_gold_scores_the_maximum():
    pairs = [replace(pair, answer=f"{pair.question}에 대한 책임") for pair in make_pairs()]
    model = FakeModel(knows_all, lambda prompt: f"{question_of(prompt)}에 대한 책임")
    metrics = evaluate(model, pairs, CONFIG).metrics
    assert metrics["chrf"]["value"] == pytest.approx(100)
    assert metrics["bleu"]["value"] == pytest.approx(100)
    assert metrics["rougeL"]["value"] == pytest.approx(1)


def test_answers_come_back_in_order_and_only_for_the_sample():
    pairs = [replace(pair, question="가" * i) for i, pair in enumerate(make_pairs(), start=1)]
    model = FakeModel(knows_all, lambda prompt: str(len(question_of(prompt))))
    config = replace(CONFIG, generate=3)
    report = evaluate(model, pairs, config)
    assert [row["prediction"] for row in report.predictions] == [
        str(int(row["id"][1:]) + 1) for row in report.predictions
    ]
    assert report.metrics["chrf"]["n"] == 3
    assert report.metrics["bits_per_byte"]["n"] == 5
    again = evaluate(model, pairs[::-1], config, pool=pairs)
    assert {row["id"] for row in again.predictions} == {row["id"] for row in report.predictions}


def test_by_question_type_and_untyped():
    pairs = make_pairs()
    pairs[0] = replace(pairs[0], type=None)
    report = evaluate(FakeModel(knows_all), pairs, CONFIG)
    assert {kind: part["n"] for kind, part in report.by_question_type.items()} == {
        "law_explanation": 4,
        "general": 1,
    }
    alone = report.by_question_type["general"]["metrics"]["bits_per_byte"]
    assert alone["value"] is not None
    assert alone["ci95"] is None


def test_contaminated_answers_are_told_and_left_out_of_a_second_count():
    prose = [" ".join(f"{name}{number}" for number in range(20)) for name in "가나다라마"]
    pairs = [replace(pair, answer=text) for pair, text in zip(make_pairs(), prose, strict=True)]
    model = FakeModel(lambda p, a: -8.0 if a == prose[1] else -4.0, lambda p: "답")
    read = {"training": [NgramFilter.of([prose[1], "다른 글"])], "pretraining": []}
    report = evaluate(model, pairs, CONFIG, filters=read)
    account = report.to_json()["contamination"]
    assert account["answers"] == [{"id": "r1", "share": 1.0, "training": 1.0}]
    assert (account["share"], account["unknown"]) == (0.2, ["pretraining"])
    bits = account["without"]["metrics"]["bits_per_byte"]
    assert (account["without"]["n"], bits["n"]) == (4, 4)
    sizes = [len(text.encode()) for text in prose]
    assert bits["value"] == pytest.approx(16 / math.log(2) / (sum(sizes) - sizes[1]))
    assert report.metrics["bits_per_byte"]["value"] == pytest.approx(24 / math.log(2) / sum(sizes))
    assert "contamination" not in evaluate(model, pairs, CONFIG).to_json()


def test_nfd_and_crlf_data_score_as_their_nfc_twin():
    def model():
        return FakeModel(lambda p, a: -float(len(a)), lambda p: "답")

    pairs = [replace(pair, answer=f"{pair.answer}\n이다") for pair in make_pairs()]
    twins = [
        replace(
            pair,
            question=unicodedata.normalize("NFD", pair.question),
            answer=unicodedata.normalize("NFD", pair.answer).replace("\n", "\r\n"),
        )
        for pair in pairs
    ]
    first, second = evaluate(model(), pairs, CONFIG), evaluate(model(), twins, CONFIG)
    assert first.metrics == second.metrics
    assert first.signature == second.signature


def test_a_likelihood_that_is_not_a_number_gives_null():
    report = evaluate(FakeModel(lambda p, a: math.nan), make_pairs(), CONFIG)
    assert report.metrics["bits_per_byte"]["value"] is None
    assert report.metrics["accuracy"]["value"] == 0.0
    json.dumps(report.to_json(), allow_nan=False)
    said = statements(report.metrics, report.run, LANGUAGES["en"])
    assert any(one.judgement == "warning" and "not numbers" in one.text for one in said)
    whole = evaluate(FakeModel(lambda p, a: -1.0), make_pairs(), CONFIG)
    assert whole.run["not_numbers"] == 0


def test_the_report_names_what_it_depends_on():
    report = evaluate(FakeModel(knows_all), make_pairs(), CONFIG)
    assert "seed:42" in report.signature
    assert "tok:char" in report.signature
    assert report.run["groups"] == 5
    other = evaluate(FakeModel(knows_all), make_pairs(4), CONFIG, pool=make_pairs())
    assert other.signature != report.signature


@pytest.mark.parametrize(
    "change",
    [
        {"type": "law_application"},
        {"context": "제1조"},
        {"group": "another"},
        {"citations": ("민법 제1조",)},
        {"distractors": ("답4", "답3", "답2", "답0")},
    ],
)
def test_whatever_a_figure_may_follow_from_is_signed(change):
    pairs = make_pairs()
    changed = [pairs[0], replace(pairs[1], **change), *pairs[2:]]
    first, second = (evaluate(FakeModel(knows_all), some, CONFIG) for some in (pairs, changed))
    assert first.signature != second.signature


def test_progress_reaches_its_total_at_every_stage():
    seen = {}
    model = FakeModel(knows_all, base=(knows_all, lambda p: ""))
    evaluate(
        model, make_pairs(), CONFIG, lambda stage, done, total: seen.update({stage: (done, total)})
    )
    assert seen == {
        "likelihood": (30, 30),
        "generation": (5, 5),
        "base likelihood": (30, 30),
        "base generation": (5, 5),
    }


def test_nothing_to_evaluate_is_an_error_of_the_user():
    with pytest.raises(UserError):
        evaluate(FakeModel(knows_all), [], CONFIG)


def test_sample_keeps_the_shares_of_the_types():
    kinds = ["law_explanation"] * 60 + ["precedent_impact"] * 30 + [None] * 10
    pairs = [QAPair(f"물음{i}", "답", id=str(i), type=kind) for i, kind in enumerate(kinds)]
    picked = sample_indices(pairs, 10, seed=1)
    assert [sum(kinds[i] == kind for i in picked) for kind in (kinds[0], kinds[60], None)] == [
        6,
        3,
        1,
    ]
    assert picked == sorted(set(picked))
    assert picked == sample_indices(pairs, 10, seed=1)
    assert picked != sample_indices(pairs, 10, seed=2)
    assert sample_indices(pairs, None, 1) == sample_indices(pairs, 100, 1) == list(range(100))
    assert len(sample_indices(pairs, 7, 1)) == 7


def test_spread_takes_types_in_turn():
    kinds = ["law_explanation"] * 5 + ["precedent_impact"] * 5
    pairs = [QAPair("물음", "답", type=kind) for kind in kinds]
    assert spread(pairs, 4) == [0, 1, 5, 6]
    assert spread(pairs[:1], 4) == [0]


def test_the_report_has_its_further_parts_where_they_can_be_told():
    pairs = [replace(pair, source=Source("statute", law="민법")) for pair in make_pairs()]
    report = evaluate(FakeModel(knows_all, lambda p: "민법 제9999조"), pairs, CONFIG).to_json()
    assert report["by_law"]["민법"]["metrics"]["accuracy"]["value"] == 1.0
    # One nat more for the gold answer than for the four others.
    point = report["calibration"]["bins"][0]
    assert point["probability"] == pytest.approx(math.e / (math.e + 4))
    assert (point["n"], point["right"]) == (5, 1.0)
    assert len(report["worst"]) == 5
    assert report["worst"][0]["citations"]["prediction"][0]["status"] == "absent"
    assert report["run"]["citation_index_as_of"] >= "2026"
    unstated = [replace(pair, source=None) for pair in pairs]
    assert "by_law" not in evaluate(FakeModel(knows_all), unstated, CONFIG).to_json()


def test_a_record_counts_under_the_law_it_is_about():
    def of(law=None, citations=()):
        source = Source("case", law=law)
        return law_of(QAPair("물음", "답", source=source, citations=citations))

    assert of("민법", ("형법 제1조",)) == "민법"
    decision = "대법원 2018. 10. 30. 선고 2013다61381 판결"
    assert of(None, (decision, "구 형법 제347조 제1항")) == "형법"
    assert of(None, ("2013다61381",)) is None
    assert law_of(QAPair("물음", "답")) is None


def test_small_laws_are_pooled_and_those_without_kept_apart():
    def some(law, n):
        return [QAPair("물음", "답", source=Source("statute", law=law))] * n

    pairs = some("민법", 5) + some("형법", 7) + some("상법", 4) + some(None, 3) + some("군형법", 1)
    assert {law: len(members) for law, members in by_law(pairs).items()} == {
        "형법": 7,
        "민법": 5,
        OTHER_LAWS: 5,
        NO_LAW: 3,
    }
    assert sorted(index for members in by_law(pairs).values() for index in members) == list(
        range(20)
    )
    # One statute, spelt in two ways.
    spelt = some("개인정보 보호법", 3) + some("개인정보보호법", 3)
    assert [len(members) for members in by_law(spelt).values()] == [6]
    assert by_law(some(None, 5)) == by_law([]) == {}
    many = [pair for n in range(20) for pair in some(f"제{n}법", 5)]
    assert len(by_law(many)) == 13
