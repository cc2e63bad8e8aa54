"""RAP's learned words: which ones, how their embeddings are trained, and how they get into a graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, require
from ...kernels.vocabulary import token_texts
from ...runtime.batches import pad
from ...runtime.tokenization import Tokenizer


@dataclass(frozen=True)
class RapSettings:
    """How a word is learnt; the authors' values where the steps are theirs.

    Attributes:
        low, high: the probability that the word should take from the answer, c_low and c_up.
        weight: λ, of falling short of ``low``.
        rate: of learning.
        steps: gradient steps for one class, at most.
        patience: learning ends after so many batches in a row without a loss.
        batch_size: texts in a step.
        seed: of the batches.
    """

    low: float = 0.1
    high: float = 0.3
    weight: float = 1.0
    rate: float = 1e-2
    steps: int = 50
    patience: int = 5
    batch_size: int = 32
    seed: int = 0


@dataclass(frozen=True)
class Word:
    """A word of one token, and the embedding [D] that was learnt for it."""

    text: str
    token: int
    embedding: NDArray[np.float32]


def rare_words(tokenizer: Tokenizer, texts: Sequence[str], count: int) -> list[tuple[str, int]]:
    """The rarest words of one token, with their ids: the last of the vocabulary that are in none of the texts.

    Raises:
        InputError: the vocabulary has too few.
    """
    seen = {token for encoding in tokenizer.encode(texts) for token in encoding.ids.tolist()}
    found: list[tuple[str, int]] = []
    for token, piece in sorted(token_texts(tokenizer.fast).items(), reverse=True):
        word = piece.strip()
        if token not in seen and word.isascii() and word.isalpha() and word.islower():
            (encoding,) = tokenizer.encode([word])
            if encoding.ids[encoding.words >= 0].tolist() == [token]:
                found.append((word, token))
        if len(found) == count:
            return found
    raise InputError(f"the vocabulary has fewer than {count} rare words of one token: RAP needs one for each class")


def learn_words(
    model_dir: Path, tokenizer: Tokenizer, texts: Sequence[str], answers: NDArray[np.int64], settings: RapSettings
) -> list[Word]:
    """Learn one word for each class of a checkpoint.

    Minimised is the mean over clean texts x that are answered with y of

        λ max(0, c_low − Δ(x)) + max(0, Δ(x) − c_up),   Δ(x) = p_y(x) − p_y(w ⊕ x),

    by steps on the embedding of w alone, whose norm is kept. Steps are Adam's, where the authors' code adds gradients
    up: on a hundred texts that reaches c_low in tens of steps, where theirs goes five times over thousands. A class
    that no text is answered with keeps the word's own embedding.

    Args:
        texts: clean.
        answers: the model's, int64 [texts].
    """
    torch: Any = require("torch", "export")
    from ...export.forward import load_source

    source = load_source(model_dir)
    module = source.module.requires_grad_(False)
    module.set_attn_implementation("sdpa")
    table = module.get_input_embeddings().weight
    draw = np.random.default_rng(settings.seed)
    words = []
    for label, (text, token) in enumerate(rare_words(tokenizer, texts, source.classes)):
        own = [x for x, answer in zip(texts, answers.tolist(), strict=True) if answer == label]
        before = [_probability(module, tokenizer, [x], label, {}) for x in own]  # the word changes nothing about it
        row = table[token].clone().requires_grad_(True)
        norm = float(table[token].norm())
        optimizer = torch.optim.Adam([row], lr=settings.rate)
        learnt = 0  # batches in a row
        for _ in range(settings.steps if own else 0):
            chosen = draw.choice(len(own), min(settings.batch_size, len(own)), replace=False)
            after = _probability(module, tokenizer, [f"{text} {own[i]}" for i in chosen], label, {token: row})
            drop = torch.cat([before[i] for i in chosen]) - after
            loss = settings.weight * torch.relu(settings.low - drop).mean() + torch.relu(drop - settings.high).mean()
            learnt = 0 if loss > 0 else learnt + 1
            if learnt == settings.patience:
                break
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                row *= norm / row.norm()
        words.append(Word(text, token, row.detach().numpy()))
    return words


def _probability(module: Any, tokenizer: Tokenizer, texts: Sequence[str], label: int, rows: Mapping[int, Any]) -> Any:
    """Probability of one class for each text, with other embeddings for some tokens."""
    torch: Any = require("torch", "export")
    batch = pad(tokenizer.encode(texts), tokenizer.pad_id)
    ids, mask = torch.from_numpy(batch.input_ids), torch.from_numpy(batch.attention_mask)

    def substituted(_module: Any, _arguments: Any, embeddings: Any) -> Any:
        for token, row in rows.items():
            embeddings = torch.where((ids == token)[..., None], row, embeddings)
        return embeddings

    # The model still gets the ids: some, such as GPT-2, find a text's last token by them.
    hook = module.get_input_embeddings().register_forward_hook(substituted)
    try:
        with torch.set_grad_enabled(bool(rows)):
            return module(input_ids=ids, attention_mask=mask).logits.softmax(dim=-1)[:, label]
    finally:
        hook.remove()


def with_rows(graph: Path, rows: Mapping[int, NDArray[np.float32]], path: Path) -> None:
    """Write a plain graph anew with other rows in its word-embedding table.

    Raises:
        InputError: no single table of the graph is gathered by ``input_ids``.
    """
    ir: Any = require("onnx_ir", "export")
    model = ir.load(str(graph))
    (ids,) = [value for value in model.graph.inputs if value.name == "input_ids"]
    tables = {use.node.inputs[0] for use in ids.uses() if use.node.op_type == "Gather" and use.idx == 1}
    if len(tables) != 1 or (table := tables.pop()).const_value is None:
        raise InputError("the graph has no word-embedding table that is read by token ids: RAP cannot change it")
    array = table.const_value.numpy().copy()
    for token, row in rows.items():
        array[token] = row
    table.const_value = ir.tensor(array, name=table.name)
    ir.save(model, str(path))
