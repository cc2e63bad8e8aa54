"""`tokenward ops`: every rule is listed with its formula."""

from __future__ import annotations

from tokenward.export import rules as _register_rules  # noqa: F401
from tokenward.export.registry import rules

from .conftest import Run


def test_every_operator_is_listed_with_its_formula(run: Run) -> None:
    outcome = run("ops")
    assert (outcome.code, outcome.err) == (0, "")
    printed = {line.split()[0]: line for line in outcome.out.splitlines() if line.strip()}
    assert "x̄ = ȳ·(1 − y²)" in printed["Tanh"]
    assert {rule.op_type if not rule.domain else f"{rule.domain}::{rule.op_type}" for rule in rules()} <= set(printed)
    assert f"{len(rules())} operators" in outcome.out
