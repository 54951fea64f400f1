"""Multiple choice: figures by hand from a model made of functions, and the real thing beside
transformers' own logits."""

import json
import math
from contextlib import contextmanager
from dataclasses import replace

import pytest
import tiny
import torch

from lawtune.cli import main
from lawtune.config import EvaluateConfig
from lawtune.errors import UserError
from lawtune.eval.mcq import evaluate_choices
from lawtune.eval.report import format_summary, render_page
from lawtune.eval.texts import texts
from lawtune.model.legal_model import LegalModel
from lawtune.records import ChoiceQuestion, read_mcq

CONFIG = EvaluateConfig(bootstrap=200)


class FakeModel:
    """Likelihoods from a function; a prompt and answer fit in `context` characters."""

    name = "fake"

    def __init__(self, likelihood, base=None, context=10_000):
        self.likelihood, self.base, self.context = likelihood, base, context
        self.has_adapter = base is not None

    def render(self, question, type, context):
        return f"<{question}>"

    def log_likelihoods(self, prompts, answers):
        return [self.likelihood(p, a) for p, a in zip(prompts, answers, strict=True)]

    def generate(self, prompts, max_new_tokens, batch_size):
        raise AssertionError("multiple choice generates nothing")

    def overflow(self, prompt, answers, max_new_tokens=0):
        return max(0, len(prompt) + max(map(len, answers)) - self.context)

    def unknown_bytes(self, texts):
        return [3 * text.count("뷁") for text in texts]

    @contextmanager
    def base_only(self):
        tuned, self.likelihood = self.likelihood, self.base
        yield
        self.likelihood = tuned


def questions_of(count=4):
    return [
        ChoiceQuestion(f"물음{i}", ("가", "나나", "다다다", "라라라라"), i % 4, f"q{i}")
        for i in range(count)
    ]


def table(gains):
    """A likelihood under which the question adds `gains[place]` to each choice, whatever it is."""

    def likelihood(prompt, answer):
        letters = {"A": 0, "B": 1, "C": 2, "D": 3}
        place = letters.get(answer, len(answer) - 1)
        return gains[place] - 10.0 * len(answer) if "물음" in prompt else -10.0 * len(answer)

    return likelihood


def test_four_readings_by_hand():
    # The question raises 나나 most; 가 has the highest sum; per byte, 3 a character: (1 - 10) / 3,
    # (3 - 20) / 6, (0 - 30) / 9, (0 - 40) / 12, so 나나 again; the letters follow the gains.
    report = evaluate_choices(FakeModel(table([1, 3, 0, 0])), questions_of(), CONFIG)
    row = report.predictions[0]
    assert row["choices"] == {
        "accuracy": 1,
        "accuracy_raw": 1,
        "accuracy_sum": 0,
        "accuracy_letter": 1,
    }
    assert (row["prediction"], row["choice"], row["answer"]) == ("나나", 1, 0)
    for name in row["choices"]:
        figures = report.metrics[name]
        assert (figures["value"], figures["n"], figures["chance"]) == (0.25, 4, 0.25)
        assert figures["ci95"][0] <= 0.25 <= figures["ci95"][1]
    # Each of the four is the right one of one question.
    expected = (9 + 17 + 30 + 40) / math.log(2) / (3 + 6 + 9 + 12)
    assert report.metrics["bits_per_byte"]["value"] == pytest.approx(expected)


def test_a_tie_and_what_is_no_number_are_wrong():
    for value in (-3.0, math.nan):
        report = evaluate_choices(FakeModel(lambda p, a, v=value: v), questions_of(), CONFIG)
        assert report.metrics["accuracy"]["value"] == 0.0
        assert report.metrics["accuracy_letter"]["value"] == 0.0


def test_base_beside_tuned_and_chance_of_mixed_questions():
    mixed = [*questions_of(1), ChoiceQuestion("물음", ("가", "나나"), 1, "two")]
    model = FakeModel(table([1, 3, 0, 0]), base=table([3, 1, 0, 0]))
    report = evaluate_choices(model, mixed, CONFIG)
    accuracy = report.metrics["accuracy"]
    assert (accuracy["value"], accuracy["base"], accuracy["delta"]) == (0.5, 0.5, 0.0)
    assert accuracy["chance"] == pytest.approx((1 / 4 + 1 / 2) / 2)
    assert [row["base_choice"] for row in report.predictions] == [0, 0]


def test_the_letters_stand_after_the_question_with_every_choice():
    seen = []

    def likelihood(prompt, answer):
        seen.append((prompt, answer))
        return -1.0

    evaluate_choices(FakeModel(likelihood), questions_of(1), CONFIG)
    assert ("<물음0\nA. 가\nB. 나나\nC. 다다다\nD. 라라라라>", "D") in seen
    assert ("<>", "가") in seen
    assert len(seen) == len(set(seen)) == 12


def test_a_question_that_does_not_fit_loses_its_head_and_is_counted():
    seen = set()

    def likelihood(prompt, answer):
        seen.add(prompt)
        return -1.0

    item = ChoiceQuestion("0123456789" * 5, ("가", "나나"), 0, "long")
    report = evaluate_choices(FakeModel(likelihood, context=24), [item, *questions_of(1)], CONFIG)
    # 24 less the choice's two characters and the template's two; by letter less two, one for the
    # letter, and eleven for the list. The short question's own list has 26: no tail would fit.
    assert "<" + ("0123456789" * 5)[-20:] + ">" in seen
    assert "<" + ("0123456789" * 5)[-10:] + "\nA. 가\nB. 나나>" in seen
    assert report.run["questions_cut"] == ["long", "q0"]
    assert report.n == 2 and report.metrics["accuracy"]["n"] == 2
    # Wherever the lines are broken.
    english, korean = (" ".join(format_summary(report, lang).split()) for lang in ("en", "ko"))
    assert "without their head: 2." in english
    assert "문맥보다 길어 앞부분을 자르고 푼 문항: 2개" in korean


def test_the_report_has_the_shape_of_every_report():
    report = evaluate_choices(FakeModel(table([1, 3, 0, 0])), questions_of(), CONFIG).to_json()
    parts = {"n", "signature", "metrics", "by_question_type", "samples", "run", "calibration"}
    assert set(report) == parts
    # Place 1 is taken of every question, and is right in one of four.
    (point,) = report["calibration"]["bins"]
    assert point["probability"] == pytest.approx(math.e**3 / (math.e + math.e**3 + 2))
    assert point["right"] == 0.25
    assert report["samples"][0]["gold"] == "가"
    page = render_page(report, (), texts("ko"), "ko")
    assert "객관식 문항 4개" in page and "고르기(기호)" in page and "고른 답이 틀림" in page
    other = [ChoiceQuestion("물음0", ("가", "나나", "다다다", "마마마마"), 0, "q0")]
    signatures = [
        evaluate_choices(FakeModel(table([1, 3, 0, 0])), some, CONFIG).signature
        for some in (questions_of(1), other)
    ]
    assert signatures[0] != signatures[1]


@pytest.mark.parametrize("change", [{"type": "law_application"}, {"group": "민법 제750조"}])
def test_the_type_and_the_group_of_a_question_are_signed(change):
    """They decide the prompt and the intervals."""
    model, (question,) = FakeModel(table([1, 3, 0, 0])), questions_of(1)
    plain, changed = (
        evaluate_choices(model, [some], CONFIG).signature
        for some in (question, replace(question, **change))
    )
    assert plain != changed


def test_no_question_is_an_error_of_the_user():
    with pytest.raises(UserError):
        evaluate_choices(FakeModel(table([0, 0, 0, 0])), [], CONFIG)


GOOD = {"id": "a", "question": "물음", "choices": ["가", "나"], "answer": 1}


class TestReading:
    def test_as_written(self, tmp_path):
        path = tmp_path / "mcq.jsonl"
        rows = [GOOD, {"question": "둘", "choices": ["다", "라", "마"], "answer": 0, "group": "g"}]
        path.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
        first, second = read_mcq(path)
        assert first == ChoiceQuestion("물음", ("가", "나"), 1, "a")
        assert second.group == "g" and second.id and second.pair().answer == "다"

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"answer": 2}, "answer 2 for 2 choices"),
            ({"answer": -1}, "answer -1"),
            ({"answer": "나"}, "counted from 0; found '나'"),
            ({"answer": "1"}, "counted from 0; found '1'"),
            ({"answer": True}, "found True"),
            ({"answer": 1.0}, "found 1.0"),
            ({"answer": None}, "found nothing"),
            ({"choices": ["가"], "answer": 0}, "1 choices"),
            ({"choices": []}, "0 choices"),
            ({"choices": [str(i) for i in range(27)]}, "27 choices"),
            ({"choices": ["가", " 가\n"]}, "choices 0 and 1 are the same text"),
            ({"choices": ["가", ""]}, "'choices'"),
            ({"choices": "가나"}, "'choices'"),
            ({"choices": ["가", 2]}, "'choices'"),
            ({"choices": None}, "'choices'"),
            ({"question": " "}, "'question'"),
            ({"question": None}, "'question'"),
            ({"type": "gossip"}, "unknown type"),
            ({"id": ["b"]}, "'id' must be text"),
            ({"id": "a"}, "the id 'a' stands in line 1 already"),
        ],
    )
    def test_faults_name_file_and_line(self, tmp_path, capsys, change, said):
        path = tmp_path / "mcq.jsonl"
        path.write_text(f"{json.dumps(GOOD)}\n\n{json.dumps(GOOD | {'id': 'b'} | change)}\n")
        with pytest.raises(UserError) as error:
            read_mcq(path)
        assert str(error.value).startswith(f"{path}, line 3: ") and said in str(error.value)
        assert main(["evaluate", "--model", "./nosuch", "--mcq", str(path)]) == 2
        assert capsys.readouterr().err.count("\n") == 1

    def test_an_empty_file(self, tmp_path):
        (tmp_path / "none.jsonl").write_text("\n")
        with pytest.raises(UserError, match="no records"):
            read_mcq(tmp_path / "none.jsonl")


@pytest.fixture(scope="module")
def adapter(gpt2_base, tmp_path_factory):
    return tiny.save_adapter_folder(tmp_path_factory.mktemp("mcq") / "model", gpt2_base)


def test_against_whole_logits(adapter):
    model = LegalModel.load(adapter, device="cpu")
    items = [ChoiceQuestion("손해배상 책임은?", ("있다.", "없다.", "모른다."), 0, "q")]
    row = evaluate_choices(model, items, CONFIG).predictions[0]

    def total(prompt, answer):
        before, after = (
            model.tokenizer(text, add_special_tokens=False)["input_ids"]
            for text in (prompt, answer)
        )
        with torch.no_grad():
            chances = model.model(torch.tensor([before + after])).logits[0].log_softmax(-1)
        return sum(float(chances[len(before) - 1 + i, t]) for i, t in enumerate(after))

    prompt, empty = model.render("손해배상 책임은?"), model.render("")
    choices = items[0].choices
    gains = [total(prompt, choice) - total(empty, choice) for choice in choices]
    sums = [total(prompt, choice) for choice in choices]
    letters = [
        total(model.render("손해배상 책임은?\nA. 있다.\nB. 없다.\nC. 모른다."), letter)
        for letter in "ABC"
    ]
    for name, scores in (
        ("accuracy", gains),
        ("accuracy_sum", sums),
        ("accuracy_letter", letters),
    ):
        assert row["choices"][name] == scores.index(max(scores))


def test_from_the_command_line_with_a_question_beyond_the_context(
    adapter, gpt2_base, tmp_path, capsys
):
    rows = [GOOD, GOOD | {"id": "long", "question": "임대인의 책임은 무엇인가? " * 60}]
    path = tmp_path / "mcq.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    out = tmp_path / "out"
    words = ["evaluate", "--model", str(adapter), "--mcq", str(path), "--out", str(out)]
    assert main([*words, "--base", str(gpt2_base), "--bootstrap", "50"]) == 0
    report = json.loads((out / "evaluation_report.json").read_text("utf-8"))
    assert report["n"] == report["metrics"]["accuracy"]["n"] == 2
    assert report["run"]["questions_cut"] == ["long"]
    assert report["metrics"]["accuracy"]["base"] is not None
    assert report["run"]["data"] == str(path)
    assert f"--base {gpt2_base}" in (out / "report.html").read_text("utf-8")
    assert (out / "evaluation_summary.txt").is_file()
    lines = (out / "predictions.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["a", "long"]


def test_what_has_no_part_in_the_figures_has_none_in_the_signature():
    model, questions = FakeModel(table([1, 3, 0, 0])), questions_of()
    other = EvaluateConfig(("law",), 200, 42, generate=3, max_new_tokens=5, batch_size=1)
    one, two = (evaluate_choices(model, questions, config) for config in (CONFIG, other))
    assert one.signature == two.signature and one.run["config"] == two.run["config"]
    seed = evaluate_choices(model, questions, EvaluateConfig(bootstrap=200, seed=1))
    assert seed.signature != one.signature


@pytest.mark.parametrize("option", ["--generate", "--max_new_tokens", "--batch_size", "--source"])
def test_an_option_that_would_do_nothing_is_refused(option, capsys):
    assert main(["evaluate", "--model", "m", "--mcq", "b", option, "3"]) == 2
    assert f"{option} does nothing with --mcq" in capsys.readouterr().err


def test_either_data_or_mcq(capsys):
    assert main(["evaluate", "--model", "m"]) == 2
    assert main(["evaluate", "--model", "m", "--data", "a", "--mcq", "b"]) == 2
