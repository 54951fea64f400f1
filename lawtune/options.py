"""Options as a user writes them, read into the dataclasses of `lawtune.config`, and written again.

A config file is YAML with the same nesting as the dataclasses; `--section.key value` on the command
line overrides it, the value read as YAML. Unknown keys and values of the wrong type are refused.
"""

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from lawtune.errors import UserError
from lawtune.files import read_text

Config = TypeVar("Config")


def load_config(
    schema: type[Config], path: Path | None, overrides: Mapping[str, str] | None = None
) -> Config:
    """Build `schema` from a YAML file (or nothing) and dotted overrides.

    Args:
        overrides: dotted key → value as written on the command line, read as YAML.

    Raises:
        UserError: the file is missing or not a YAML mapping, a key is unknown (the valid ones are
            listed), or a value does not fit its field.
    """
    tree = _read_yaml_mapping(path) if path else {}
    for key, text in (overrides or {}).items():
        _set_dotted(tree, key, text, schema)
    return validate(schema, tree, str(path) if path else "the command line")


def validate(schema: type[Config], tree: Mapping[str, Any], origin: str) -> Config:
    """Turn a plain mapping into `schema`, checking every key and type (see `load_config`)."""
    # Imported here: pydantic costs a tenth of a second, which `--help` need not pay.
    from pydantic import TypeAdapter, ValidationError

    _refuse_unknown_keys(schema, tree, origin)
    try:
        config = TypeAdapter(schema).validate_python(_over_defaults(schema, tree))
    except ValidationError as error:
        first = error.errors()[0]
        # pydantic also names the union member it tried; only our own names help the reader.
        names = {part for key in valid_keys(schema) for part in key.split(".")}
        key = ".".join(str(part) for part in first["loc"] if str(part) in names)
        raise UserError(
            f"{origin}: {key}: {first['msg'].lower()} (found {first['input']!r})"
        ) from None
    _refuse_booleans(config, tree, origin)
    return config


def valid_keys(schema: type) -> dict[str, Any]:
    """Every dotted key of `schema` with its default, in order."""

    def walk(config: Any, prefix: str) -> dict[str, Any]:
        keys: dict[str, Any] = {}
        for name, value in _fields(config).items():
            if dataclasses.is_dataclass(value):
                keys |= walk(value, f"{prefix}{name}.")
            else:
                keys[f"{prefix}{name}"] = value
        return keys

    return walk(schema(), prefix="")


def to_dict(config: Any) -> dict[str, Any]:
    """A config as plain data for JSON or YAML; tuples become lists."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value

    return plain(dataclasses.asdict(config))


def _over_defaults(schema: type, tree: Mapping[str, Any]) -> dict[str, Any]:
    """`tree` with what it leaves open filled from `schema`'s own defaults. Left to themselves, the
    other keys of a section would fall back to the section's class, not to its owner's values."""

    def merge(defaults: Any, branch: Mapping[str, Any]) -> dict[str, Any]:
        merged = _fields(defaults)
        for key, value in branch.items():
            # A section with nothing below it keeps its defaults.
            inner = dataclasses.is_dataclass(merged[key]) and isinstance(value, Mapping | None)
            merged[key] = merge(merged[key], value or {}) if inner else value
        return merged

    return merge(schema(), tree)


def _fields(config: Any) -> dict[str, Any]:
    return {entry.name: getattr(config, entry.name) for entry in dataclasses.fields(config)}


def _read_yaml_mapping(path: Path) -> dict[str, Any]:
    tree = _parse_yaml(read_text(path), str(path))
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise UserError(f"{path}: expected a mapping of options, found {type(tree).__name__}")
    return tree


def _parse_yaml(text: str, origin: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Refuses a key that comes twice: of two sections `train`, the first would be lost."""

    def mapping(loader: Loader, node: yaml.MappingNode) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise yaml.YAMLError(f"{twice} stands there twice")
        return yaml.SafeLoader.construct_mapping(loader, node, deep=True)

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    try:
        return yaml.load(text, Loader)
    except (yaml.YAMLError, ValueError) as error:
        # A ValueError is of what looks like a date and is none: 2024-13-45.
        raise UserError(f"{origin}: not YAML: {' '.join(str(error).split())}") from None


def _set_dotted(tree: dict[str, Any], key: str, text: str, schema: type) -> None:
    if key not in valid_keys(schema):
        raise _unknown(key, schema, "the command line")
    *sections, leaf = key.split(".")
    for section in sections:
        if not isinstance(tree.get(section), dict):
            tree[section] = {}
        tree = tree[section]
        schema = _types(schema)[section]
    kind = _types(schema)[leaf]
    # A path is taken as typed: a folder may well be called 20240501 or [민법].
    is_text = kind is str or (kind == str | None and text != "null")
    tree[leaf] = text if is_text else _parse_yaml(text, f"--{key}")


def _types(schema: type) -> dict[str, Any]:
    return {entry.name: entry.type for entry in dataclasses.fields(schema)}


def _refuse_unknown_keys(schema: type, tree: Mapping[str, Any], origin: str) -> None:
    def walk(kind: type, branch: Mapping[str, Any], prefix: str) -> None:
        kinds = {entry.name: entry.type for entry in dataclasses.fields(kind)}
        for key, value in branch.items():
            if key not in kinds:
                raise _unknown(f"{prefix}{key}", schema, origin)
            if dataclasses.is_dataclass(kinds[key]) and isinstance(value, Mapping):
                walk(kinds[key], value, f"{prefix}{key}.")

    walk(schema, tree, prefix="")


def _refuse_booleans(config: Any, tree: Mapping[str, Any], origin: str, prefix: str = "") -> None:
    """pydantic takes true for 1."""
    for name, given in tree.items():
        taken, key = getattr(config, name), f"{prefix}{name}"
        if dataclasses.is_dataclass(taken):
            _refuse_booleans(taken, given or {}, origin, f"{key}.")
            continue
        several = isinstance(given, (list, tuple))
        for one, number in zip(given, taken, strict=True) if several else [(given, taken)]:
            if isinstance(one, bool) and not isinstance(number, bool):
                raise UserError(f"{origin}: {key}: input should be a number (found {one!r})")


def _unknown(key: str, schema: type, origin: str) -> UserError:
    keys: Sequence[str] = list(valid_keys(schema))
    close = difflib.get_close_matches(key, keys, n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    return UserError(f"{origin}: unknown key {key}{hint}; valid keys: {', '.join(keys)}")
