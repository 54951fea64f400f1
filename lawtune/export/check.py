"""Reads a saved model back with transformers alone: `python -m lawtune.export.check FOLDER PROBES
OUT`. A separate program, because only a fresh process proves what was saved.

It knows nothing of adapters, tying or merging: it loads the folder as any stranger would, checks
that its tokenizer spells the texts in PROBES (JSON, name → {"text", "ids"}) as it should, and
writes the logits of their ids to OUT (safetensors).
"""

import json
import sys
from pathlib import Path


def main(folder: str, probes: str, out: str) -> None:
    """See the module."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, info = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    if info["missing_keys"]:
        raise SystemExit(f"the saved weights lack {sorted(info['missing_keys'])}")
    requests = json.loads(Path(probes).read_text(encoding="utf-8"))
    # transformers makes up an empty tokenizer where there is none, so loading it proves nothing.
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for request in requests.values():
        spelled = tokenizer(request["text"], add_special_tokens=False)["input_ids"]
        if spelled[: len(request["ids"])] != request["ids"]:
            raise SystemExit(f"the saved tokenizer spells {request['text']!r} otherwise")
    model.eval()
    with torch.inference_mode():
        logits = {
            name: model(input_ids=torch.tensor([request["ids"]])).logits[0].contiguous()
            for name, request in requests.items()
        }
    save_file(logits, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
