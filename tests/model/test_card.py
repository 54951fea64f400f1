"""The card of a model folder: a licence travels with the weights, a local path does not."""

import pytest
import yaml

from lawtune.model.card import adapter_card, merged_card

DATA = {
    "path": "/home/lawyer/사건/train.jsonl",
    "sha256": "d" * 64,
    "records": 1234,
    "personal_data_masked": {"phone": 2, "email": 1},
}
RECORD = {
    "config": {
        "lora": {"r": 4, "alpha": 8, "target_modules": "all-linear"},
        "train": {"learning_rate": 0.002, "seed": 7},
    },
    "base": {
        "name": "skt/kogpt2-base-v2",
        "revision": "abc123",
        "sha256": "b" * 64,
        "licence": "cc-by-nc-sa-4.0",
    },
    "data": {"train": DATA, "validation": None},
    "metrics": {"steps": 9, "initial_validation_loss": 3.5, "best_validation_loss": 2.25},
    "versions": {"lawtune": "0.1.0"},
}
EXPORT = {"base": RECORD["base"], "dtype": "float32", "training": RECORD}


def front(card: str) -> dict:
    return yaml.safe_load(card.split("---\n")[1])


@pytest.mark.parametrize("card", [adapter_card("mine", RECORD), merged_card("mine", EXPORT)])
def test_licence_base_and_data_are_told_and_no_path(card: str):
    assert front(card)["license"] == "cc-by-nc-sa-4.0"
    assert front(card)["base_model"] == "skt/kogpt2-base-v2"
    for told in ("abc123", "b" * 64, "d" * 64, "train.jsonl", "1,234", "3 pieces", "2.250"):
        assert told in card
    assert "lawyer" not in card


def test_a_base_that_is_not_on_the_hub_and_states_no_licence():
    base = {"name": "/srv/models/kogpt2", "revision": None, "sha256": "b" * 64, "licence": None}
    card = adapter_card("mine", RECORD | {"base": base})
    assert not {"license", "base_model"} & set(front(card))
    assert "for kogpt2, tuned" in card and "/srv" not in card
    assert "states none" in card


def test_an_adapter_that_went_on_from_another_has_that_ones_settings():
    own = {"r": 16, "alpha": 32, "target_modules": ["h.0.c_attn", "h.1.c_attn"]}
    for record in (RECORD | {"adapter": None}, RECORD | {"adapter": "a" * 64}):
        record |= {"resolved": {"lora": own}}
        told = "r 16, alpha 32, on ['c_attn']" if record["adapter"] else "r 4, alpha 8, on all"
        assert told in adapter_card("mine", record)
        assert told in merged_card("mine", EXPORT | {"training": record})


def test_of_an_adapter_made_elsewhere_there_is_little_to_tell():
    card = merged_card("mine", EXPORT | {"training": {}})
    assert front(card)["license"] == "cc-by-nc-sa-4.0" and "validation loss" not in card
