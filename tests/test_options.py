"""Config files and overrides: read as YAML, checked, with one default for each field."""

import dataclasses
from pathlib import Path

import pytest

from lawtune import config, options
from lawtune.errors import UserError

SCHEMAS = [
    value
    for value in vars(config).values()
    if dataclasses.is_dataclass(value) and value.__module__ == config.__name__
]


def load(tmp_path: Path, text: str, overrides=None, schema=config.FinetuneConfig):
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return options.load_config(schema, path, overrides)


def test_the_original_recipe_in_yaml(tmp_path):
    """YAML 1.1 reads 5e-5, without a dot, as text."""
    loaded = load(
        tmp_path,
        "train: {learning_rate: 5e-5, warmup_steps: 100}\n"
        "lora: {alpha: 32, target_modules: [lm_head]}\n",
    )
    assert loaded.train.learning_rate == 0.00005
    assert loaded.train.warmup_steps == 100
    assert loaded.lora.target_modules == ("lm_head",)
    assert loaded.train.epochs == config.TrainConfig().epochs


def test_overrides_are_read_as_yaml_and_win(tmp_path):
    overrides = {
        "train.learning_rate": "1e-3",
        "train.warmup_steps": "auto",
        "train.max_steps": "null",
        "train.tensorboard": "true",
        "lora.target_modules": "[c_attn, c_proj]",
        "data.train": "my.jsonl",
    }
    loaded = load(tmp_path, "train: {learning_rate: 5e-5, max_steps: 7, epochs: 2}", overrides)
    assert loaded.train.learning_rate == 0.001
    assert (loaded.train.warmup_steps, loaded.train.max_steps) == ("auto", None)
    assert loaded.train.tensorboard is True
    assert loaded.train.epochs == 2
    assert loaded.lora.target_modules == ("c_attn", "c_proj")
    assert loaded.data.train == "my.jsonl"


def test_an_override_keeps_the_other_defaults_of_its_section():
    """Quickstart's sections differ from their classes' defaults; overriding one key of a section
    must not bring the class's values back for the others."""
    plain = config.QuickstartConfig()
    loaded = options.load_config(
        config.QuickstartConfig, None, {"train.epochs": "2", "data.seed": "7"}
    )
    assert loaded.train == dataclasses.replace(plain.train, epochs=2)
    assert loaded.data == dataclasses.replace(plain.data, seed=7)
    assert loaded.evaluate == plain.evaluate
    assert plain.train.learning_rate != config.TrainConfig().learning_rate


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.__name__)
def test_no_file_and_no_override_gives_the_defaults(schema):
    assert options.load_config(schema, None) == schema()


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.__name__)
def test_valid_keys_show_the_defaults_that_hold(schema):
    for key, shown in options.valid_keys(schema).items():
        value = schema()
        for part in key.split("."):
            value = getattr(value, part)
        assert value == shown


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.__name__)
def test_a_config_survives_its_own_dict(schema):
    assert options.validate(schema, options.to_dict(schema()), "again") == schema()


@pytest.mark.parametrize(
    ("text", "overrides"),
    [
        ("nonsense: 1", {}),
        ("train: {epoch: 3}", {}),
        ("train: {epochs: {deep: 1}, epoch: 3}", {}),
        ("", {"train.epoch": "3"}),
        ("", {"train": "3"}),
        ("3: x", {}),
    ],
)
def test_an_unknown_key_lists_the_valid_ones(tmp_path, text, overrides):
    with pytest.raises(UserError, match="unknown key") as caught:
        load(tmp_path, text, overrides)
    for key in ("base", "lora.target_modules", "train.warmup_steps", "data.max_length"):
        assert key in str(caught.value)


def test_a_near_miss_is_suggested(tmp_path):
    with pytest.raises(UserError, match=r"did you mean train\.learning_rate\?"):
        load(tmp_path, "train: {learning_rat: 1}")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("train: {epochs: many}", "train.epochs"),
        ("train: {epochs: 1.5}", "train.epochs"),
        ("train: {epochs: true}", "train.epochs"),
        ("train: {warmup_steps: yes}", "train.warmup_steps"),
        ("train: {learning_rate: true}", "train.learning_rate"),
        ("lora: {layers_to_transform: [0, true]}", "lora.layers_to_transform"),
        ("train: {learning_rate: [1]}", "train.learning_rate"),
        ("train: {scheduler: sideways}", "train.scheduler"),
        ("train: {warmup_steps: some}", "train.warmup_steps"),
        ("lora: {layers_to_transform: [a]}", "lora.layers_to_transform"),
        ("base: [a, b]", "base"),
        ("train: 3", "train"),
    ],
)
def test_a_value_of_the_wrong_type_names_file_and_key(tmp_path, text, key):
    with pytest.raises(UserError, match=rf"recipe\.yaml: {key}: .*found"):
        load(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b", "expected a mapping"),
        ("a: [", "not YAML"),
        ("a: b: c", "not YAML"),
        ("train: {max_steps: 2024-13-45}", "recipe.yaml: not YAML: month must be in"),
    ],
)
def test_a_file_that_is_no_mapping(tmp_path, text, message):
    with pytest.raises(UserError, match=message) as caught:
        load(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_a_key_that_comes_twice_is_refused(tmp_path):
    with pytest.raises(UserError, match="train stands there twice"):
        load(tmp_path, "train: {epochs: 1}\nlora: {r: 2}\ntrain: {seed: 2}\n")


def test_an_empty_section_keeps_its_defaults(tmp_path):
    assert load(tmp_path, "train:\nlora: {r: 2}\n").train == config.TrainConfig()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train.learning_rate", ".nan"),
        ("train.learning_rate", ".inf"),
        ("train.max_grad_norm", "0"),
        ("lora.dropout", "1.0"),
        ("lora.alpha", "-1"),
        ("data.max_length", "1"),
        ("train.memory_limit", "0"),
    ],
)
def test_a_number_out_of_its_range_is_refused(tmp_path, key, value):
    with pytest.raises(UserError, match=f"{key}: input should be"):
        load(tmp_path, "", {key: value})


def test_an_empty_file_is_all_defaults_and_a_missing_one_is_named(tmp_path):
    assert load(tmp_path, "# nothing yet\n") == config.FinetuneConfig()
    with pytest.raises(UserError, match="no such file"):
        options.load_config(config.FinetuneConfig, tmp_path / "gone.yaml")


@pytest.mark.parametrize("value", ["[", "2024-13-45"])
def test_an_override_that_is_not_yaml(tmp_path, value):
    with pytest.raises(UserError, match="--train.epochs: not YAML"):
        load(tmp_path, "", {"train.epochs": value})


def test_configs_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.TrainConfig().epochs = 4
