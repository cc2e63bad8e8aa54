"""An explained verdict as one self-contained HTML page: no scripts, nothing loaded from elsewhere."""

from __future__ import annotations

from html import escape

from .explain import ACTIONS, MEANING, Measure, Piece, pieces, values
from .runtime.verdict import Confirmation, TokenScore, Verdict
from .visible import visible

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1d21; --soft: #62656e; --line: #dcdee3; --paper: #fff; --bar: #4a6fa5;
  --alarm: #b3261e; --calm: #2e6b3c; --heat: 214 69 40; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8ea; --soft: #a2a5ad; --line: #3a3c42; --paper: #17181b;
  --bar: #7f9fcc; --alarm: #ff8a7d; --calm: #85c797; --heat: 222 92 60; } }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 46rem;
  margin: 2.5rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.35rem; margin: 0 0 .25rem; } h2 { font-size: 1rem; margin: 2rem 0 .5rem; }
p { margin: .4rem 0; } .soft { color: var(--soft); } .alarm { color: var(--alarm); } .calm { color: var(--calm); }
.text { font-size: 1.15rem; line-height: 2; padding: .75rem 1rem; border: 1px solid var(--line); border-radius: .5rem;
  overflow-wrap: anywhere; }
.text span { border-radius: .2rem; padding: .1rem 0; }
.text .suspect { outline: 2px solid var(--alarm); outline-offset: 1px; font-weight: 600; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { text-align: right; padding: .2rem .5rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal; overflow-wrap: anywhere; }
th { color: var(--soft); font-weight: 500; }
.wide { overflow-x: auto; } meter { width: 9rem; vertical-align: middle; }
@media print { body { margin: 0; max-width: none; } .text span { print-color-adjust: exact;
  -webkit-print-color-adjust: exact; } }
"""


def render_html(text: str, verdict: Verdict, measure: Measure) -> str:
    """Return the page. Everything that comes from the text or the model is escaped.

    Raises:
        InputError: the verdict's graph does not compute the measure.
    """
    tone, meaning = ACTIONS[verdict.action]
    sections = [
        f'<h1>{_safe(verdict.label)} <span class="soft">{verdict.score:.1%}</span></h1>',
        f'<p class="{tone}">{meaning}</p>',
        _answers(verdict),
        f'<p class="text" dir="auto">{"".join(map(_piece, pieces(text, verdict, measure)))}</p>',
        f'<p class="soft">Colour: {measure.replace("_", " ")}, {MEANING[measure]}, relative to the hottest token. '
        "Outlined: suspects.</p>",
        _repair(verdict),
        *map(_confirmation, verdict.confirmations),
        _probabilities(verdict),
        _tokens(verdict.tokens or (), measure),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Tokenward: {_safe(verdict.label)}</title>\n<style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(section for section in sections if section)
        + "\n</body></html>\n"
    )


def _safe(text: str) -> str:
    return escape(visible(text))


def _piece(piece: Piece) -> str:
    if piece.heat is None and not piece.suspect:
        return _safe(piece.text)
    kind = ' class="suspect"' if piece.suspect else ""
    opacity = 0.75 * (piece.heat or 0.0)
    return f'<span{kind} style="background: rgb(var(--heat) / {opacity:.3f})">{_safe(piece.text)}</span>'


def _answers(verdict: Verdict) -> str:
    facts = []
    if verdict.original_label != verdict.label or verdict.enforced_label != verdict.label:
        facts.append(f"first answer {_safe(verdict.original_label)}, enforced answer {_safe(verdict.enforced_label)}")
    if verdict.anomaly_score is not None and verdict.threshold is not None:
        facts.append(f"score {verdict.anomaly_score:.4g}, threshold {verdict.threshold:.4g}")
    if verdict.truncated:
        facts.append("the model read only the beginning of the text")
    return f'<p class="soft">{"; ".join(facts)}</p>' if facts else ""


def _repair(verdict: Verdict) -> str:
    if verdict.repaired_text is None:
        return ""
    return f'<h2>Answered instead</h2><p class="text" dir="auto">{_safe(verdict.repaired_text)}</p>'


def _confirmation(confirmation: Confirmation) -> str:
    outcome = "confirmed as a trigger" if confirmation.confirmed else "not a trigger"
    rows = "".join(
        f"<tr><td>{_safe(reference)}</td><td>{'turned' if turned else 'stayed'}</td></tr>"
        for reference, turned in zip(confirmation.references, confirmation.turned, strict=True)
    )
    known = ", known from an earlier text" if confirmation.cached else ""
    led = "" if confirmation.led is None else f" Its strongest word does {confirmation.led:.0%} of that alone."
    return (
        f"<h2>“{_safe(confirmation.span)}” in {len(confirmation.turned)} other texts: {outcome}{known}</h2>"
        f'<p class="soft">It moved them by {confirmation.moved:.0%} of their lead, unevenly by '
        f"{confirmation.unevenness:.0%}; a trigger moves all alike.{led}</p>"
        f'<div class="wide"><table><tr><th>text</th><th>answer</th></tr>{rows}</table></div>'
    )


def _probabilities(verdict: Verdict) -> str:
    rows = "".join(
        f'<tr><td>{_safe(label)}</td><td><meter value="{p:.4f}">{p:.1%}</meter></td><td>{p:.1%}</td></tr>'
        for label, p in sorted(verdict.probabilities.items(), key=lambda item: -item[1])
    )
    return f"<h2>Probabilities</h2><table>{rows}</table>"


def _tokens(tokens: tuple[TokenScore, ...], measure: Measure) -> str:
    ranked = sorted(zip(values(tokens, measure), tokens, strict=True), key=lambda item: -item[0])
    head = "".join(f"<th>{name.replace('_', ' ')}</th>" for name in ("token", *MEANING))
    rows = "".join(
        f"<tr><td>{_safe(token.text)}</td>{''.join(_number(getattr(token, name)) for name in MEANING)}</tr>"
        for _, token in ranked
    )
    return f'<h2>Tokens</h2><div class="wide"><table><tr>{head}</tr>{rows}</table></div>'


def _number(value: float | None) -> str:
    return "<td>–</td>" if value is None else f"<td>{value:.4f}</td>"
