"""Everything that is rendered is linted: nothing of it is run here but the probe."""

from __future__ import annotations

import json
import re
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import compose_spec
import kubernetes.client
import promql_parser
import pytest
import yaml

from tokenward.client import TritonGuardClient
from tokenward.deploy.containers import ContainerSettings, write_containers
from tokenward.deploy.local_triton import LocalTriton
from tokenward.deploy.repository import write_repository
from tokenward.deploy.settings import TritonSettings
from tokenward.errors import InputError

IMAGE = "reg.example:5000/team/guard:1.0"

HADOLINT = Path(sysconfig.get_path("scripts")) / "hadolint"


@pytest.fixture(scope="module")
def repository(tiny_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("containers") / "models"
    write_repository(tiny_artifact, folder, TritonSettings("sentiment"))
    write_repository(tiny_artifact, folder, TritonSettings("topic", self_contained=True))
    return folder


@pytest.fixture(scope="module", params=[0, 2], ids=["cpu", "gpu"])
def rendered(request: pytest.FixtureRequest, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rendered") / "containers"
    write_containers(repository, out, ContainerSettings(IMAGE, "guard", gpus=request.param))
    return out


def test_dockerfile_passes_its_linter(rendered: Path):
    # DL3022: `models` is a named build context, which the linter does not know.
    done = subprocess.run([HADOLINT, "--ignore=DL3022", rendered / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    text = (rendered / "Dockerfile").read_text()
    assert re.search(r"^USER 1000:1000$", text, re.MULTILINE)
    assert re.search(r"numpy==1\.26\.\d+ tokenizers==\S+ onnxruntime==", text)
    assert (rendered / "probe.py").is_file()


def test_compose_file_follows_its_specification(rendered: Path):
    compose = yaml.safe_load((rendered / "compose.yaml").read_text())
    compose_spec.ComposeSpecification.model_validate(compose)
    services = compose["services"]
    assert set(services) == {"triton", "prometheus", "grafana"}
    known = {field.alias or name for name, field in compose_spec.Service.model_fields.items()}
    for service in services.values():
        assert set(service) <= known
        assert service["cap_drop"] == ["ALL"]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        assert not service["image"].endswith(":latest")
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or (rendered / source).is_file(), f"{source} is not there"


def test_kubernetes_objects_follow_their_schemas(rendered: Path):
    kinds = {}
    for name in ("deployment", "service", "autoscaler"):
        document = yaml.safe_load((rendered / "kubernetes" / f"{name}.yaml").read_text())
        kinds[document["kind"]] = document
        version = document["apiVersion"].rpartition("/")[2].capitalize()
        getattr(kubernetes.client, f"{version}{document['kind']}").model_validate(document)
    pod = kinds["Deployment"]["spec"]["template"]
    labels = pod["metadata"]["labels"]
    assert kinds["Deployment"]["spec"]["selector"]["matchLabels"] == labels == kinds["Service"]["spec"]["selector"]
    ports = {port["name"] for port in pod["spec"]["containers"][0]["ports"]}
    assert {port["targetPort"] for port in kinds["Service"]["spec"]["ports"]} == ports
    assert kinds["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == kinds["Deployment"]["metadata"]["name"]


def test_kserve_service_is_a_pod_with_bounds(rendered: Path):
    document = yaml.safe_load((rendered / "kserve.yaml").read_text())
    assert (document["apiVersion"], document["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    assert set(document["spec"]) == {"predictor"}
    predictor = dict(document["spec"]["predictor"])
    assert 1 <= predictor.pop("minReplicas") <= predictor.pop("maxReplicas")
    kubernetes.client.V1PodSpec.model_validate(predictor)  # the rest of a predictor is a pod
    assert predictor["containers"][0]["name"] == "kserve-container"


@pytest.mark.parametrize(
    "wrong",
    [
        {"containers": [{"name": "a", "port": []}]},
        {"containers": [{"name": "a", "ports": [{"containerPort": "1"}]}]},
        {"containers": [{"image": "a"}]},
        {"containers": {"name": "a"}},
    ],
)
def test_the_schema_check_finds_mistakes(wrong: dict[str, Any]):
    """Unknown field, wrong type, missing field, no list."""
    with pytest.raises(ValueError, match="validation error"):
        kubernetes.client.V1PodSpec.model_validate(wrong)


def probes(rendered: Path) -> Iterator[dict[str, Any]]:
    """Of the Kubernetes pod and of the KServe one, by name."""
    deployment = yaml.safe_load((rendered / "kubernetes" / "deployment.yaml").read_text())
    service = yaml.safe_load((rendered / "kserve.yaml").read_text())
    for pod in (deployment["spec"]["template"]["spec"], service["spec"]["predictor"]):
        yield {name: value for name, value in pod["containers"][0].items() if name.endswith("Probe")}


def test_probes_classify_a_text_with_every_model(rendered: Path):
    names = set()
    for pod in probes(rendered):
        for name, probe in pod.items():
            names.add(name)
            assert probe["exec"]["command"][:4] == ["python3", "/opt/tokenward/probe.py", "sentiment", "topic"]
    assert names == {"startupProbe", "readinessProbe", "livenessProbe"}


def test_a_busy_server_becomes_unready_long_before_it_is_restarted(rendered: Path):
    """Or the load of one that is restarted would bring down the next."""
    for pod in probes(rendered):
        ready, alive = pod["readinessProbe"], pod["livenessProbe"]
        assert {"--alive", "--seconds=60"} <= set(alive["exec"]["command"])
        assert "--alive" not in ready["exec"]["command"]
        assert ready["timeoutSeconds"] > 2 * 5  # of two models, each of which has so long
        assert alive["timeoutSeconds"] > 2 * 60
        patience = ready["failureThreshold"] * (ready["periodSeconds"] + ready["timeoutSeconds"])
        assert alive["failureThreshold"] * 60 > 3 * patience


def test_alert_rules_are_queries_with_people_in_mind(rendered: Path):
    (group,) = yaml.safe_load((rendered / "monitoring" / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]:
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        promql_parser.parse(rule["expr"])
        promql_parser.parse_duration(rule["for"])
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"]
    assert yaml.safe_load((rendered / "monitoring" / "prometheus.yml").read_text())["rule_files"] == ["alerts.yml"]


def test_every_metric_asked_for_is_one_that_the_server_gives(rendered: Path, triton: LocalTriton):
    from urllib.request import urlopen

    with TritonGuardClient(triton.grpc_url, "guard") as client:
        client.classify("a film")  # a counter is there from the first thing that it counts
    given = set(re.findall(r"^# TYPE (\S+)", urlopen(triton.metrics_url).read().decode(), re.MULTILINE))
    alerts = yaml.safe_load((rendered / "monitoring" / "alerts.yml").read_text())
    dashboard = json.loads((rendered / "monitoring" / "dashboard.json").read_text())
    adapter = (rendered / "kubernetes" / "prometheus-adapter.yaml").read_text()
    expressions = [rule["expr"] for rule in alerts["groups"][0]["rules"]]
    expressions += [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    for expression in expressions:
        promql_parser.parse(expression.replace("$__rate_interval", "5m"))
    asked = set(re.findall(r"\b(?:nv|tokenward)_[a-z_]+\b", " ".join([*expressions, adapter])))
    assert asked <= given
    assert {name for name in given if name.startswith("tokenward_")} <= asked


def test_dashboard_panels_have_places_of_their_own(rendered: Path):
    panels = json.loads((rendered / "monitoring" / "dashboard.json").read_text())["panels"]
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len({panel["id"] for panel in panels}) == len(panels)


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"image": "Bad Image"}, "image 'Bad Image'"),
        ({"image": "a\nRUN evil"}, "image"),
        *(
            ({"image": image}, "image")
            for image in ("a//b:1", "-x", "..:1", "a/", "a/-b", "a..b", "reg-.io/a", "a:", "a@b")
        ),
        ({"name": "Guard"}, "name 'Guard'"),
        ({"replicas": 0}, "replicas 0 to 8"),
        ({"replicas": 3, "max_replicas": 2}, "replicas 3 to 2"),
        ({"gpus": -1}, "--gpu"),
        ({"queue_target_us": 0}, "--queue-target-us"),
    ],
)
def test_wrong_choices_are_named(choice: dict[str, Any], words: str):
    with pytest.raises(InputError, match=words):
        ContainerSettings(**{"image": IMAGE, **choice})


@pytest.mark.parametrize(
    "image", ["guard", "a/b_c/d__e-f--g.h", "localhost:5000/a:V_1.0", "Reg-1.io/a", f"a:1@sha256:{'0' * 64}"]
)
def test_images_that_docker_reads(image: str):
    ContainerSettings(image)


@pytest.mark.parametrize("name", ["true", "null", "on", "y"])
def test_a_name_stays_a_name_where_yaml_reads_something_else(repository: Path, tmp_path: Path, name: str):
    write_containers(repository, tmp_path / "out", ContainerSettings(IMAGE, name))
    for file in ("deployment", "service", "autoscaler"):
        document = yaml.safe_load((tmp_path / "out" / "kubernetes" / f"{file}.yaml").read_text())
        assert document["metadata"]["name"] == document["metadata"]["labels"]["app.kubernetes.io/name"] == name
    assert yaml.safe_load((tmp_path / "out" / "kserve.yaml").read_text())["metadata"]["name"] == name


def test_the_autoscaler_is_told_of_what_clients_call_alone(tiny_artifact: Path, tmp_path: Path):
    write_repository(tiny_artifact, tmp_path / "models", TritonSettings("topic-v2.1"))
    write_containers(tmp_path / "models", tmp_path / "out", ContainerSettings(IMAGE))
    (rule,) = yaml.safe_load((tmp_path / "out" / "kubernetes" / "prometheus-adapter.yaml").read_text())["rules"][
        "custom"
    ]
    promql_parser.parse(rule["seriesQuery"])
    query = rule["metricsQuery"].replace("<<.GroupBy>>", "pod").replace("<<.LabelMatchers>>", 'pod=~"a"')
    promql_parser.parse(query.replace("<<.Series>>", "nv_inference_queue_duration_us"))
    selected = re.findall(r'model=~"([^"]*)"', rule["seriesQuery"] + rule["metricsQuery"])
    assert selected == [r"topic-v2\\.1"] * 3, "a dot is a dot, in PromQL's quotes"


def test_a_containers_own_user_can_read_it_whatever_the_umask(repository: Path, tmp_path: Path, private_umask: None):
    write_containers(repository, tmp_path / "out", ContainerSettings(IMAGE))
    for path in (tmp_path / "out", *(tmp_path / "out").rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644), path


def test_refuses_what_is_there_and_what_has_no_model(repository: Path, tmp_path: Path):
    with pytest.raises(InputError, match="exists already"):
        write_containers(repository, tmp_path, ContainerSettings(IMAGE))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="has no guarded model"):
        write_containers(tmp_path / "empty", tmp_path / "out", ContainerSettings(IMAGE))
    assert not (tmp_path / "out").exists()
