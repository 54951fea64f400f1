"""lm-evaluation-harness takes an adapter folder as it is: `pretrained=BASE,peft=ADAPTER`.

Where LoRA is on an `lm_head` that shares its matrix with the embedding, the harness ties the two
once more after loading, which PEFT's layer does not allow: the merged export takes its place.
"""

import json
from pathlib import Path

import pytest
import tiny
import torch

from lawtune.export.merge import export_merged
from lawtune.model.legal_model import LegalModel

pytestmark = pytest.mark.slow

QUESTIONS = [
    {
        "question": "불법행위로 손해를 가한 자는?",
        "choices": ["배상한다.", "면책된다."],
        "answer": 0,
    },
    {"question": "유급휴일은 1주일에 몇 회인가?", "choices": ["없다.", "1회 이상"], "answer": 1},
    {
        "question": "임대인은 갱신을 거절하는가?",
        "choices": ["못한다.", "마음대로 한다."],
        "answer": 0,
    },
]
TASK = """
task: tiny_law
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}\\n정답:"
doc_to_choice: choices
doc_to_target: answer
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""


def run(folder: Path, model_args: str) -> list[float]:
    """The log-likelihoods of all choices in turn, by the harness; its accuracy is checked."""
    lm_eval = pytest.importorskip("lm_eval")
    from lm_eval.tasks import TaskManager

    done = lm_eval.simple_evaluate(
        model="hf",
        model_args=model_args,
        tasks=["tiny_law"],
        task_manager=TaskManager(include_path=str(folder), include_defaults=False),
        device="cpu",
        batch_size=2,
        bootstrap_iters=0,
    )
    rows = sorted(done["samples"]["tiny_law"], key=lambda row: row["doc_id"])
    scores = [[float(score) for score, _ in row["filtered_resps"]] for row in rows]
    right = [row["answer"] == s.index(max(s)) for row, s in zip(QUESTIONS, scores, strict=True)]
    assert done["results"]["tiny_law"]["acc,none"] == pytest.approx(sum(right) / len(right))
    return [score for row in scores for score in row]


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a task that needs no network."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "law.jsonl"
    file.write_text("\n".join(map(json.dumps, QUESTIONS)), "utf-8")
    (tmp_path / "tiny_law.yaml").write_text(TASK.format(file=file), "utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("base", "targets"),
    [("gpt2_base", ("c_attn", "c_fc")), ("llama_base", ("lm_head", "q_proj"))],
)
def test_an_adapter_as_it_is(
    request: pytest.FixtureRequest, task: Path, base: str, targets: tuple[str, ...]
):
    adapter = tiny.save_adapter_folder(task / "adapter", request.getfixturevalue(base), targets)
    named = json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"]
    model = LegalModel.load(adapter, device="cpu")
    tuned = run(task, f"pretrained={named},peft={adapter},tokenizer={adapter},dtype=float32")
    assert tuned == pytest.approx(expected(model), rel=1e-4)
    with model.base_only():
        untuned = expected(model)
    assert run(task, f"pretrained={named},dtype=float32") == pytest.approx(untuned, rel=1e-4)
    assert max(abs(a - b) for a, b in zip(tuned, untuned, strict=True)) > 0.1


def test_the_merged_export_where_the_embedding_is_tied(gpt2_base: Path, task: Path):
    adapter = tiny.save_adapter_folder(task / "adapter", gpt2_base, ("lm_head",))
    export_merged(str(adapter), task / "merged")
    model = LegalModel.load(adapter, device="cpu")
    merged = run(task, f"pretrained={task / 'merged'},dtype=float32")
    assert merged == pytest.approx(expected(model), rel=1e-4)


def expected(model: LegalModel) -> list[float]:
    """Σ log p of each choice, prompt and choice tokenised as one text, as the harness does."""
    sums = []
    for row in QUESTIONS:
        prompt = model.tokenizer(f"{row['question']}\n정답:")["input_ids"]
        for choice in row["choices"]:
            ids = model.tokenizer(f"{row['question']}\n정답: {choice}")["input_ids"]
            with torch.no_grad():
                chances = model.model(torch.tensor([ids])).logits[0].log_softmax(-1)
            places = range(len(prompt) - 1, len(ids) - 1)
            sums.append(sum(float(chances[p, ids[p + 1]]) for p in places))
    return sums
