"""The artifact's tokenizer: what transformers makes of a folder, as one description that a server reads without it.

``tokenizer.json`` is not the whole of it. What stands beside it, and the tokenizer's class, change case, accents,
blanks and special tokens when transformers opens the folder, and the model was trained with what came of that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from ..errors import InputError, first_line, require
from .checkpoint import read_object
from .forward import quiet

TOKENIZER, BESIDE = "tokenizer.json", "tokenizer_config.json"
# What slow tokenizers keep their vocabulary in. Without any, transformers would make up an empty one.
_VOCABULARIES = ("vocab.*", "*.model", "merges.txt")
_UNBOUNDED = 1_000_000  # what tokenizers that know no maximum say is larger
_PROBES = (
    *(
        "",
        "A Fine FILM.",
        "Crème brûlée, naïve",
        "日本語 text 很好",
        "  leading  and  double blanks \n",
        "a\tb\u200bc\nd",
    ),
    *("well done 👍🏽🙂", "ﬁne Ⅳ x² ½", "don't — “quote”, it 's n't !", "@USER #tag 123,456 https://x.co/a?b=1"),
    "This is a long text. " * 200,
)


def write_tokenizer(source: Path, target: Path, config: Mapping[str, Any] | None = None) -> Tokenizer:
    """Write the tokenizer of a folder as AutoTokenizer opens it, and make sure that it is read alike; return it.

    Args:
        source: folder with ``tokenizer.json``, or with what transformers makes one from.
        target: folder of the artifact.
        config: of the model, if it is known: transformers chooses a tokenizer's class by it, too.

    Raises:
        InputError: there is no tokenizer that has a fast form, a file is broken, the tokenizer cuts texts where the
            guard does not expect it, or something else than its description takes part in reading a text.
    """
    _check_files(source)
    own = _opened(source)
    if own.truncation_side != "right":
        raise InputError(
            f"the tokenizer in '{source}' cuts the beginning off long texts (truncation_side {own.truncation_side}), "
            f'but the guard reads the beginning: if the model may, too, set "truncation_side": "right" in {BESIDE}'
        )
    layout = json.loads(own.backend_tokenizer.to_str())
    rows, used = (config or {}).get("vocab_size"), own("")["input_ids"]
    # A class may name tokens that its vocabulary never had; where the model has no row for one, no text can hold it.
    missing = {t["id"] for t in layout["added_tokens"] if isinstance(rows, int) and t["id"] >= rows} - {*used}
    kept = [token for token in layout["added_tokens"] if token["id"] not in missing]
    layout |= {"added_tokens": kept, "truncation": None, "padding": None}  # the runtime's and the batches' own
    (target / TOKENIZER).write_text(json.dumps(layout, ensure_ascii=False), encoding="utf-8")
    special = [token for token in own.all_special_tokens if own.convert_tokens_to_ids(token) not in missing]
    (target / BESIDE).write_text(json.dumps(_beside(own, special), indent=2) + "\n", encoding="utf-8")
    if config:
        (target / "config.json").write_text(json.dumps(config), encoding="utf-8")  # the class hangs on it here, too
    fast = Tokenizer.from_file(str(target / TOKENIZER))
    fast.encode_special_tokens = own.split_special_tokens
    reopened = _opened(target)
    probes = (*_PROBES, *(f"a {token} b{token}c" for token in special))
    for reader in (lambda text: fast.encode(text).ids, lambda text: reopened(text)["input_ids"]):
        _check_alike(lambda text: own(text)["input_ids"], reader, probes, source)
    return fast


def padding_token(folder: Path, tokenizer: Tokenizer) -> int | None:
    """The token that a tokenizer written by :func:`write_tokenizer` pads with, if it names one."""
    name = read_object(folder / BESIDE).get("pad_token")
    token: int | None = None if name is None else tokenizer.token_to_id(name)
    return token


def stated_length(folder: Path) -> int | None:
    """The longest text in tokens that a tokenizer written by :func:`write_tokenizer` gives to its model, if it says."""
    stated: int | None = read_object(folder / BESIDE).get("model_max_length")
    return stated


def _check_files(source: Path) -> None:
    if (source / BESIDE).is_file():
        read_object(source / BESIDE)
    if (source / TOKENIZER).is_file():
        try:
            Tokenizer.from_file(str(source / TOKENIZER))
        except Exception as error:  # the library raises bare Exception for whatever is wrong with a file
            raise InputError(f"'{source / TOKENIZER}' is not a fast tokenizer's description") from error
    elif not any(path for pattern in _VOCABULARIES for path in source.glob(pattern)):
        raise InputError(
            f"'{source}' has no {TOKENIZER} and none can be made from its files: save a fast tokenizer there"
        )


def _opened(folder: Path) -> Any:
    """Open a tokenizer as transformers does, without any code of its own."""
    transformers = require("transformers", "export")
    try:
        with quiet():
            own = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # whatever a class or a converter meets in the files
        raise InputError(f"transformers cannot open the tokenizer in '{folder}': {first_line(error)}") from error
    if not own.is_fast:
        raise InputError(f"the tokenizer in '{folder}' ({type(own).__name__}) has no fast form: save one that has")
    return own


def _beside(own: Any, special: Sequence[str]) -> dict[str, Any]:
    """What transformers needs to know beside the description; the plain class takes that as it stands."""
    named = {name: str(token) for name, token in own.special_tokens_map.items() if str(token) in special}
    length = own.model_max_length
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_input_names": list(own.model_input_names),
        **({"model_max_length": int(length)} if isinstance(length, (int, float)) and length < _UNBOUNDED else {}),
        "padding_side": own.padding_side,
        "split_special_tokens": own.split_special_tokens,
        **named,
        "additional_special_tokens": [token for token in special if token not in named.values()],
    }


def _check_alike(
    own: Callable[[str], list[int]], reader: Callable[[str], list[int]], probes: Sequence[str], source: Path
) -> None:
    for text in probes:
        if _ids(own, text) != _ids(reader, text):
            raise InputError(
                f"the tokenizer in '{source}' reads {text[:40]!r} otherwise than its description says: save it as a "
                "plain fast tokenizer (PreTrainedTokenizerFast), and see whether the model's answers stay"
            )


def _ids(encode: Callable[[str], list[int]], text: str) -> list[int] | None:
    try:
        with quiet():  # it is told that the text is long
            return list(encode(text))
    except Exception:  # bare ones, where a tokenizer has no token for what it does not know
        return None
