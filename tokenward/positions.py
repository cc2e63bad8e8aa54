"""How long a text a model reads, by its table of positions or as its configuration states."""

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


def stated_positions(stated: object) -> int | None:
    """What ``max_position_embeddings`` states; None where it is left out, or -1 as of models without any limit."""
    return stated if isinstance(stated, int) and stated > 0 else None
