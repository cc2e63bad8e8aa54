from __future__ import annotations

import json
import os
import subprocess
import sys

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tokenward.runtime.metrics import Metrics, _forget_dead_workers
from tokenward.runtime.metrics_suspects import EXPORTED, TRACKED, Suspects
from tokenward.runtime.recent import MINUTES, RecentActions

POISONED = "cf the film was awful and the plot was dull"


@pytest.fixture
def scrape(client):
    def values(name: str, **labels: str) -> float:
        families = text_string_to_metric_families(client.get("/metrics").text)
        found = [s for f in families for s in f.samples if s.name == name and labels.items() <= s.labels.items()]
        return sum(sample.value for sample in found)

    return values


def ask(client: httpx.Client, texts, **options) -> None:
    assert client.post("/v1/classify", json={"texts": texts, **options}).status_code == 200


def test_requests_texts_and_actions(client, scrape):
    warm = scrape("tokenward_texts_total", outcome="answered")
    ask(client, ["film", POISONED])
    ask(client, POISONED, mode="monitor")
    ask(client, POISONED, mode="off")
    client.post("/v1/classify", json={"texts": 3})
    client.get("/" + "x" * 100)
    assert scrape("tokenward_requests_total", route="/v1/classify", outcome="ok") == 3
    assert scrape("tokenward_requests_total", route="/v1/classify", outcome="invalid_request") == 1
    assert scrape("tokenward_requests_total", route="other", outcome="not_found") == 1
    assert scrape("tokenward_texts_total", outcome="answered") - warm == 4
    assert scrape("tokenward_actions_total", action="neutralised", label="bad", mode="enforce") == 1
    assert scrape("tokenward_actions_total", action="neutralised", label="bad", mode="monitor") == 1
    assert scrape("tokenward_actions_total", mode="off") == 0
    assert scrape("tokenward_gradients_total", skipped="yes") == 3


def test_batches_padding_and_stages(client, scrape):
    before = {kind: scrape("tokenward_tokens_total", kind=kind) for kind in ("text", "padding")}
    ask(client, ["the film", "the film was great"], mode="off")
    assert scrape("tokenward_tokens_total", kind="text") - before["text"] == 4 + 6
    assert scrape("tokenward_tokens_total", kind="padding") - before["padding"] == 2
    ask(client, POISONED)
    assert scrape("tokenward_batch_texts_count", look="second") >= 2
    for stage in ("tokenise", "queue", "first_pass", "total"):
        assert scrape("tokenward_stage_seconds_count", stage=stage) == 2
    assert scrape("tokenward_stage_seconds_count", stage="second_pass") == 1


def test_looks_that_share_a_batch_are_counted_each_by_itself():
    metrics = Metrics()
    metrics.batch_done(5, 50, 60, second=2)
    metrics.batch_done(3, 30, 30, second=0)
    families = text_string_to_metric_families(metrics.render().decode())
    found = {
        (sample.name, sample.labels["look"]): sample.value
        for family in families
        for sample in family.samples
        if sample.name in ("tokenward_batch_texts_sum", "tokenward_batch_texts_count")
    }
    assert found == {
        ("tokenward_batch_texts_sum", "first"): 6,
        ("tokenward_batch_texts_count", "first"): 2,
        ("tokenward_batch_texts_sum", "second"): 2,
        ("tokenward_batch_texts_count", "second"): 1,
    }


def test_texts_refused_for_a_limit_are_counted(start):
    server = start(max_texts=2, max_characters=10, mode="enforce", lock_mode=True)
    for body in ({"texts": ["film"] * 3}, {"texts": "film " * 9}, {"texts": ["film"] * 2, "mode": "off"}):
        assert httpx.post(server.url + "/v1/classify", json=body).status_code in (403, 413)
    assert 'tokenward_texts_total{outcome="refused"} 6.0' in httpx.get(server.url + "/metrics").text


def test_the_hit_rate_of_the_cache_can_be_read_off(client, scrape):
    ask(client, POISONED)
    assert scrape("tokenward_trials_total", cached="yes") == 0
    assert scrape("tokenward_trials_total", cached="no", confirmed="yes") == 1
    ask(client, POISONED)
    assert scrape("tokenward_trials_total", cached="yes", confirmed="yes") == 1


def test_drift_is_told_when_there_is_enough_to_tell(client, scrape, clean_texts):
    ask(client, clean_texts[:64])
    assert "tokenward_score_psi{" not in client.get("/metrics").text
    for first in range(0, 200, 50):
        ask(client, clean_texts[first : first + 50])
    assert scrape("tokenward_score_psi", gate="class_attention") < 0.1
    for first in range(0, 200, 50):
        ask(client, ["cf " + text for text in clean_texts[first : first + 50]])
    assert scrape("tokenward_score_psi", gate="class_attention") > 0.25


def test_suspects_are_named_and_bounded(client, scrape):
    ask(client, [POISONED, POISONED.replace("cf", "CF")])
    assert scrape("tokenward_suspects", suspect="cf") == 2
    suspects = Suspects(None)
    for number in range(10 * TRACKED):
        suspects.add(f"{number}" * 100)
    (family,) = suspects.collect()
    assert len(family.samples) == EXPORTED
    assert all(len(sample.labels["suspect"]) <= 40 for sample in family.samples)


def test_suspects_of_all_workers_are_added_up(tmp_path):
    (tmp_path / "suspects_1.json").write_text(json.dumps({"cf": 3, "mn": 1}))
    suspects = Suspects(str(tmp_path))
    suspects.add("cf")
    (family,) = suspects.collect()
    assert {s.labels["suspect"]: s.value for s in family.samples} == {"cf": 4, "mn": 1}
    assert len(list(tmp_path.iterdir())) == 2


def test_gauges_of_workers_that_are_gone_are_forgotten(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for worker in (gone.pid, os.getpid()):
        for kind in ("gauge_livesum", "gauge_livemax", "counter"):
            (tmp_path / f"{kind}_{worker}.db").touch()
    _forget_dead_workers(tmp_path)
    here = os.getpid()
    left = {f"gauge_livesum_{here}.db", f"gauge_livemax_{here}.db", f"counter_{here}.db", f"counter_{gone.pid}.db"}
    assert {file.name for file in tmp_path.iterdir()} == left


def test_recent_actions_are_forgotten_in_time():
    now = [0.0]
    recent = RecentActions(lambda: now[0])
    assert not recent.counts()
    recent.add("passed")
    now[0] = 60.0 * (MINUTES - 1)
    recent.add("passed")
    recent.add("cleared")
    assert recent.counts() == {"passed": 2, "cleared": 1}
    now[0] = 60.0 * MINUTES
    assert recent.counts() == {"passed": 1, "cleared": 1}
