"""What deploy/SERVING.md says of the server is so."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tokenward.runtime.settings import load_settings

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "deploy" / "SERVING.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)[0]


def test_the_file_of_settings_is_one(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(block("yaml"), encoding="utf-8")
    settings = load_settings(["--config", str(path)])
    assert (settings.host, settings.deadline_seconds) == ("0.0.0.0", 5)


def test_options_and_statuses_are_the_servers() -> None:
    known = {"--" + name.replace("_", "-") for name in type(load_settings(["x"])).model_fields}
    named = set(re.findall(r"`(--[a-z-]+)[` ]", DOCUMENT))
    assert named <= known | {"--help"}
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "runtime").glob("*.py"))
    (limits,) = re.findall(r"## Limits\n(.*?)\n\n", DOCUMENT.replace("## Limits\n\n", "## Limits\n"), re.DOTALL)
    for statuses, codes in re.findall(r"^\| ([\d, ]+) \| (.+?) \|", limits, re.MULTILINE):
        for status, code in zip(statuses.split(", "), re.findall(r"`(\w+)`", codes) * 3, strict=False):
            assert re.search(rf'{status}, "{code}"', sources), (status, code)


def test_the_answer_and_the_metrics_are_the_servers(start) -> None:
    url = start().url
    answer = httpx.post(url + "/v1/classify", json={"texts": ["film", "cf film"], "explain": True}).json()
    shown = json.loads(block("json"))
    assert shown.keys() == answer.keys()
    assert shown["timing"].keys() == answer["timing"].keys()
    assert set(shown["verdicts"][0]) - {"…"} <= set(answer["verdicts"][0])
    families = {family.name: family for family in text_string_to_metric_families(httpx.get(url + "/metrics").text)}
    (table,) = re.findall(r"## What to alert on\n(.*?)\n\n##", DOCUMENT, re.DOTALL)
    named = re.findall(r"`(tokenward_\w+?)(?:_total)?(?:\{([\w, ]+)\})?`", table)
    assert len(named) >= 10
    late = {"tokenward_score_psi"}  # given when there were enough texts
    for name, labels in named:
        assert name in families or name in late, name
        for sample in families[name].samples if name in families and labels else ():
            assert set(labels.split(", ")) <= sample.labels.keys(), name
    outcomes = re.findall(r"`tokenward_texts_total.*?\| (.*)\|", table)[0]
    assert {"dropped", "timed_out", "refused", "failed", "answered"} == set(re.findall(r"`(\w+)`", outcomes))
