from __future__ import annotations

import pytest

from tokenward.errors import InputError
from tokenward.export.presets import ExportSettings, plan


def test_paper_is_the_published_method() -> None:
    chosen = plan(ExportSettings("paper"), 6)
    assert (chosen.gradient_layer, chosen.attention_layers) == (0, (0, 1, 2, 3, 4, 5))
    assert chosen.gated
    assert not chosen.attention_gated


@pytest.mark.parametrize("preset", ["late", "tokenward"])
def test_late_presets_read_the_last_layer(preset) -> None:
    chosen = plan(ExportSettings(preset), 6)
    assert (chosen.gradient_layer, chosen.attention_layers) == (5, (5,))


def test_only_tokenward_leaves_the_attention_to_the_gate() -> None:
    assert plan(ExportSettings("tokenward"), 6).attention_gated
    assert not plan(ExportSettings("tokenward", gated=False), 6).attention_gated
    assert not plan(ExportSettings("late"), 6).gated
    assert not plan(ExportSettings("late", gated=True), 6).attention_gated


def test_custom_layers() -> None:
    chosen = plan(ExportSettings("custom", gradient_layer=2, attention_layers=(5, 4, 4)), 6)
    assert (chosen.preset, chosen.gradient_layer, chosen.attention_layers) == ("custom", 2, (4, 5))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (ExportSettings("custom", gradient_layer=6), "layer 6 does not exist: the model has layers 0 to 5"),
        (ExportSettings("custom", attention_layers=(0, -1)), "layer -1 does not exist"),
        (ExportSettings("paper", gradient_layer=2), "preset 'paper' fixes the layers"),
    ],
)
def test_refuses_layers_that_cannot_be(settings, message) -> None:
    with pytest.raises(InputError, match=message):
        plan(settings, 6)
