"""A causal language model as ONION needs it: the perplexity of many short texts at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, first_line, require
from ...runtime.batches import plan

TOKEN_BUDGET = 1024  # padded tokens in one batch: their logits over the whole vocabulary take 200 MB with GPT-2's

Encode = Callable[[Sequence[str]], list[list[int]]]


class LanguageModel:
    """A causal model of transformers.

    Perplexity is exp(−1/n Σ_i ln p(t_i | start, t_1 … t_{i−1})) over the n tokens of a text; a text without tokens has
    infinite perplexity. Padding does not count.

    Args:
        module: maps ``input_ids`` and ``attention_mask`` [B, S] to an output with ``logits`` [B, S, V].
        encode: texts to token ids, without special tokens.
        start: id of the token before the first; with none given, the first token is not predicted.
        name: for the report.
    """

    def __init__(self, module: Any, encode: Encode, start: int | None, name: str) -> None:
        self._torch: Any = require("torch", "export")
        self._module = module.eval()
        self._encode = encode
        self._start = [] if start is None else [start]
        self._longest = int(getattr(module.config, "max_position_embeddings", 1024))
        self.name = name

    def perplexities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Perplexity of each text, float64 [texts]; texts are truncated to what the model reads."""
        ids = [(self._start + tokens)[: self._longest] for tokens in self._encode(texts)]
        found = np.full(len(texts), np.inf)
        read = [index for index, tokens in enumerate(ids) if len(tokens) > 1]
        for group in plan([len(ids[index]) for index in read], TOKEN_BUDGET):
            members = [read[place] for place in group]
            found[members] = self._batch([ids[index] for index in members])
        return found

    def _batch(self, ids: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        torch = self._torch
        rows = [torch.tensor(tokens) for tokens in ids]
        padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        lengths = torch.tensor([len(tokens) for tokens in ids])
        mask = torch.arange(padded.shape[1]) < lengths[:, None]
        with torch.inference_mode():
            logits = self._module(input_ids=padded, attention_mask=mask.long()).logits
            losses = torch.nn.functional.cross_entropy(logits[:, :-1].mT, padded[:, 1:], reduction="none")
        counted = mask[:, 1:]
        return np.asarray(torch.exp((losses * counted).sum(dim=1) / counted.sum(dim=1)), np.float64)


def load_language_model(folder: Path) -> LanguageModel:
    """Load a causal language model with its tokenizer, from safetensors and without remote code.

    Raises:
        InputError: the folder holds none.
    """
    check_language_model(folder)
    transformers: Any = require("transformers", "export")
    safe = {"local_files_only": True, "trust_remote_code": False}
    try:
        module = transformers.AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True, **safe)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **safe)
    except Exception as error:  # the library's and its readers' errors share no base class
        raise InputError(f"'{folder}' cannot be loaded as a causal language model: {first_line(error)}") from error

    def encode(texts: Sequence[str]) -> list[list[int]]:
        ids: list[list[int]] = tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []
        return ids

    return LanguageModel(module, encode, tokenizer.bos_token_id, folder.name)


def check_language_model(folder: Path) -> None:
    """Raise before anything slow is done.

    Raises:
        InputError: there is no model in the folder.
    """
    if not (folder / "config.json").is_file():
        raise InputError(f"no language model at '{folder}': give a folder with config.json, such as one of GPT-2's")


def random_gpt2(encode: Encode, seed: int = 0) -> LanguageModel:
    """A model of the shape of GPT-2 small (12 layers, width 768, 124 million parameters) with random weights.

    It costs what GPT-2 small costs and knows nothing: for timing only. Token ids must be under 50,257.
    """
    torch: Any = require("torch", "export")
    transformers: Any = require("transformers", "export")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = transformers.GPT2LMHeadModel(transformers.GPT2Config())
    return LanguageModel(module, encode, 50256, "random weights in the shape of GPT-2 small")
