"""The model card of an artifact: what it is, how it was calibrated, what it was checked against."""

from __future__ import annotations

from typing import Any

from .artifact import Calibration, GuardFile


def render_card(guard: GuardFile, labels: tuple[str, ...]) -> str:
    """Return the Markdown card for ``README.md``, with the metadata block that model hubs read."""
    graph = guard.graph
    source = "word embeddings" if graph.gradient_layer == 0 else f"input of layer {graph.gradient_layer}"
    converted = "" if graph.precision == "fp32" else f" before conversion to {graph.precision}"
    lines = [
        "---",
        "library_name: tokenward",
        "pipeline_tag: text-classification",
        "tags: [onnx, backdoor-defence]",
        "---",
        "",
        f"# Guarded {guard.family} classifier",
        "",
        f"Labels: {', '.join(map(_cell, labels))}.",
        "Load with `tokenward.load(folder)`; serve with `tokenward serve folder`.",
        "",
        "| graph | |",
        "| --- | --- |",
        f"| preset | {graph.preset} |",
        f"| gradient taken at | {source} |",
        f"| attention read from layers | {', '.join(map(str, graph.attention_layers))} |",
        f"| pooling, longest input | {graph.pooling}, {graph.max_tokens} tokens |",
        f"| precision, opset | {graph.precision}, {graph.opset} |",
        f"| padding | {'hardly computed' if graph.packed else 'computed like text'} |",
        f"| checkpoint | {_cell(guard.checkpoint)} (sha256 {guard.checkpoint_sha256[:16]}…) |",
        "",
        "## Parity with the source model",
        "",
        f"Largest relative error per output{converted}, on the optimised session:",
        "",
        *[f"- {name}: {error:.1e}" for name, error in guard.parity.items()],
        "",
        *_agreement(guard),
        "## Calibration",
        "",
        *_calibration(guard.calibration),
        "",
        "## Purification",
        "",
        *_purification(guard),
        "",
        "Made with " + ", ".join(f"{name} {version}" for name, version in guard.versions.items()) + ".",
    ]
    return "\n".join(lines) + "\n"


def _agreement(guard: GuardFile) -> list[str]:
    if guard.agreement is None:
        return []
    shares = {name: share for name, share in guard.agreement.items() if name != "texts"}
    return [
        "## Agreement with fp32",
        "",
        f"On {guard.agreement['texts']:.0f} texts:",
        "",
        *[f"- {name.replace('_', ' ')}: {share:.3f}" for name, share in shares.items()],
        "",
    ]


def _calibration(calibration: Calibration | None) -> list[str]:
    if calibration is None:
        return ["Not calibrated: run `tokenward calibrate` with clean texts before serving."]
    lines = [f"{calibration.texts} clean texts (sha256 {calibration.texts_sha256[:16]}…)."]
    for name, fit in calibration.gates.items():
        lines.append(f"- gate `{name}`: threshold {fit.threshold:.4g} at percentile {fit.percentile:g}")
    if calibration.layers:
        lines.append(f"- what the class token looks at is read in all {len(calibration.layers)} layers")
    if calibration.references:
        lines.append(f"- {len(calibration.references)} reference texts for transplants")
    for label, share in calibration.leeway.items():
        lines.append(
            f"- triggers for {_cell(label)} may have {share:g} of the usual unevenness: ordinary words act so, too"
        )
    for label, words in calibration.known.items():
        lines.append(f"- words that act as triggers for {_cell(label)}: {_cell(', '.join(words))}")
    return lines


def _purification(guard: GuardFile) -> list[str]:
    if guard.purification is None:
        return ["None recorded."]
    texts = {key: _plain(value) for key, value in guard.purification.items()}
    return [f"- {key}: {_cell(text)}" for key, text in texts.items() if text]


def _plain(value: Any) -> str:
    """A value in a line, of a record the plain fields; long lists, such as losses, are in guard.json alone."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {part}" for key, part in value.items() if not isinstance(part, (list, dict)))
    return "" if isinstance(value, list) else str(value)


def _cell(text: str) -> str:
    """One line without table separators, whatever a path or a class is called."""
    return " ".join(text.split()).replace("|", "\\|")
