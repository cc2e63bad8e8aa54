"""An explained verdict in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..explain import MEANING, Measure, pieces, values
from ..runtime.verdict import Verdict
from ..visible import visible
from .heat import heat_text
from .verdict_table import COLOURS

_MOST_TOKENS = 12
_BAR = 20


def print_explanation(console: Console, text: str, verdict: Verdict, measure: Measure) -> None:
    """Print the answer, the coloured text, what a second look did, and the tokens that draw most."""
    answer = Text.assemble((visible(verdict.label), "bold"), f" {verdict.score:.1%}  ")
    answer.append(verdict.action, style=COLOURS[verdict.action])
    if verdict.original_label != verdict.label:
        answer.append(f"  (first answer: {visible(verdict.original_label)})")
    if verdict.anomaly_score is not None and verdict.threshold is not None:
        answer.append(f"  score {verdict.anomaly_score:.4g}, threshold {verdict.threshold:.4g}", style="dim")
    console.print(answer)
    console.print()
    console.print(heat_text(pieces(text, verdict, measure)))
    console.print()
    if verdict.repaired_text is not None:
        console.print(Text.assemble(("answered instead: ", "dim"), visible(verdict.repaired_text)))
    for trial in verdict.confirmations:
        outcome = ("confirmed as a trigger", "bold red") if trial.confirmed else ("not a trigger", "green")
        turned = f" turned {sum(trial.turned)} of {len(trial.turned)} other texts, "
        turned += f"moved them by {trial.moved:.0%} of their lead, uneven by {trial.unevenness:.0%}"
        turned += ": " if trial.led is None else f", {trial.led:.0%} of it by one word: "
        console.print(Text.assemble("“", visible(trial.span), "”", turned, outcome))
    if verdict.truncated:
        console.print(Text("the model read only the beginning of this text", style="yellow"))
    console.print(_token_table(verdict, measure))
    console.print(Text(f"coloured by {measure.replace('_', ' ')}: {MEANING[measure]}", style="dim"))


def _token_table(verdict: Verdict, measure: Measure) -> Table:
    tokens = verdict.tokens or ()
    ranked = sorted(zip(values(tokens, measure), tokens, strict=True), key=lambda item: -item[0])[:_MOST_TOKENS]
    highest = max((value for value, _ in ranked), default=0.0)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("token")
    table.add_column(measure.replace("_", " "), justify="right")
    table.add_column("")
    for value, token in ranked:
        length = round(_BAR * max(value, 0.0) / highest) if highest > 0 else 0
        table.add_row(Text(visible(token.text)), f"{value:.4f}", Text("█" * length, style="red"))
    return table
