"""The credit of second looks: what is charged."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tokenward.runtime.budget import Budget, within


@pytest.mark.parametrize(("credit", "spent"), [(5, True), (6, False)])
def test_equal_texts_of_one_question_are_charged_once(credit: int, spent: bool) -> None:
    readings: Any = [SimpleNamespace(text=text, encoding=range(len(text))) for text in ("abc", "abc", "de")]
    budget = Budget(burst=credit)

    def steps() -> Any:
        yield ["abc", "abc", "de"]

    asking = within(budget, steps())
    assert next(asking) == ["abc", "abc", "de"]
    with pytest.raises(StopIteration):
        asking.send(readings)
    assert budget.spent == spent
