from __future__ import annotations

import pytest

from tokenward.cli import main
from tokenward.runtime.settings import ServeSettings


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["serve", *arguments])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_help_tells_every_setting(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert "Example: " in out
    assert "TOKENWARD_MAX_TEXTS" in out
    for name in ServeSettings.model_fields:
        assert name == "artifact" or f"--{name.replace('_', '-')} " in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["missing"], "no artifact at 'missing'"),
        (["missing", "--port", "high"], "setting port"),
        (["missing", "--prot", "1"], "--prot"),
        ([], "setting artifact"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(capsys, arguments, told):
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert told in err
    assert err.count("\n") == 1
