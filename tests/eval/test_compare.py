"""`lawtune compare`: the figures of an evaluation, with another model in the base's place."""

import json
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
import tiny
from scipy.stats import ttest_1samp, ttest_ind
from transformers import AutoModelForCausalLM

from lawtune.cli import main
from lawtune.config import EvaluateConfig
from lawtune.errors import UserError
from lawtune.eval.compare import answers_of_file, answers_of_model, compare, require_one_test
from lawtune.eval.evaluate import evaluate
from lawtune.eval.evaluation import sign
from lawtune.eval.report import format_summary, write_reports
from lawtune.eval.stats import between_runs
from lawtune.eval.texts import texts
from lawtune.eval.verdict import headline, judge, statements
from lawtune.files import write_jsonl
from lawtune.records import QAPair, write_qa

CONFIG = EvaluateConfig(bootstrap=200, batch_size=8)
GROUPS = 12


@dataclass(frozen=True)
class Said:
    text: str
    tokens: int = 1
    stopped: bool = True


class FakeModel:
    """Nats for the right answer and for a wrong one, drawn by seed; answers from a function."""

    has_adapter = False

    def __init__(self, name, seed=0, skill=0.0, answer=lambda question: question, unknown="뷁"):
        self.name, self.seed, self.skill, self.unknown = name, seed, skill, unknown
        self.answer = answer

    def render(self, question, type, context):
        return question

    def log_likelihoods(self, prompts, answers):
        return [self._nats(*one) for one in zip(prompts, answers, strict=True)]

    def _nats(self, prompt, answer):
        generator = np.random.default_rng([self.seed, *prompt.encode(), 0, *answer.encode()])
        right = bool(prompt) and f"{answer} 물음" == prompt
        return float(-5 + generator.normal() + (self.skill if right else 0))

    def generate(self, prompts, max_new_tokens, batch_size):
        return [Said(self.answer(prompt)) for prompt in prompts]

    def overflow(self, prompt, answers, max_new_tokens=0):
        return 0

    def unknown_bytes(self, texts):
        return [3 * text.count(self.unknown) for text in texts]


class Tuned(FakeModel):
    """An adapter on `base`."""

    has_adapter = True

    def __init__(self, base, **changes):
        super().__init__("tuned", **changes)
        self.base = base

    @contextmanager
    def base_only(self):
        own, self.__dict__ = self.__dict__, self.__dict__ | self.base.__dict__
        try:
            yield
        finally:
            self.__dict__ = own


def make_pairs():
    names = [f"민법 제{i}조에 따라 계약을 해지할 수 있다" for i in range(3 * GROUPS)]
    return [
        QAPair(
            question=f"{answer} 물음",
            answer=answer,
            id=f"r{i}",
            type="law_explanation" if i % 2 else "law_application",
            group=f"g{i // 3}",
            distractors=tuple(names[(i + 3 * step) % len(names)] for step in range(1, 5)),
        )
        for i, answer in enumerate(names)
    ]


PAIRS = make_pairs()


def source(model):
    return partial(answers_of_model, model, {})


def compared(a, b, config=CONFIG):
    return compare([source(m) for m in a], [source(m) for m in b], PAIRS, config)


def test_a_base_and_its_adapter_compare_as_they_are_evaluated():
    base = FakeModel("base", seed=1, answer=lambda question: "민법 제3조에 따른다")
    tuned = Tuned(base, seed=2, skill=0.7, answer=lambda question: question[:15])
    evaluated, found = evaluate(tuned, PAIRS, CONFIG), compared([base], [tuned])
    assert found.metrics == evaluated.metrics
    assert found.by_question_type == evaluated.by_question_type
    assert found.signature == evaluated.signature
    assert found.calibration == evaluated.calibration
    assert evaluated.metrics["accuracy"]["delta"] != 0


def test_a_model_does_not_differ_from_itself():
    found = compared([FakeModel("one")], [FakeModel("two")])
    assert headline(found.metrics) == "none"
    for name, entry in found.metrics.items():
        assert entry["delta"] in (0, None)
        assert judge(name, entry) not in ("better", "worse")
        assert entry["p"] in (1, None)
    assert "No difference between A and B is shown." in format_summary(found, "en")


def test_the_sides_mirror_each_other():
    one, other = FakeModel("one", seed=1), FakeModel("other", seed=2, skill=3)
    there, back = compared([one], [other]), compared([other], [one])
    assert (headline(there.metrics), headline(back.metrics)) == ("better", "worse")
    for name, entry in there.metrics.items():
        mirrored = back.metrics[name]
        assert entry["p"] == mirrored["p"]
        if entry["delta_ci95"]:
            assert entry["delta"] == pytest.approx(-mirrored["delta"])
            assert entry["delta_ci95"] == pytest.approx([-b for b in mirrored["delta_ci95"][::-1]])


def test_runs_are_taken_together_and_their_spread_is_told():
    base = FakeModel("base", seed=9)
    runs = [FakeModel(f"run{seed}", seed=seed, skill=1.5) for seed in range(3)]
    alone = [compared([base], [run]).metrics["accuracy"] for run in runs]
    entry = compared([base], runs).metrics["accuracy"]
    assert entry["n"] == alone[0]["n"] == len(PAIRS)
    assert entry["seeds"]["value"] == [one["value"] for one in alone]
    assert entry["seeds"]["base"] == [alone[0]["base"]]
    assert entry["value"] == pytest.approx(np.mean(entry["seeds"]["value"]))
    assert entry["base"] == alone[0]["base"]
    bounds = ttest_1samp(entry["seeds"]["value"], entry["base"]).confidence_interval()
    assert entry["seeds"]["delta_ci95"] == pytest.approx(np.array(bounds) - entry["base"])
    assert "seeds" not in alone[0]


def test_the_spread_between_two_recipes_is_welchs():
    values, bases = [0.30, 0.35, 0.33], [0.25, 0.31]
    expected = ttest_ind(values, bases, equal_var=False).confidence_interval()
    assert between_runs(values, bases) == pytest.approx(tuple(expected))
    assert between_runs([0.5], [0.4]) is None
    assert between_runs([0.5, 0.5], [0.25]) == (0.25, 0.25)


def test_what_another_seed_may_undo_is_not_shown():
    shown = {
        "value": 0.5,
        "n": 200,
        "groups": 200,
        "base": 0.4,
        "delta": 0.1,
        "delta_ci95": [0.05, 0.15],
        "p_holm": 0.01,
    }
    assert judge("accuracy", shown) == "better"
    for bounds, expected in (([0.02, 0.18], "better"), ([-0.1, 0.3], "none"), (None, "better")):
        seeds = {"value": [0.4, 0.6], "base": [0.4], "delta_ci95": bounds}
        assert judge("accuracy", shown | {"seeds": seeds}) == expected
        metrics = {"accuracy": shown | {"seeds": seeds, "ci95": None}}
        told = [said.text for said in statements(metrics, {}, texts("en", compared=True))]
        assert any("may explain" in text for text in told) == (expected == "none")


def test_bits_per_byte_are_compared_where_the_tokenizers_miss_the_same():
    same = compared([FakeModel("one", unknown="민")], [FakeModel("two", unknown="민")])
    assert "bits_per_byte" in same.metrics
    other = compared([FakeModel("one", unknown="민")], [FakeModel("two")])
    assert "bits_per_byte" not in other.metrics
    assert other.run["not_compared"] == {"bits_per_byte": "tokenizers"}
    assert "bits per byte: not compared" in format_summary(other, "en")
    assert "accuracy" in other.metrics


def write_answers(path, answers):
    path.parent.mkdir(exist_ok=True)
    write_jsonl(path, [{"id": name, "prediction": text} for name, text in answers.items()])
    return path


def file_source(path):
    return lambda plan, progress: answers_of_file(path, plan)


def test_answers_made_elsewhere_are_compared_by_what_they_say(tmp_path):
    gold = {pair.id: pair.answer for pair in PAIRS}
    good = write_answers(tmp_path / "gold.jsonl", gold)
    half = write_answers(tmp_path / "half.jsonl", {k: v[:9] for k, v in list(gold.items())[:-2]})
    found = compare([file_source(half)], [file_source(good)], PAIRS, CONFIG)
    assert "accuracy" not in found.metrics
    assert found.metrics["rougeL"]["value"] == 1
    assert judge("rougeL", found.metrics["rougeL"]) == "better"
    assert headline(found.metrics) == "better_answers"
    assert found.run["missing_answers"] == {str(half): 2}
    beside = compare([source(FakeModel("model"))], [file_source(good)], PAIRS, CONFIG)
    # Nobody knows whether answers made elsewhere were ended or cut.
    assert (
        beside.run["not_compared"].items() >= {"accuracy": "missing", "stopped": "missing"}.items()
    )
    assert not {"accuracy", "stopped"} & beside.metrics.keys()
    summary = " ".join(format_summary(beside, "en").split())
    assert "accuracy: only one side has it" in summary


def test_what_is_amiss_with_answers_made_elsewhere_is_told(tmp_path):
    said = {pair.id: pair.answer for pair in PAIRS} | {"r1": "가" * 20_001, "x": "딴 답"}
    path = write_answers(tmp_path / "said.jsonl", said)
    found = compare([file_source(path)], [file_source(path)], PAIRS, CONFIG)
    assert (found.run["unknown_ids"], found.run["answers_cut"]) == (["x"], ["r1"])
    summary = " ".join(format_summary(found, "en").split())
    assert "ids that the data lacks, left out: 1" in summary
    assert "without their tail: 1" in summary
    # Answers to what a sample leaves out are answers to the data all the same.
    sample = compare([file_source(path)], [file_source(path)], PAIRS[1:9], CONFIG, pool=PAIRS)
    assert sample.run["unknown_ids"] == ["x"]


def test_answers_of_different_tests_do_not_compare(tmp_path):
    paths = []
    for name, head in (("a", "data:12|max_new_tokens:64"), ("b", "data:12|max_new_tokens:128")):
        paths.append(write_answers(tmp_path / name / "predictions.jsonl", {"r0": "답"}))
        report = {"signature": f"lawtune:1|{head}|seed:1; bleu = tok:char"}
        paths[-1].with_name("evaluation_report.json").write_text(json.dumps(report))
    with pytest.raises(UserError, match=r"max_new_tokens differs: .*a.* 64, .*b.* 128"):
        require_one_test(paths)
    require_one_test(paths[:1], 64)
    # Nor answers to other data than that which they are held against.
    with pytest.raises(UserError, match="data differs: this comparison .*, .*a.* 12"):
        require_one_test(paths[:1], 64, PAIRS)
    answered = write_answers(tmp_path / "d" / "predictions.jsonl", {"r0": "답"})
    report = {"signature": sign([], PAIRS, CONFIG)}
    answered.with_name("evaluation_report.json").write_text(json.dumps(report))
    require_one_test([answered], None, PAIRS)
    with pytest.raises(UserError, match="data differs"):
        require_one_test([answered], None, [replace(PAIRS[0], answer="딴 답"), *PAIRS[1:]])
    with pytest.raises(UserError, match="max_new_tokens differs: this comparison 256"):
        require_one_test(paths[:1], 256)
    require_one_test([write_answers(tmp_path / "c" / "predictions.jsonl", {"r0": "답"})], 64)
    paths[1].with_name("evaluation_report.json").write_text('{"made": "by another tool"}')
    require_one_test(paths)
    paths[1].with_name("evaluation_report.json").write_text('{"signature": null}')
    with pytest.raises(UserError, match="b/evaluation_report.json: its signature is no text"):
        require_one_test(paths)


def test_the_reports_speak_of_a_and_b(tmp_path):
    found = compared([FakeModel("one", seed=1)], [FakeModel("two", seed=2, skill=3)])
    write_reports(found, tmp_path, "ko", run={"data": "test.jsonl"})
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "B가 A보다 낫습니다." in page
    assert "lawtune compare one two --data test.jsonl" in page
    assert "기준 모델" not in page.split('id="definitions"')[0]
    report = json.loads((tmp_path / "evaluation_report.json").read_text("utf-8"))
    assert report["run"]["compared"] == {"A": ["one"], "B": ["two"]}
    (row, *_) = (tmp_path / "predictions.jsonl").read_text("utf-8").splitlines()
    assert set(json.loads(row)) == {"id", "prediction", "base_prediction"}


def test_the_verb_on_two_bases_of_different_tokenizers(tmp_path, capsys, gpt2_base, llama_base):
    write_qa(tmp_path / "qa.jsonl", PAIRS[:6])
    line = ["compare", str(gpt2_base), f"{llama_base},{llama_base}", "--lang", "en"]
    line += ["--data", str(tmp_path / "qa.jsonl"), "--out", str(tmp_path / "out")]
    assert main([*line, "--max_new_tokens", "4", "--bootstrap", "50"]) == 0
    assert "by run (seed)" in capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "evaluation_report.json").read_text("utf-8"))
    assert report["n"] == 6
    assert not list((tmp_path / "out").glob("*.partial.jsonl"))
    assert report["metrics"]["bits_per_byte"]["seeds"]["value"][0] > 0


def test_an_adapter_that_peft_alone_has_saved_compares(tmp_path, capsys, gpt2_base):
    base = AutoModelForCausalLM.from_pretrained(gpt2_base)
    adapter = tmp_path / "adapter"
    tiny.randomise(tiny.with_lora(base, ["c_attn"])).save_pretrained(adapter)
    assert not (adapter / "tokenizer.json").exists()
    write_qa(tmp_path / "qa.jsonl", PAIRS[:4])
    line = ["compare", str(gpt2_base), str(adapter), "--data", str(tmp_path / "qa.jsonl")]
    assert main([*line, "--max_new_tokens", "4", "--bootstrap", "50"]) == 0
    assert (adapter / "comparison" / "report.html").is_file()
    # What is not there shows before the first model is asked.
    config = json.loads((adapter / "adapter_config.json").read_text("utf-8"))
    config["base_model_name_or_path"] = str(tmp_path / "gone")
    (adapter / "adapter_config.json").write_text(json.dumps(config), "utf-8")
    capsys.readouterr()
    assert main([*line, "--out", str(tmp_path / "out")]) == 2
    assert "its base is missing" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_damaged_adapter_shows_before_the_first_model_is_asked(tmp_path, capsys, gpt2_base):
    adapter = tiny.save_adapter_folder(tmp_path / "adapter", gpt2_base)
    with open(adapter / "adapter_model.safetensors", "ab") as file:
        file.write(b"\0")
    write_qa(tmp_path / "qa.jsonl", PAIRS[:4])
    line = ["compare", str(gpt2_base), str(adapter), "--data", str(tmp_path / "qa.jsonl")]
    assert main([*line, "--out", str(tmp_path / "out")]) == 2
    assert "is damaged" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_comparison_that_was_cut_off_goes_on(
    tmp_path, capsys, monkeypatch, gpt2_base, llama_base
):
    write_qa(tmp_path / "qa.jsonl", PAIRS[:4])
    line = [
        "compare",
        str(gpt2_base),
        str(llama_base),
        "--max_new_tokens",
        "4",
        "--bootstrap",
        "50",
    ]
    line += ["--data", str(tmp_path / "qa.jsonl"), "--out", str(tmp_path / "out")]

    def stop(model, filters, plan, progress):
        if model.name == str(llama_base):
            raise KeyboardInterrupt
        return answers_of_model(model, filters, plan, progress)

    with monkeypatch.context() as patched:
        patched.setattr("lawtune.eval.compare.answers_of_model", stop)
        assert main(line) == 130
    assert len(list((tmp_path / "out").iterdir())) == 1
    capsys.readouterr()
    assert main(line) == 0
    assert "not computed again" in capsys.readouterr().err
    assert (tmp_path / "out" / "report.html").is_file()


def test_answers_are_not_written_over(tmp_path, capsys):
    write_qa(tmp_path / "qa.jsonl", PAIRS[:4])
    path = write_answers(tmp_path / "said" / "predictions.jsonl", {"r0": "답"})
    line = ["compare", str(path), str(path), "--data", str(tmp_path / "qa.jsonl")]
    assert main([*line, "--out", str(path.parent)]) == 2
    assert "would be written over" in capsys.readouterr().err


def test_law_that_is_not_there_is_missed_before_any_model_is_asked():
    def ask(plan, progress):
        raise AssertionError("asked")

    with pytest.raises(UserError, match="no-such-law"):
        compare([ask], [ask], PAIRS, replace(CONFIG, sources=("no-such-law",)))
