"""What an artifact takes over from a checkpoint folder: configuration, tokenizer, where the weights came from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from ..errors import InputError, require
from ..weight_files import INDEX, SINGLE, weight_files

# What slow tokenizers keep their vocabulary in. Without any, transformers would make up an empty one.
_VOCABULARIES = ("vocab.*", "*.model", "merges.txt")
_TOKENIZER_FILES = ("tokenizer_config.json", "special_tokens_map.json")
PURIFICATION = "purify.json"
_UNBOUNDED = 1_000_000  # what tokenizers that know no maximum say is larger


def write_tokenizer(source: Path, target: Path) -> Tokenizer:
    """Copy the fast tokenizer, converting a slow one where transformers can; return it.

    Raises:
        InputError: there is no tokenizer that has a fast form, or a file beside it is not a JSON object.
    """
    if (source / "tokenizer.json").is_file():
        shutil.copyfile(source / "tokenizer.json", target / "tokenizer.json")
    else:
        _convert_tokenizer(source, target)
    for name in _TOKENIZER_FILES:
        if (source / name).is_file():
            read_object(source / name)
            shutil.copyfile(source / name, target / name)
    try:
        return Tokenizer.from_file(str(target / "tokenizer.json"))
    except Exception as error:  # the library raises bare Exception for whatever is wrong with a file
        raise InputError(f"'{source / 'tokenizer.json'}' is not a fast tokenizer's description") from error


def _convert_tokenizer(source: Path, target: Path) -> None:
    refusal = f"'{source}' has no tokenizer.json and none can be made from its files: save a fast tokenizer there"
    if not any(path for pattern in _VOCABULARIES for path in source.glob(pattern)):
        raise InputError(refusal)
    transformers = require("transformers", "export")
    try:
        slow = transformers.AutoTokenizer.from_pretrained(source, local_files_only=True, trust_remote_code=False)
        slow.backend_tokenizer.save(str(target / "tokenizer.json"))
    except Exception as error:  # whatever a converter meets in a vocabulary file
        raise InputError(refusal) from error


def write_weights(source: Path, target: Path) -> None:
    """Copy the safetensors files that are read, and the index that large models have of them."""
    files = weight_files(source)
    for path in files:
        shutil.copyfile(path, target / path.name)
    if files != [source / SINGLE] and (source / INDEX).is_file():
        shutil.copyfile(source / INDEX, target / INDEX)


def read_config(folder: Path) -> dict[str, Any]:
    """Content of ``config.json``; empty where there is none.

    Raises:
        InputError: the file is not a JSON object.
    """
    path = folder / "config.json"
    return read_object(path) if path.is_file() else {}


def check_one_label(kind: object, classes: int, source: object) -> None:
    """Refuse a model whose answer is not one label.

    Args:
        kind: ``problem_type`` in its ``config.json``, None where it does not say.

    Raises:
        InputError: it gives a number, or several labels at once.
    """
    if classes < 2 or kind in ("regression", "multi_label_classification"):
        raise InputError(f"'{source}' gives {kind or 'one number'}, expected one label out of several classes")


def pad_token(config: dict[str, Any], tokenizer: Tokenizer, folder: Path) -> int:
    """The token that texts are padded with: the model's own, else its tokenizer's; 0 where nothing tells.

    Args:
        folder: where :func:`write_tokenizer` put the tokenizer's files.

    Raises:
        InputError: the tokenizer has no such token.
    """
    stated = config.get("pad_token_id")
    if stated is None:
        names = [read_object(folder / name).get("pad_token") for name in _TOKENIZER_FILES if (folder / name).is_file()]
        texts = [name.get("content") if isinstance(name, dict) else name for name in names]
        known = [tokenizer.token_to_id(text) for text in texts if isinstance(text, str)]
        own = (tokenizer.padding or {}).get("pad_id")
        stated = next((token for token in (*known, own) if token is not None), 0)
    if not isinstance(stated, int) or stated < 0:
        raise InputError(f"pad_token_id in config.json is {stated!r}, expected the number of a token")
    return stated


def longest_input(config: dict[str, Any], folder: Path, wanted: int | None) -> int:
    """What the files beside an ONNX model say about the longest text; validation tries it out.

    Raises:
        InputError: nothing says it.
    """
    path = folder / "tokenizer_config.json"
    stated = read_object(path) if path.is_file() else {}
    limits = [config.get("max_position_embeddings"), stated.get("model_max_length"), wanted]
    known = [int(limit) for limit in limits if isinstance(limit, (int, float)) and limit < _UNBOUNDED]
    if not known:
        raise InputError("nothing says how long a text the model reads: give --max-tokens")
    return min(known)


def write_config(config: dict[str, Any], target: Path, labels: Sequence[str]) -> None:
    """Write ``config.json`` with these class names."""
    named = {
        **config,
        "id2label": {str(i): label for i, label in enumerate(labels)},
        "label2id": {label: i for i, label in enumerate(labels)},
    }
    (target / "config.json").write_text(json.dumps(named, indent=2) + "\n", encoding="utf-8")


def class_names(config: dict[str, Any], classes: int, wanted: Sequence[str] | None) -> tuple[str, ...]:
    """Class names in the order of the logits: those ``wanted``, else the model's own.

    Raises:
        InputError: their number is not that of the logits, or they are numbered otherwise, not printable or equal.
    """
    own = config.get("id2label") or {}
    if own and not wanted and {str(key) for key in own} != {str(i) for i in range(classes)}:
        raise InputError(
            f"id2label in config.json numbers classes {', '.join(map(str, own))}, expected 0 to {classes - 1}: "
            "give their names with --labels"
        )
    names = tuple(wanted or (str(own.get(str(i), own.get(i, f"LABEL_{i}"))) for i in range(classes)))
    if len(names) != classes:
        raise InputError(f"{len(names)} labels for a model with {classes} classes: name each class once")
    if not all(name.strip() and name.isprintable() for name in names):
        raise InputError("a class name is empty or has control characters: give printable ones with --labels")
    if len(set(names)) < classes:
        raise InputError("two classes have one name: give each its own with --labels")
    return names


def purification(source: Path) -> dict[str, Any] | None:
    """The purifier's report, if it left one beside the weights."""
    path = source / PURIFICATION
    if not path.is_file():
        return None
    return read_object(path)


def read_object(path: Path) -> dict[str, Any]:
    """Content of a JSON file.

    Raises:
        InputError: the file is not a JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"'{path}' is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"'{path}' holds {type(content).__name__}, expected a JSON object")
    return content
