"""The README.md of a model folder: what it is, under which licence, and made of what.

Written from what the folder records of itself (`training_config.json`), so that a folder that is
copied or uploaded still says it. Of local paths only the last name is told.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CARD_FILE = "README.md"

_CARD = """---
{front}
---

# {title}

{what} It answers questions about Korean law, in Korean. Its answers are no legal advice: they may \
be wrong, and cite what does not exist.

| | |
|---|---|
{table}

The prompts that it was trained with are in `prompt_templates.json`.

    from lawtune import LegalModel

    print(LegalModel.load("THIS-FOLDER").answer("민법 제750조의 내용을 설명해 주십시오."))
"""


def adapter_card(title: str, record: Mapping[str, Any]) -> str:
    """The card of an adapter, from its `training_config.json`."""
    many = len(record.get("averaged", ()))
    kind = f"The mean of {many} LoRA adapters" if many else "A LoRA adapter"
    what = f"{kind} for {_name(record['base'])}, tuned with lawtune."
    return _card(title, what, "peft", record, record["base"])


def merged_card(title: str, described: Mapping[str, Any]) -> str:
    """The card of a merged model, from its `export.json`."""
    base = described["base"]
    what = f"{_name(base)} with a LoRA adapter merged into it ({described['dtype']}), by lawtune."
    return _card(title, what, "transformers", described["training"], base)


def _card(
    title: str, what: str, library: str, record: Mapping[str, Any], base: Mapping[str, Any]
) -> str:
    front = {"license": base.get("licence"), "base_model": base.get("revision") and base["name"]}
    front |= {"language": "ko", "library_name": library, "pipeline_tag": "text-generation"}
    rows = {
        "base": f"{_name(base)}, revision {base.get('revision') or '–'}, SHA-256"
        f" `{base.get('sha256')}`",
        "licence": base.get("licence") or "the base states none: ask before you pass it on",
        **_training(record),
    }
    return _CARD.format(
        front="\n".join(f"{key}: {value}" for key, value in front.items() if value),
        title=title,
        what=what,
        table="\n".join(f"| {key} | {value} |" for key, value in rows.items()),
    )


def _training(record: Mapping[str, Any]) -> dict[str, str]:
    """What a `training_config.json` has to say; nothing of an adapter that was made elsewhere."""
    if averaged := record.get("averaged"):
        return _members(averaged, record["scale"])
    if not record.get("metrics"):
        return {}
    train, metrics, data = record["config"]["train"], record["metrics"], record["data"]
    lora = _lora(record)
    rows = {f"{n} data": _data(data[n]) for n in ("train", "validation") if data[n]}
    if texts := data.get("texts"):
        rows["raw law"] = _texts(texts)
    rows["adapter"] = f"r {lora['r']}, alpha {lora['alpha']}, on {lora['target_modules']}"
    rows["training"] = (
        f"{metrics['steps']} steps, learning rate {train['learning_rate']}, seed {train['seed']}"
    )
    if metrics["best_validation_loss"] is not None:
        before, best = metrics["initial_validation_loss"], metrics["best_validation_loss"]
        rows["validation loss"] = f"{best:.3f} nats a token, {before:.3f} before training"
    rows["versions"] = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    return rows


def _lora(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """The adapter's settings: the config's, but for one that training went on from, which has kept
    its own, whatever the config says."""
    if not record.get("adapter"):
        return record["config"]["lora"]
    kept = record["resolved"]["lora"]
    targets = kept["target_modules"]
    if isinstance(targets, list):  # each by its full name: too many to read
        targets = sorted({name.rsplit(".", 1)[-1] for name in targets})
    return kept | {"target_modules": targets}


def _members(averaged: Sequence[Mapping[str, Any]], scale: float) -> dict[str, str]:
    """A row for each fact of each member of an average."""
    rows = {"mean of": f"{len(averaged)} adapters, times {scale:g}"}
    for number, member in enumerate(averaged, start=1):
        rows[f"{number}"] = f"{member['name']}, SHA-256 `{member['sha256']}`"
        facts = _training(member["training"])
        rows |= {f"{number}: {name}": fact for name, fact in facts.items()}
    return rows


def _data(data: Mapping[str, Any]) -> str:
    masked = sum(data["personal_data_masked"].values())
    return (
        f"{Path(data['path']).name}: {data['records']:,} questions and answers, SHA-256"
        f" `{data['sha256']}`, {masked:,} pieces of personal data masked"
    )


def _texts(texts: Mapping[str, Any]) -> str:
    return (
        f"{texts['read']:,} of {texts['pieces']:,} pieces of {texts['documents']:,} legal texts"
        f" ({texts['tokens']:,} tokens), SHA-256 `{texts['sha256']}`"
    )


def _name(base: Mapping[str, Any]) -> str:
    name = str(base.get("name"))
    return Path(name).name if Path(name).is_absolute() else name
