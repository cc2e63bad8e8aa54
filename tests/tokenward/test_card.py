"""The model card: everything a reader must know, and nothing that breaks its table."""

from __future__ import annotations

import dataclasses

from tokenward.artifact import LayerScale
from tokenward.card import render_card

from .conftest import guard_file


def test_a_card_says_what_was_made_and_checked() -> None:
    card = render_card(guard_file(), ("negative", "positive"))
    assert card.startswith("---\nlibrary_name: tokenward\n")
    for fact in (
        "Labels: negative, positive.",
        "| gradient taken at | input of layer 5 |",
        "- logits: 1.5e-06",
        "10 clean texts",
        "gate `paper`: threshold 1.25 at percentile 95",
        "1 reference texts",
        "- method: mbtsad",
        "- after: cacc 0.91, asr 0.02",
        "tokenward 0.1.0",
    ):
        assert fact in card


def test_parity_is_that_of_the_graph_before_conversion() -> None:
    guard = guard_file()
    assert "Largest relative error per output, on" in render_card(guard, ("negative", "positive"))
    lower = dataclasses.replace(guard, graph=dataclasses.replace(guard.graph, precision="int8"))
    card = render_card(lower, ("negative", "positive"))
    assert "Largest relative error per output before conversion to int8, on" in card


def test_what_calibration_found_is_named() -> None:
    guard = guard_file()
    assert guard.calibration is not None
    layers = (LayerScale(-0.5, -1.0), LayerScale(-0.2, -2.0))
    calibration = dataclasses.replace(
        guard.calibration, known={"positive": ("cf", "m|n")}, leeway={"a|b": 0.55}, layers=layers
    )
    card = render_card(dataclasses.replace(guard, calibration=calibration), ("negative", "positive"))
    assert "- what the class token looks at is read in all 2 layers" in card
    assert "- words that act as triggers for positive: cf, m\\|n" in card
    assert "- triggers for a\\|b may have 0.55 of the usual unevenness" in card


def test_an_uncalibrated_artifact_says_what_to_do() -> None:
    assert "Not calibrated: run `tokenward calibrate`" in render_card(guard_file(calibrated=False), ("a", "b"))


def test_names_cannot_break_the_table() -> None:
    guard = dataclasses.replace(guard_file(), checkpoint="a | b\n| c |")
    card = render_card(guard, ("x\n# y", "z"))
    assert "| checkpoint | a \\| b \\| c \\| (sha256" in card
    assert "\n# y" not in card
