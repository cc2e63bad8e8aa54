"""How long a text a PyTorch model has positions for."""

from __future__ import annotations

from typing import Any


def table_positions(module: Any) -> int | None:
    """Longest sequence, special tokens included, that the table of positions has rows for; None without a table.

    RoBERTa and its kin number positions from the padding index + 1, so that many rows of the table are never reached.
    """
    for name, part in module.named_modules():
        if name.rpartition(".")[2] in ("position_embeddings", "wpe") and hasattr(part, "num_embeddings"):
            return int(part.num_embeddings) - (0 if part.padding_idx is None else part.padding_idx + 1)
    return None
