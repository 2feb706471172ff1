"""What deploy/ ships: it parses, fits together, and speaks of what there is."""

import json
import os
import re
import shutil
import subprocess

import pytest
import yaml
from source import ROOT, report, text
from test_tables import BINARY, rows

K8S = ROOT / "deploy/k8s"
LABELS_OF_ALL = {"job", "instance"}


def documents():
    """{(kind, name): document}"""
    out = {}
    for path in sorted(K8S.glob("*.yaml")):
        for doc in yaml.safe_load_all(path.read_text()):
            if doc["kind"] != "Kustomization":
                key = (doc["kind"], doc["metadata"]["name"])
                assert key not in out, f"{path}: {key} is there twice"
                out[key] = doc
    return out


def pod():
    return documents()["Deployment", "filemux"]["spec"]["template"]


def container():
    (only,) = pod()["spec"]["containers"]
    return only


def filemux_yaml():
    return documents()["ConfigMap", "filemux"]["data"]["filemux.yaml"]


def seconds(duration):
    m = re.fullmatch(r"(\d+)(s|m|h)", duration)
    return int(m[1]) * {"s": 1, "m": 60, "h": 3600}[m[2]]


# --- Kubernetes ---


def test_the_kustomization_has_every_file():
    named = yaml.safe_load((K8S / "kustomization.yaml").read_text())["resources"]
    there = {p.name for p in K8S.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(named) == there


def test_everything_that_runs_it_is_there():
    kinds = {kind for kind, _ in documents()}
    assert kinds == {"ConfigMap", "Deployment", "Service", "HorizontalPodAutoscaler",
                     "PodDisruptionBudget"}  # fmt: skip


def test_the_configuration_of_the_pods_is_accepted(tmp_path):
    conf = tmp_path / "filemux.yaml"
    data = tmp_path / "data"
    conf.write_text(filemux_yaml().replace("/data", str(data)))
    given = {name: "sk-0123456789abcdef" for name in re.findall(r"\$\{(\w+)\}", filemux_yaml())}
    given["FILEMUX_REDIS_URL"] = "redis://redis:6379"
    done = subprocess.run([BINARY, "--config", conf, "--check"], env={**os.environ, **given},
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_no_secret_is_written_down():
    assert ("Secret", "filemux") not in documents()
    assert {"secretRef": {"name": "filemux"}} in container()["envFrom"]
    conf = yaml.safe_load(filemux_yaml())
    for secret in (conf["master_key"], conf["redis"]["url"],
                   *(p["api_key"] for p in conf["providers"].values())):  # fmt: skip
        assert re.fullmatch(r"\$\{\w+\}", secret), secret


def test_the_pods_end_after_their_transfers():
    drain = seconds(yaml.safe_load(filemux_yaml())["limits"]["drain_timeout"])
    command = container()["lifecycle"]["preStop"]["exec"]["command"]
    assert command[0] == "sleep"
    assert pod()["spec"]["terminationGracePeriodSeconds"] >= drain + int(command[1]) + 10


def test_the_pods_may_do_nothing_that_they_need_not():
    assert pod()["spec"]["securityContext"]["runAsNonRoot"] is True
    assert pod()["spec"]["automountServiceAccountToken"] is False
    rights = container()["securityContext"]
    assert rights["readOnlyRootFilesystem"] is True
    assert rights["allowPrivilegeEscalation"] is False
    assert rights["capabilities"] == {"drop": ["ALL"]}
    # The image's own user, and the one place that is written to.
    user = pod()["spec"]["securityContext"]["runAsUser"]
    assert f"--uid {user}" in text("deploy/Dockerfile")
    data_dir = yaml.safe_load(filemux_yaml())["data_dir"]
    assert data_dir in [m["mountPath"] for m in container()["volumeMounts"]]


def test_the_volumes_are_those_that_are_mounted():
    volumes = {v["name"]: v for v in pod()["spec"]["volumes"]}
    assert set(volumes) == {m["name"] for m in container()["volumeMounts"]}
    (there,) = [m for m in container()["volumeMounts"] if m["name"] == "config"]
    assert container()["args"] == ["--config", there["mountPath"] + "/filemux.yaml"]
    assert ("ConfigMap", volumes["config"]["configMap"]["name"]) in documents()


def test_the_ports_are_those_that_are_listened_on():
    conf = yaml.safe_load(filemux_yaml())
    ports = {p["name"]: p["containerPort"] for p in container()["ports"]}
    assert conf["listen"] == f"0.0.0.0:{ports['http']}"
    assert conf["admin_listen"] == f"0.0.0.0:{ports['admin']}"
    assert pod()["metadata"]["annotations"]["prometheus.io/port"] == str(ports["admin"])
    for (kind, _), doc in documents().items():
        if kind == "Service":
            assert all(p["targetPort"] in ports for p in doc["spec"]["ports"])


def test_health_is_asked_where_it_is_told():
    paths = {name: container()[name]["httpGet"] for name in
             ("startupProbe", "livenessProbe", "readinessProbe")}  # fmt: skip
    routes = text("gateway/api/routes.c")
    for get in paths.values():
        assert get["port"] == "admin" and f'"{get["path"][1:]}"' in routes, get
    assert paths["livenessProbe"]["path"] == "/health/liveliness"
    assert paths["readinessProbe"]["path"] == "/health/readiness"


def test_everything_selects_the_pods():
    labels = pod()["metadata"]["labels"]
    for (kind, name), doc in documents().items():
        selector = doc.get("spec", {}).get("selector")
        if selector:
            assert selector.get("matchLabels", selector) == labels, (kind, name)
    scaler = documents()["HorizontalPodAutoscaler", "filemux"]["spec"]
    assert scaler["scaleTargetRef"]["name"] == "filemux"
    assert scaler["minReplicas"] > 1  # or a drain would stop the service
    assert "replicas" not in documents()["Deployment", "filemux"]["spec"]


# --- Prometheus and Grafana ---


def series():
    """{name: its labels} of everything that /metrics may show."""
    out = {}
    for _, kind, name, labels, _ in rows("gateway/base/metrics.def", "METRIC"):
        labels = {x for x in labels.split(",") if x}
        if kind == "HISTOGRAM":
            out[name + "_bucket"] = labels | {"le"}
            out[name + "_sum"] = out[name + "_count"] = labels
        else:
            out[name] = labels
    return out


def faults_of(expr, known):
    """What in the expression is no metric or no label of it."""
    used = re.findall(r"(filemux_\w+)(?:\{([^}]*)\})?", expr)
    out = [f"no metric in {expr}"] if not used else []
    allowed = set(LABELS_OF_ALL)
    for name, matchers in used:
        if name not in known:
            out.append(f"no metric {name}")
            continue
        allowed |= known[name]
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers):
            if label not in known[name] | LABELS_OF_ALL:
                out.append(f"{name} has no label {label}")
    for names in re.findall(r"\bby \(([^)]*)\)", expr):
        out += [f"no label {n} in {expr}" for n in names.replace(",", " ").split()
                if n not in allowed]  # fmt: skip
    return out


def rules():
    groups = yaml.safe_load(text("deploy/alerts.yaml"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard():
    return json.loads(text("deploy/grafana.json"))


def panels():
    return [p for p in dashboard()["panels"] if p["type"] != "row"]


def expressions():
    out = [(r["alert"], r["expr"]) for r in rules()]
    out += [(p["title"], t["expr"]) for p in panels() for t in p["targets"]]
    for v in dashboard()["templating"]["list"]:
        if v["type"] == "query":
            out.append((v["name"], v["query"]["query"]))
    return out


def test_alerts_and_dashboard_speak_of_metrics_that_there_are():
    known = series()
    found = [f"{title}: {f}" for title, expr in expressions() for f in faults_of(expr, known)]
    assert not found, report(found)


@pytest.mark.parametrize("expr", [
    "up", "filemux_nothing", "filemux_redis_seconds", "filemux_requests_total_bucket",
    'filemux_redis_up{provider="x"}', "sum by (provider) (filemux_redis_up)",
])  # fmt: skip
def test_what_there_is_not_would_be_found(expr):
    assert faults_of(expr, series())


def test_every_metric_is_on_the_dashboard():
    shown = " ".join(expr for _, expr in expressions())
    missing = [row[2] for row in rows("gateway/base/metrics.def", "METRIC")
               if row[2] not in shown]  # fmt: skip
    assert not missing, report(missing)


def test_codes_of_errors_in_alerts_are_codes():
    codes = {row[3] for row in rows("gateway/base/errors.def", "GW_ERR")}
    used = re.findall(r'code=~?"([^"]+)"', " ".join(r["expr"] for r in rules()))
    assert used and {c for u in used for c in u.split("|")} <= codes


def test_every_alert_says_how_bad_it_is_and_what_to_do():
    assert len({r["alert"] for r in rules()}) == len(rules())
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning"), rule
        assert set(rule["annotations"]) == {"summary", "description"}, rule
        used = re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"]))
        kept = re.findall(r"by \(([^)]*)\)", rule["expr"])
        assert all(not kept or u in kept[0] for u in used), rule


def test_the_panels_have_their_places():
    ids = [p["id"] for p in dashboard()["panels"]]
    assert len(set(ids)) == len(ids)
    places = set()
    for p in dashboard()["panels"]:
        at = p["gridPos"]
        for x in range(at["x"], at["x"] + at["w"]):
            assert x < 24 and (x, at["y"]) not in places, p["title"]
            places.add((x, at["y"]))


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not here")
def test_prometheus_takes_the_rules():
    done = subprocess.run(["promtool", "check", "rules", ROOT / "deploy/alerts.yaml"],
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
