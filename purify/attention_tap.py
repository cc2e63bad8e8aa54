"""Attention probabilities, heard layer by layer as a model runs, so that no stack of maps need be kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ..errors import InputError


class AttentionTap:
    """Finds the modules of a transformers encoder that compute attention probabilities, and listens to them.

    The model is run once to see which module first returns each map that transformers reports; so every encoder
    that can report attentions works, one with shared layers too. The model is left in eager attention, the only
    kind that computes probabilities.

    Attributes:
        layers: number of layers.
        options: what the model must be called with to compute probabilities.
    """

    def __init__(self, model: Any) -> None:
        """Look for the attention modules of ``model``.

        Raises:
            InputError: the model does not report attentions, or none of its modules returns what it reports.
        """
        model.set_attn_implementation("eager")
        asked, maps = _run(model, {"output_attentions": True})
        self._places: dict[torch.nn.Module, int] = {}
        for probabilities in maps:
            found = next(((m, i) for m, i, tensor in asked if tensor is probabilities), None)
            if found is None:  # such as XLNet, which turns them round before it reports them
                raise InputError(
                    f"{type(model).__name__} reports attentions that cannot be listened to, which this method needs"
                )
            module, place = found
            self._places[module] = place
        if not self._places:
            raise InputError(f"{type(model).__name__} does not report attentions, which this method needs")
        self.layers = len(maps)
        unasked, _ = _run(model, {})
        silent = self._places.keys() - {module for module, _, _ in unasked}
        self.options: dict[str, bool] = {"output_attentions": True} if silent else {}

    @contextmanager
    def listening(self, hear: Callable[[torch.Tensor], None]) -> Iterator[None]:
        """Call ``hear`` with each layer's probabilities [B, H, S, S], in order, whenever the model runs."""

        def tell(module: torch.nn.Module, _: Any, output: Any) -> None:
            hear(output[self._places[module]])

        hooks = [module.register_forward_hook(tell) for module in self._places]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def _run(
    model: Any, options: dict[str, bool]
) -> tuple[list[tuple[torch.nn.Module, int, torch.Tensor]], tuple[torch.Tensor, ...]]:
    """Run on two texts of five tokens; return (module, place in its output, tensor) of maps, and those reported."""
    returned: list[tuple[torch.nn.Module, int, torch.Tensor]] = []

    def remember(module: torch.nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, tuple):
            returned.extend(
                (module, place, item)
                for place, item in enumerate(output)
                if isinstance(item, torch.Tensor) and item.ndim == 4 and item.shape[-2:] == (5, 5)
            )

    hooks = [module.register_forward_hook(remember) for module in model.modules()]
    try:
        with torch.inference_mode():
            ids = torch.ones((2, 5), dtype=torch.int64, device=model.device)
            return returned, tuple(model(input_ids=ids, **options).get("attentions") or ())
    finally:
        for hook in hooks:
            hook.remove()
