"""What an artifact takes over from a checkpoint folder: configuration, class names, where the weights came from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..texts import class_key
from ..weight_files import INDEX, SINGLE, weight_files

PURIFICATION = "purify.json"
_SHORTEST = 3  # tokens: a word between the two that a tokenizer puts around a text


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


def pad_token(config: dict[str, Any], own: int | None) -> int:
    """The token that texts are padded with: the model's, else its tokenizer's ``own``; 0 where nothing tells.

    Raises:
        InputError: what the model states is no token's number.
    """
    stated = config.get("pad_token_id")
    if stated is None:
        stated = own or 0
    if not isinstance(stated, int) or stated < 0:
        raise InputError(f"pad_token_id in config.json is {stated!r}, expected the number of a token")
    return stated


def longest_input(positions: int | None, stated: int | None, wanted: int | None) -> int:
    """How long a text the artifact reads, in tokens.

    Args:
        positions: so many the model has places for, where that is known; validation tries it out.
        stated: so many its tokenizer gives to it (``model_max_length``), if it says.
        wanted: by the user, who may know better than the tokenizer.

    Raises:
        InputError: nothing says it, or it cannot be.
    """
    known = [limit for limit in (positions, stated) if limit is not None]
    if wanted is not None:
        if wanted < _SHORTEST or (positions is not None and wanted > positions):
            most = "" if positions is None else f"the model reads at most {positions} tokens, "
            raise InputError(f"--max-tokens is {wanted}: {most}the least is {_SHORTEST}")
        return wanted
    if not known or min(known) < _SHORTEST:
        says = f"{min(known)} tokens hold no word" if known else "nothing says how long a text the model reads"
        raise InputError(f"{says}: give --max-tokens")
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
    if len({class_key(name) for name in names}) < classes:  # labels in files could not tell them apart
        raise InputError(
            f"two classes have one name, case and blanks at its ends aside ({', '.join(names)}): "
            "give each its own with --labels"
        )
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
