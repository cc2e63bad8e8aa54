"""The loss of MBTSAD's second step: the student keeps to the teacher's attention and hidden states.

L = α·L_att + β·L_hid + L_cls, with, for each text,

    AE(A_l)  = Σ_h |A_{l,h}|²                                         attention energy, [S, S]
    L_att    = Σ_l ‖ AE(A_l^T)/‖AE(A_l^T)‖₂ − AE(A_l^S)/‖AE(A_l^S)‖₂ ‖₂
    L_hid    = Σ_{l=0..L} MSE(H_l^T, H_l^S)                             l = 0: the output of the embeddings
    L_cls    = cross entropy with the label

averaged over the batch. Padding takes no part: queries at padding are left out of AE, positions at padding out of
MSE, so a text's loss does not depend on what it is batched with.

The student is heard as training runs it, after dropout: A^S and H^S are what its layers go on with; the teacher has no
dropout. So L_att and L_hid have a floor where both models agree in every weight. With α = 1, on one batch each, that of
L_att was 1.34 for MiniLM, 0.68 for a small BERT, 0.34 for RoBERTa and 0.18 for GPT-2; in evaluation mode it is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from .attention_tap import AttentionTap
from .batches import Batch
from .training import LossTerms


def attention_energy(probabilities: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Sum of squares over heads, 0 at padding: probabilities [B, H, S, S], mask [B, S] → float32 [B, S, S]."""
    return probabilities.float().square().sum(1) * (mask[:, :, None] * mask[:, None, :])


def attention_loss(teacher: Sequence[torch.Tensor], student: Sequence[torch.Tensor]) -> torch.Tensor:
    """L_att from the energies of each layer, [B, S, S] each."""
    distances = [torch.linalg.vector_norm(_unit(t) - _unit(s), dim=1) for t, s in zip(teacher, student, strict=True)]
    return torch.stack(distances).sum(0).mean()


def hidden_loss(teacher: Sequence[torch.Tensor], student: Sequence[torch.Tensor], mask: torch.Tensor) -> torch.Tensor:
    """L_hid from the hidden states, [B, S, D] each, the output of the embeddings first."""
    weights = mask / mask.sum(1, keepdim=True)
    errors = [
        ((t.float() - s.float()).square().mean(2) * weights).sum(1) for t, s in zip(teacher, student, strict=True)
    ]
    return torch.stack(errors).sum(0).mean()


class Distillation:
    """A loss for :func:`train`; gradients flow to the student only."""

    def __init__(self, teacher: Any, student: Any, alpha: float, beta: float) -> None:
        """Listen to both models; a weight of 0 leaves its term out."""
        self._teacher = teacher
        self._alpha, self._beta = alpha, beta
        self._taps = (AttentionTap(teacher), AttentionTap(student)) if alpha else None

    def __call__(self, model: Any, batch: Batch) -> LossTerms:
        """The weighted terms for one batch."""
        with torch.no_grad():
            taught = self._observe(0, self._teacher, batch) if self._alpha or self._beta else None
        logits, energies, hidden = self._observe(1, model, batch)
        terms = {"classification": functional.cross_entropy(logits.float(), batch.labels)}
        if taught is not None and self._alpha:
            terms["attention"] = self._alpha * attention_loss(taught[1], energies)
        if taught is not None and self._beta:
            terms["hidden"] = self._beta * hidden_loss(taught[2], hidden, batch.attention_mask)
        return terms

    def _observe(
        self, which: int, model: Any, batch: Batch
    ) -> tuple[torch.Tensor, list[torch.Tensor], Sequence[torch.Tensor]]:
        """Logits, attention energies and hidden states, the latter two only where their term counts."""
        energies: list[torch.Tensor] = []
        options = {"output_hidden_states": True} if self._beta else {}
        if self._taps is None:
            output = model(**batch.inputs(), **options)
        else:
            tap = self._taps[which]
            with tap.listening(lambda maps: energies.append(attention_energy(maps, batch.attention_mask))):
                output = model(**batch.inputs(), **options, **tap.options)
        return output.logits, energies, output.hidden_states if self._beta else ()


def _unit(energies: torch.Tensor) -> torch.Tensor:
    return functional.normalize(energies.flatten(1), dim=1)
