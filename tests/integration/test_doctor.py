"""``epp doctor`` on a cluster where everything works, and on API servers that do not answer as they should."""

import asyncio
import json
import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from epp.cli import main
from epp.doctor import Question, Report, examine
from epp.doctor.verdict import Outcome
from epp.kube.objects import NEW_POOL_GROUP
from tests.fakes.doctor_cluster import GATEWAYS, ISTIO, KINDS, MODEL, REVIEWS, DoctorCluster
from tests.fakes.kube_api import CORE, LEASES, OLD_GROUP, POOLS

FILLED = (
    *(f"{CORE}/pods", f"{CORE}/services", f"{POOLS}/inferencepools"),
    *(f"{GATEWAYS}/gateways", f"{GATEWAYS}/httproutes", f"{ISTIO}/destinationrules"),
)
NOT_READ = {
    *("/apis/apps/v1/deployments", f"{LEASES}/leases"),
    *(f"{OLD_GROUP}/inferenceobjectives", f"{OLD_GROUP}/inferencemodelrewrites"),
}
"""Only rights to them are looked at, or only of a picker without pods."""
PAGE = Path(__file__).parents[2] / "docs" / "doctor.md"


async def examined(**more: object) -> Report:
    return await examine(Question(**{"pool_name": "llama", "pool_group": NEW_POOL_GROUP, "timeout_s": 5.0, **more}))  # type: ignore[arg-type]


async def doctor(*arguments: str) -> Result:
    """Run the command, in a thread of its own: it has an event loop of its own."""
    return await asyncio.to_thread(CliRunner().invoke, main, ["doctor", *arguments], catch_exceptions=False)


async def test_healthy_cluster_passes_every_check(cluster: DoctorCluster) -> None:
    report = await examined()
    assert {row.check: row.outcome for row in report.rows if row.outcome is not Outcome.PASS} == {}
    assert [row.advice for row in report.rows if row.advice] == []
    assert len(report.rows) == 23


async def test_nothing_is_changed(cluster: DoctorCluster) -> None:
    await examined()
    of_cluster = [(verb, path) for verb, path in cluster.api.requests if "/proxy/" not in path]
    assert {verb for verb, path in of_cluster if not path.startswith(REVIEWS)} == {"GET"}
    assert {review["kind"] for review in cluster.api.reviews} == {"SubjectAccessReview"}


async def test_account_of_the_picker_is_asked_about_with_its_groups(cluster: DoctorCluster) -> None:
    await examined()
    specs = [review["spec"] for review in cluster.api.reviews]
    assert {spec["user"] for spec in specs} == {"system:serviceaccount:models:llama-epp"}
    assert "system:serviceaccounts:models" in specs[0]["groups"]
    asked = {(spec["resourceAttributes"]["resource"], spec["resourceAttributes"]["verb"]) for spec in specs}
    followed = ("pods", "inferencepools", "inferenceobjectives", "inferencemodelrewrites")
    expected = {(resource, verb) for resource in followed for verb in ("get", "list", "watch")}
    assert asked == expected | {("leases", verb) for verb in ("get", "create", "update")}


async def test_exit_code_is_0_and_the_table_is_printed(cluster: DoctorCluster) -> None:
    result = await doctor("--pool-name", "llama")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "pass     pool             models/llama: pods app=vllm, port 8000"
    assert result.stdout.splitlines()[-1] == "23 pass"


async def test_exit_code_is_1_and_programs_get_json(cluster: DoctorCluster) -> None:
    del cluster.api.objects[f"{CORE}/services"]["llama-epp"]
    result = await doctor("--pool-name", "llama", "--format", "json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert (document["pool"], document["namespace"], document["failed"]) == ("llama", "models", True)
    assert document["checks"][2] == {
        "check": "picker service",
        "outcome": "fail",
        "message": "there is no Service models/llama-epp, which the endpointPickerRef names",
        "advice": "kubectl get services -n models; "
        "then kubectl edit inferencepools.inference.networking.k8s.io llama -n models",
    }


@pytest.mark.parametrize(
    ("flags", "namespace"),
    [
        pytest.param([], "elsewhere", id="of the environment"),
        pytest.param(["--pool-namespace", "here"], "here", id="of the flag"),
    ],
)
async def test_namespace_is_that(
    cluster: DoctorCluster, monkeypatch: pytest.MonkeyPatch, flags: list[str], namespace: str
) -> None:
    monkeypatch.setenv("NAMESPACE", "elsewhere")
    result = await doctor("--pool-name", "llama", "--format", "json", *flags)
    assert json.loads(result.stdout)["namespace"] == namespace
    assert any(f"/namespaces/{namespace}/pods" in path for _, path in cluster.api.requests)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param([], "Missing option '--pool-name'", id="no pool"),
        pytest.param(["--pool-name", "llama", "--timeout", "0s"], "`0s` is too short", id="no time"),
        pytest.param(["--pool-name", "llama", "--pool-group", "apps"], "'apps' is not one of", id="unknown group"),
        pytest.param(["--pool-name", "llama"], "epp: no Kubernetes cluster answers: GET /version: ", id="no cluster"),
    ],
)
async def test_wrong_usage_is_2(cluster: DoctorCluster, arguments: list[str], message: str) -> None:
    await cluster.api.stop()
    result = await doctor(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


async def test_cluster_that_does_not_let_us_in_is_2(cluster: DoctorCluster) -> None:
    cluster.api.refusals["/"] = (401, "Unauthorized")
    result = await doctor("--pool-name", "llama")
    assert result.exit_code == 2
    assert result.stderr == "epp: the Kubernetes cluster does not let us in: GET /version: 401: Unauthorized\n"


async def test_sign_in_that_fails_is_2(cluster: DoctorCluster, tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    plugin = {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "false"}
    document = yaml.safe_load(file.read_text())
    document["users"][0]["user"] = {"exec": plugin}
    file.write_text(yaml.safe_dump(document))
    result = await doctor("--pool-name", "llama")
    assert result.exit_code == 2
    assert result.stderr.startswith(
        "epp: no Kubernetes cluster answers: GET /version: ConfigError('Exec false returned"
    )


@pytest.mark.parametrize("code", [403, 404, 500])
@pytest.mark.parametrize("path", sorted({*KINDS, REVIEWS, ISTIO, GATEWAYS, "/proxy/metrics", "/proxy/readyz", "/apis"}))
async def test_answers_that_refuse_are_rows_and_never_a_crash(cluster: DoctorCluster, path: str, code: int) -> None:
    group, _, resource = path.rpartition("/")
    refusals = [path, f"{group}/namespaces/models/{resource}", f"{group}/namespaces/istio-system/{resource}"]
    cluster.api.refusals |= dict.fromkeys(refusals, (code, "no"))
    rows = (await examined()).rows
    assert len(rows) == 23
    if code == 500 and path not in NOT_READ:
        assert any(row.outcome is Outcome.FAIL for row in rows)
    if code == 403:
        assert all(row.outcome is not Outcome.FAIL or "no" in row.message for row in rows)


@pytest.mark.parametrize("collection", FILLED)
@pytest.mark.parametrize("emptied", ["metadata", "spec", "status"])
@pytest.mark.parametrize("left", ["null", "absent"])
async def test_objects_with_missing_fields_are_rows_and_never_a_crash(
    cluster: DoctorCluster, collection: str, emptied: str, left: str
) -> None:
    for one in cluster.api.objects[collection].values():
        if emptied == "metadata":
            one["metadata"] = {"name": one["metadata"]["name"], "labels": None}
        elif left == "null":
            one[emptied] = dict.fromkeys(one.get(emptied, {}))
        else:
            one.pop(emptied, None)
    assert len((await examined()).rows) == 23


async def test_api_server_that_does_not_answer_is_given_up(
    cluster: DoctorCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_request: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(cluster.api, "_review", never)
    rows = {row.check: row for row in (await examined(timeout_s=2.0)).rows}
    assert rows["picker access"].outcome is Outcome.FAIL
    assert "/subjectaccessreviews: no answer within 2 s" in rows["picker access"].message
    assert rows["request"].outcome is Outcome.PASS


async def test_url_and_model_of_the_command_line_are_used(cluster: DoctorCluster) -> None:
    cluster.change(f"{GATEWAYS}/gateways", "inference-gateway")["status"]["addresses"] = []
    url = f"http://127.0.0.1:{cluster.gateway.port}/"
    rows = {row.check: row for row in (await examined(url=url, model=MODEL)).rows}
    assert rows["gateway address"].message == f"{url}, as --url says"
    assert rows["request"].message == f"POST {url}v1/completions for model {MODEL}: 200"


@pytest.mark.parametrize("missing", ["CRD", "route"])
async def test_no_route_is_needed_for_an_envoy_at_a_url(cluster: DoctorCluster, missing: str) -> None:
    if missing == "CRD":
        cluster.api.kinds -= {f"{GATEWAYS}/httproutes", f"{GATEWAYS}/gateways"}
    else:
        cluster.api.objects[f"{GATEWAYS}/httproutes"].clear()
    report = await examined(url=f"http://127.0.0.1:{cluster.gateway.port}")
    rows = {row.check: row for row in report.rows}
    assert {row.check for row in report.rows if row.outcome is Outcome.FAIL} == set()
    assert rows["routes"].outcome is Outcome.SKIPPED
    assert rows["request"].outcome is rows["decision"].outcome is Outcome.PASS


async def test_host_of_the_route_is_asked_for(cluster: DoctorCluster) -> None:
    cluster.change(f"{GATEWAYS}/httproutes", "llama-route")["spec"]["hostnames"] = ["*.example.com"]
    await examined()
    assert cluster.gateway.hosts == ["doctor.example.com"]


async def test_decision_is_found_behind_a_gateway_that_has_ids_of_its_own(cluster: DoctorCluster) -> None:
    cluster.gateway.keeps_ids = False
    rows = {row.check: row for row in (await examined()).rows}
    assert rows["decision"].message == "to models/vllm-0-rank-0 (pod vllm-0), by the picker llama-epp-0"


async def test_old_pool_is_read(cluster: DoctorCluster) -> None:
    group = "inference.networking.x-k8s.io"
    cluster.api.kinds.add(f"/apis/{group}/v1alpha2/inferencepools")
    one = cluster.change(f"{POOLS}/inferencepools", "llama")
    spec = {"selector": {"app": "vllm"}, "targetPortNumber": 8000, "extensionRef": {"name": "llama-epp"}}
    old = {"metadata": one["metadata"], "spec": spec, "status": {"parent": one["status"]["parents"]}}
    cluster.api.put(f"/apis/{group}/v1alpha2/inferencepools", old)
    cluster.change(f"{GATEWAYS}/httproutes", "llama-route")["spec"]["rules"][0]["backendRefs"][0]["group"] = group
    report = await examined(pool_group=group)
    assert [row.check for row in report.rows if row.outcome is not Outcome.PASS] == []


def shown(table: str) -> str:
    """Return a table as a page may show it: ports that are free differ from run to run."""
    return re.sub(r"127\.0\.0\.1:\d+", "203.0.113.7:80", table).rstrip()


def make_ill(cluster: DoctorCluster) -> None:
    """Make two mistakes."""
    cluster.change(f"{CORE}/services", "llama-epp")["spec"]["ports"][0]["appProtocol"] = "kubernetes.io/h2c"
    cluster.change(f"{GATEWAYS}/httproutes", "llama-route")["spec"]["rules"][0]["backendRefs"] = [{"name": "llama"}]
    cluster.gateway.asks = False


async def test_page_shows_what_is_printed(cluster: DoctorCluster) -> None:
    blocks = re.findall(r"```console\n\$ epp doctor --pool-name llama\n(.*?)```", PAGE.read_text(), re.DOTALL)
    well = shown((await doctor("--pool-name", "llama")).stdout)
    make_ill(cluster)
    assert [block.rstrip() for block in blocks] == [well, shown((await doctor("--pool-name", "llama")).stdout)]


async def test_page_has_every_check_and_option(cluster: DoctorCluster) -> None:
    rows = re.findall(r"^\| `([^`]+)` \|", PAGE.read_text(), re.MULTILINE)
    options = [option.opts[0] for option in main.commands["doctor"].params]
    assert rows[: len(options)] == options
    checks = [row.check for row in (await examined()).rows]
    assert rows[len(options) : len(options) + len(checks)] == checks


def asked_rights(cluster: DoctorCluster) -> set[tuple[str, str]]:
    """Return group and resource of all that was asked of the API server; a pod's page is ``pods/proxy``."""
    paths = [path.partition("?")[0] for _, path in cluster.api.requests]
    found = {
        (groups[1] if len(groups) > 2 else "", one[2])
        for one in (re.match(r"(.*?/v\w+)(?:/namespaces/[^/]+)?/([a-z]+)(?:/|$)", path) for path in paths)
        if one is not None and (groups := one[1].strip("/").split("/"))
    }
    return found - {("authorization.k8s.io", "subjectaccessreviews")}


async def test_role_of_the_page_covers_all_that_is_asked(cluster: DoctorCluster) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    given = {
        (group, resource): rule["verbs"]
        for rule in yaml.safe_load(text)["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    await examined()
    assert asked_rights(cluster) <= {key for key, verbs in given.items() if verbs == ["get", "list"]}
    assert given["", "pods/proxy"] == ["get"]
    assert given["authorization.k8s.io", "subjectaccessreviews"] == ["create"]
    assert "kubectl exec -" not in PAGE.read_text()
