"""How fast lawtune generates answers, beside transformers' `model.generate` at its best.

    python benchmarks/generation_speed.py --tokenizer FOLDER --out generation_speed.json

measures a model of KoGPT-2's shape with random weights, in float32, on questions of the starter's
test set: greedy, `--new-tokens` each. `lawtune` decodes as `lawtune evaluate` does, with its usual
batch size; `generate-N` is `model.generate` on batches of N, the questions sorted by length, padded
on the left. First each contestant takes its turn once; then lawtune and the fastest batch setting
take turns until each has run `--runs` times. Medians are shown, and how many answers are the same.

`--docs FILE` puts the result of `--out FILE` (measured now or, with `--render`, before) into a page
between its marks.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import page
from train_speed import machine

SHAPES = {
    "kogpt2": {"n_embd": 768, "n_layer": 12, "n_head": 12},
    "tiny": {"n_embd": 32, "n_layer": 2, "n_head": 2},
}
Contestant = Callable[[], list[str]]


def main() -> None:
    options = parse()
    out = Path(options.out)
    if not options.render:
        out.write_text(json.dumps(measure(options), indent=2) + "\n", "utf-8")
    section = render(json.loads(out.read_text("utf-8")))
    print(section)
    if options.docs:
        page.put(Path(options.docs), "generation_speed", section)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, default="kogpt2")
    parser.add_argument("--tokenizer", default="starter", help="a folder, or a base's name")
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--new-tokens", type=int, default=128)
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 16, 32, 64, 128])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", default="generation_speed.json")
    parser.add_argument("--render", action="store_true", help="measure nothing: show --out again")
    parser.add_argument("--docs", help="a Markdown page with the section's marks")
    return parser.parse_args()


def measure(options: argparse.Namespace) -> dict[str, Any]:
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch

    contestants = make_contestants(options)
    runs: list[dict[str, Any]] = []
    answers: dict[str, list[str]] = {}

    def take_turn(name: str) -> None:
        started, busy = time.perf_counter(), time.process_time()
        answers[name] = contestants[name]()
        seconds, busy = time.perf_counter() - started, time.process_time() - busy
        runs.append({"contestant": name, "seconds": seconds, "cpu_seconds": busy})
        print(f"{name}: {seconds:.1f} s ({busy:.1f} s of the processor)", file=sys.stderr)

    for name in contestants:
        take_turn(name)
    best = min((run for run in runs if run["contestant"] != "lawtune"), key=lambda r: r["seconds"])
    for _ in range(options.runs - 1):
        take_turn("lawtune")
        take_turn(best["contestant"])
    same = {
        name: sum(a == b for a, b in zip(answers["lawtune"], said, strict=True))
        for name, said in answers.items()
    }
    return {
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "machine": machine() | {"threads": torch.get_num_threads()},
        "questions": len(answers["lawtune"]),
        "new_tokens": options.new_tokens,
        "same_answers": same,
        "runs": runs,
    }


def make_contestants(options: argparse.Namespace) -> dict[str, Contestant]:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from lawtune.config import EvaluateConfig
    from lawtune.model.legal_model import LegalModel
    from lawtune.model.load import find_tokenizer
    from lawtune.prompt import make_template
    from lawtune.records import read_qa
    from lawtune.starter import QA

    tokenizer = find_tokenizer(options.tokenizer)
    torch.manual_seed(0)
    shape = GPT2Config(
        **SHAPES[options.shape],
        vocab_size=len(tokenizer),
        n_positions=1024,
        bos_token_id=tokenizer.bos_token_id,
        # No token ends an answer: all have the same length, and nobody's luck decides.
        eos_token_id=None,
        pad_token_id=tokenizer.pad_token_id,
    )
    network = GPT2LMHeadModel(shape).eval()
    model = LegalModel(network, tokenizer, make_template("lawtune", tokenizer), "random")
    pairs = read_qa(QA / "test.jsonl")[: options.questions]
    prompts = [model.render(pair.question, pair.type, pair.context) for pair in pairs]

    def lawtune() -> list[str]:
        made = model.generate(prompts, options.new_tokens, EvaluateConfig().batch_size)
        return [one.text for one in made]

    def peer(size: int) -> Contestant:
        return lambda: generate(network, tokenizer, prompts, size, options.new_tokens)

    return {"lawtune": lawtune} | {f"generate-{size}": peer(size) for size in options.batches}


def generate(network: Any, tokenizer: Any, prompts: list[str], size: int, new: int) -> list[str]:
    import torch

    tokenizer.padding_side = "left"
    order = sorted(range(len(prompts)), key=lambda place: -len(tokenizer.tokenize(prompts[place])))
    said: dict[int, str] = {}
    for start in range(0, len(order), size):
        places = order[start : start + size]
        batch = tokenizer(
            [prompts[place] for place in places],
            add_special_tokens=False,
            padding=True,
            return_tensors="pt",
            return_token_type_ids=False,
        )
        with torch.inference_mode():
            made = network.generate(**batch, do_sample=False, max_new_tokens=new)
        tails = made[:, batch["input_ids"].shape[1] :]
        said |= zip(places, tokenizer.batch_decode(tails, skip_special_tokens=True), strict=True)
    return [said[place] for place in range(len(prompts))]


def render(record: dict[str, Any]) -> str:
    """The result as Markdown: medians, and the ratio to the fastest batch setting."""
    times: dict[str, list[dict[str, float]]] = {}
    for run in record["runs"]:
        times.setdefault(run["contestant"], []).append(run)

    def middle(name: str, what: str = "seconds") -> float:
        return statistics.median(run[what] for run in times[name])

    rivals = [name for name in times if name != "lawtune"]
    # The one that ran again, where there was time for that.
    best = min(rivals, key=lambda name: (-len(times[name]), middle(name)))
    rows = []
    for name in sorted(times, key=middle):
        cells = [name, len(times[name])]
        for what in ("seconds", "cpu_seconds"):
            cells += [f"{middle(name, what):.1f}", f"{middle(name, what) / middle(best, what):.2f}"]
        rows.append([*cells, record["same_answers"][name]])
    titles = ("contestant", "runs", "s", "ratio", "processor s", "ratio", "same answers")
    head = (
        f"{record['questions']} questions × {record['new_tokens']} new tokens, medians; ratios are"
        f" to {best}:"
    )
    where = ", ".join(f"{key} {value}" for key, value in record["machine"].items())
    return f"{head}\n\n{page.table(titles, rows)}\n\n`{record['command']}`; {where}."


if __name__ == "__main__":
    main()
