"""Reads a saved model back with transformers alone: `python -m lawtune.export.check FOLDER PROBES
OUT`. A separate program, because only a fresh process proves what was saved.

It knows nothing of adapters, tying or merging: it loads the folder as any stranger would, computes
the logits of the token ids in PROBES (JSON, name → ids) and writes them to OUT (safetensors).
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
    AutoTokenizer.from_pretrained(folder)
    model.eval()
    requests = json.loads(Path(probes).read_text(encoding="utf-8"))
    with torch.inference_mode():
        logits = {
            name: model(input_ids=torch.tensor([ids])).logits[0].contiguous()
            for name, ids in requests.items()
        }
    save_file(logits, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
