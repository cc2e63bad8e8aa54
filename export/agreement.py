"""How often a graph of lower precision decides as the fp32 graph does: what export reports and may refuse on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from ..kernels.reference import scored_tokens
from .ground_truth import Feed
from .random_texts import RandomTexts
from .session import run_graph, serving_session

_BATCH = 16
_FLAGGED = 95.0  # percentile of the fp32 scores from which on a text counts as flagged


def measure_agreement(full: Path, lower: Path, feeds: Iterable[Feed], table: NDArray[np.bool_]) -> dict[str, float]:
    """Share of texts on which two graphs agree.

    Args:
        full, lower: the fp32 graph and the one of lower precision.
        feeds: padded batches.
        table: which vocabulary entries are scored, bool [vocabulary].

    Returns:
        ``labels``, ``suspects`` (of the anomaly score) and ``class_token`` (the scored token that the class token looks
        at most), each a share of the texts; ``score_ranks``, Spearman's correlation of the anomaly scores, which is
        what a threshold at a percentile depends on; ``score_auc``, how well the lower graph's score tells the 5 % of
        texts that score highest in fp32 from the others (1 where nothing is lost); ``texts``, their number.
    """
    sessions = [serving_session(path) for path in (full, lower)]
    seen: list[list[NDArray[np.float64]]] = [[], []]
    for feed in feeds:
        scored = scored_tokens(feed["input_ids"], feed["attention_mask"].astype(np.bool_), table)
        for session, rows in zip(sessions, seen, strict=True):
            out = run_graph(session, feed)
            looked_at = np.where(scored, out["class_attention"], -1.0).argmax(axis=1)
            rows.append(np.stack([out["logits"].argmax(axis=1), out["suspect"], looked_at, out["anomaly_score"]]))
    a, b = (np.concatenate(rows, axis=1) for rows in seen)
    labels, suspects, class_token = (a[:3] == b[:3]).mean(axis=1)
    return {
        "labels": float(labels),
        "suspects": float(suspects),
        "class_token": float(class_token),
        "score_ranks": _rank_correlation(a[3], b[3]),
        "score_auc": flagged_auc(a[3], b[3]),
        "texts": float(a.shape[1]),
    }


def batches_of(texts: Sequence[str], tokenizer: Tokenizer, model: RandomTexts) -> Iterator[Feed]:
    """Yield texts as padded batches of like length, as ``model`` reads them; each is one text, of the first type."""
    tokenizer.no_padding()
    tokenizer.enable_truncation(model.max_tokens)
    encoded = sorted((e.ids for e in tokenizer.encode_batch(list(texts))), key=len)
    for start in range(0, len(encoded), _BATCH):
        rows = encoded[start : start + _BATCH]
        mask = np.array([[1] * len(row) + [0] * (len(rows[-1]) - len(row)) for row in rows])
        ids = np.array([row + [model.pad_id] * (len(rows[-1]) - len(row)) for row in rows])
        types = {"token_type_ids": np.zeros_like(ids)} if model.token_types else {}
        yield {"input_ids": ids, "attention_mask": mask, **types}


def _rank_correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Spearman's ρ; 1 where one side is constant, since then no order is lost."""
    ranks = [x.argsort(kind="stable").argsort(kind="stable") - (len(x) - 1) / 2 for x in (a, b)]
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 1.0
    return float(ranks[0] @ ranks[1] / (ranks[0] @ ranks[0]))


def flagged_auc(full: NDArray[np.float64], lower: NDArray[np.float64]) -> float:
    """Chance that a text which the fp32 scores flag scores above another in lower precision, ties counting half."""
    flagged = full >= np.percentile(full, _FLAGGED)
    if flagged.all():
        return 1.0
    above, below = lower[flagged, None], lower[~flagged]
    return float(np.mean((above > below) + 0.5 * (above == below)))
