"""The chart's values as a model: the source of charts/jobtide/values.schema.json."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from dev.generate.alerts import AlertName, alerts
from dev.images.published import image_name
from jobtide_controller.settings import ChartSettings, ConnectionBudget, Namespace, Namespaces, PagePath

# The volume has the name database-<name>; the name of a volume has at most 63 characters.
DatabaseName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,48}[a-z0-9])?$")]
SecretName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")]
SecretKey = Annotated[str, StringConstraints(pattern=r"^[-._a-zA-Z0-9]{1,253}$")]
Port = Annotated[int, Field(ge=1, le=65535)]
StringMap = dict[str, str]
KubernetesObject = dict[str, Any]


class _Section(BaseModel):
    """Every section refuses unknown keys: a typo is an error."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, validate_by_name=True, frozen=True)


class Image(_Section):
    """An image; its digest, if set, replaces the tag."""

    repository: str = Field(image_name("controller"), min_length=1, description="Image name without tag.")
    tag: str = Field("", description="Tag; empty: the image released with a packaged chart, else the appVersion.")
    digest: str = Field("", pattern=r"^(sha256:[0-9a-f]{64})?$", description="sha256:...; if set, the tag is ignored.")
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = Field(
        "IfNotPresent", description="imagePullPolicy of Kubernetes."
    )


class ImagePullSecret(_Section):
    """A Secret with which the nodes pull the controller's image."""

    name: SecretName = Field(description="Secret with registry credentials in the release's namespace.")


class Database(_Section):
    """A database with a job_queue: where its URL is stored, and how many connections its workers may hold."""

    secret_name: SecretName = Field(description="Secret in the release's namespace; it may be created later.")
    key: SecretKey = Field("url", description="Key whose value is the connection URL.")
    connection_budget: ConnectionBudget | None = Field(
        None,
        description="Connections that the workers of all pools may hold together; a worker holds 2. Unset: no limit.",
    )
    namespaces: Namespaces | None = Field(
        None, description="Namespaces whose pools may name this database. Unset: every namespace."
    )
    show_tenants: bool = Field(
        default=False,
        description="Show the IDs of the tenants with the most jobs in the status of pools and in /metrics.",
    )
    ca_key: SecretKey | None = Field(
        None, description="Key with the server's CA certificate, mounted beside the URL as ca.crt."
    )
    operator_secret_name: SecretName | None = Field(
        None,
        description="Secret with the URL of the role jobtide_operator, for jobs on the page. Unset: pools only.",
    )
    operator_key: SecretKey = Field("url", description="Key in it whose value is the connection URL.")
    operator_ca_key: SecretKey | None = Field(
        None, description="Key in it with the server's CA certificate, mounted beside the URL as ca.crt."
    )


class Settings(_Section, ChartSettings):
    """Only what is set reaches the controller; a default shown here is the controller's own."""


class Crds(_Section):
    """Whether the chart installs the CustomResourceDefinition."""

    enabled: bool = Field(default=True, description="Install the CRD with the release; it is kept on uninstall.")


class Rbac(_Section):
    """Which roles the chart creates."""

    create: bool = Field(default=True, description="Create the roles that the controller needs.")
    aggregate: bool = Field(default=True, description="Add pools to the cluster's view, edit and admin roles.")


class ServiceAccount(_Section):
    """The ServiceAccount of the controller's pods."""

    create: bool = Field(default=True, description="Create a ServiceAccount.")
    name: str = Field("", max_length=253, description="Its name; empty: the release's full name.")
    annotations: StringMap = Field({}, description="Its annotations.")


class Resources(_Section):
    """Requests and limits of the controller's container."""

    requests: dict[str, str | int | float] = Field(
        {"cpu": "50m", "memory": "128Mi"}, description="Kubernetes quantities."
    )
    limits: dict[str, str | int | float] = Field({"memory": "512Mi"}, description="Kubernetes quantities.")


class PodDisruptionBudget(_Section):
    """How many controllers a node drain may stop at once."""

    enabled: bool = Field(default=True, description="Create one if there is more than one replica.")
    max_unavailable: Annotated[int, Field(ge=1)] = Field(1, description="Pods that may be unavailable at once.")


class MetricsService(_Section):
    """The Service through which metrics are scraped."""

    enabled: bool = Field(default=True, description="Create a Service for the HTTP port.")
    annotations: StringMap = Field({}, description="Its annotations.")


class Monitor(_Section):
    """A ServiceMonitor or PodMonitor of the Prometheus Operator."""

    enabled: bool = Field(default=True, description="Create it if the Prometheus Operator's CRDs are installed.")
    interval_seconds: Annotated[int, Field(ge=1)] = Field(30, description="Seconds between two scrapes.")
    labels: StringMap = Field({}, description="Labels by which Prometheus selects it.")


_Alerts = alerts()


class Metrics(_Section):
    """The objects through which Prometheus finds the controller."""

    service: MetricsService = Field(MetricsService(), description="Service for scraping.")
    service_monitor: Monitor = Field(Monitor(), description="ServiceMonitor of the Prometheus Operator.")
    pod_monitor: Monitor = Field(
        Monitor(enabled=False), description="PodMonitor of the Prometheus Operator, instead of the ServiceMonitor."
    )
    worker_pod_monitor: Monitor = Field(Monitor(), description="PodMonitor for the workers of all pools.")


class PrometheusRule(_Section):
    """The alerts, as a PrometheusRule of the Prometheus Operator."""

    enabled: bool = Field(default=True, description="Create it if the Prometheus Operator's CRDs are installed.")
    labels: StringMap = Field({}, description="Labels by which Prometheus selects it.")
    alert_labels: StringMap = Field({}, description="Labels that every alert has, for the routes of Alertmanager.")
    runbook_url: str = Field(
        "https://github.com/jobtide/jobtide/blob/main/docs/runbooks/{alert}.md",
        pattern=r"^https?://.*\{alert\}",
        description="Where an alert's page is; {alert} is its name.",
    )
    exclude_rules: list[AlertName] = Field([], description="Alerts that are left out, by name.")
    alerts: _Alerts = Field(  # type: ignore[valid-type]
        _Alerts(), description="When each fires."
    )


class Dashboards(_Section):
    """Grafana dashboards as ConfigMaps."""

    enabled: Literal["auto", True, False] = Field(
        "auto", description="Create a ConfigMap for each; auto: if the Prometheus Operator's CRDs are installed."
    )
    namespace: str = Field(
        "", pattern=r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?$", description="Their namespace; empty: the release's."
    )
    labels: StringMap = Field({"grafana_dashboard": "1"}, description="Labels by which Grafana's sidecar finds them.")
    annotations: StringMap = Field({}, description="Annotations, such as grafana_folder for the folder.")


class PageService(_Section):
    """A Service for an ingress; `kubectl jobtide page` needs none."""

    enabled: bool = Field(default=False, description="Create a Service for the page's port.")
    annotations: StringMap = Field({}, description="Its annotations.")


class Page(_Section):
    """The page in the browser, served by the controller on a port of its own."""

    enabled: bool = Field(default=False, description="Serve the page.")
    port: Annotated[int, Field(ge=1024, le=65535)] = Field(8081, description="Its port.")
    path: PagePath = Field("", description="Before all its paths, if an ingress does not remove it: /jobtide.")
    service: PageService = Field(PageService(), description="Service for an ingress.")


class NetworkPolicy(_Section):
    """Restricts the controller's traffic to DNS, the API server, databases and scrapes."""

    enabled: bool = Field(default=False, description="Restrict the controller's traffic.")
    api_server_ports: list[Port] = Field([443, 6443], description="Ports of the API server.")
    database_ports: list[Port] = Field([5432, 6543], description="Ports of the databases.")
    metrics_from: list[KubernetesObject] = Field([], description="NetworkPolicyPeers; empty: every pod.")
    page_from: list[KubernetesObject] = Field(
        [], description="NetworkPolicyPeers that may reach the page; empty: no pod, only kubectl jobtide page."
    )


class AdmissionPolicy(_Section):
    """A ValidatingAdmissionPolicy: which pod templates pools may have."""

    enabled: bool = Field(default=False, description="Create it.")
    pod_security: Literal["restricted", "baseline", "privileged"] = Field(
        "restricted", description="Pod Security level that pools' templates must meet; privileged: any template."
    )
    require_deployment_rights: bool = Field(
        default=False, description="Only users who may create Deployments in the namespace may create pools there."
    )


class Notes(_Section):
    """Values of the example pool that Helm prints after an installation."""

    image: str = Field("registry.example.com/acme/jobs:1.0", description="Image with your handlers.")
    app: str = Field("acme.jobs:tide", pattern=r"^[\w.]+:\w+$", description="MODULE:ATTRIBUTE of your handlers.")
    type: str = Field("thumbs", min_length=1, description="A job type that they handle.")
    secret_name: str = Field("jobtide-worker-db", min_length=1, description="Secret with the workers' database URL.")


class Test(_Section):
    """`helm test`: one job through the whole installation."""

    model_config = _Section.model_config | {"json_schema_extra": {"required": ["secretName", "key", "timeoutSeconds"]}}

    tenant_id: str = Field(
        "",
        pattern=r"^([0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})?$",
        description="tenants.id of the job's tenant; the test fails without it.",
    )
    database: str = Field("", description="One of databases; empty: main, or the first.")
    secret_name: SecretName = Field("jobtide-worker-db", description="Secret with the workers' database URL.")
    key: SecretKey = Field("url", description="Key in it whose value is the connection URL.")
    timeout_seconds: Annotated[int, Field(ge=10, le=3600)] = Field(180, description="Seconds for all steps together.")
    volumes: list[KubernetesObject] = Field([], description="Further volumes of the test and of its worker.")
    volume_mounts: list[KubernetesObject] = Field([], description="Where their containers mount them.")


class Values(_Section):
    """Values of the Jobtide chart."""

    replicas: Annotated[int, Field(ge=0, le=5)] = Field(1, description="Controllers; one is active, the others wait.")
    image: Image = Field(Image(), description="The controller's image.")
    image_pull_secrets: list[ImagePullSecret] = Field([], description="Secrets for the image's registry.")
    name_override: str = Field("", max_length=63, description="Replaces the chart's name.")
    fullname_override: str = Field("", max_length=63, description="Replaces the full name of the created objects.")
    databases: dict[DatabaseName, Database] = Field(
        {"main": Database(secret_name="jobtide-db")},
        min_length=1,
        description="Databases, by the name that pools use in spec.database.",
    )
    watch_namespaces: list[Namespace] = Field([], description="Namespaces to watch; empty: all.")
    settings: Settings = Field(Settings(), description="The controller's settings.", json_schema_extra={"default": {}})
    http_port: Annotated[int, Field(ge=1024, le=65535)] = Field(
        8080, description="Port of /healthz, /readyz and /metrics."
    )
    crds: Crds = Field(Crds(), description="The CustomResourceDefinition.")
    rbac: Rbac = Field(Rbac(), description="Roles.")
    service_account: ServiceAccount = Field(ServiceAccount(), description="The controller's identity.")
    resources: Resources = Field(Resources(), description="Resources of the controller's container.")
    termination_grace_period_seconds: Annotated[int, Field(ge=5)] = Field(
        15, description="Seconds from SIGTERM to SIGKILL."
    )
    pod_annotations: StringMap = Field({}, description="Annotations of the controller's pods.")
    pod_labels: StringMap = Field({}, description="Additional labels of the controller's pods.")
    node_selector: StringMap = Field({}, description="Labels of the nodes to run on.")
    tolerations: list[KubernetesObject] = Field([], description="Tolerations of the controller's pods.")
    affinity: KubernetesObject = Field({}, description="Affinity of the controller's pods.")
    topology_spread_constraints: list[KubernetesObject] = Field(
        [], description="Empty with more than one replica: spread over nodes where possible."
    )
    priority_class_name: str = Field("", description="PriorityClass of the controller's pods.")
    extra_env: list[KubernetesObject] = Field([], description="Additional environment variables.")
    pod_disruption_budget: PodDisruptionBudget = Field(
        PodDisruptionBudget(), description="Protects the standby during node drains."
    )
    metrics: Metrics = Field(Metrics(), description="How metrics are scraped.")
    prometheus_rule: PrometheusRule = Field(PrometheusRule(), description="Alerts.")
    dashboards: Dashboards = Field(Dashboards(), description="Grafana dashboards as ConfigMaps.")
    page: Page = Field(Page(), description="The page in the browser.")
    network_policy: NetworkPolicy = Field(NetworkPolicy(), description="A NetworkPolicy for the controller.")
    admission_policy: AdmissionPolicy = Field(AdmissionPolicy(), description="A ValidatingAdmissionPolicy for pools.")
    notes: Notes = Field(Notes(), description="The example pool in NOTES.txt.")
    test: Test = Field(Test(), description="The test of an installation, `helm test`.")
    # Helm adds this key to the values of every subchart.
    global_: dict[str, Any] = Field({}, alias="global", description="Values that Helm shares between charts.")


def render() -> str:
    """The text of values.schema.json."""
    schema = _plain(Values.model_json_schema())
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2) + "\n"


def _plain(node: Any) -> Any:
    """Pydantic's schema as Helm needs it: no titles, and `X or null` as X, because Helm drops nulls first."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    if {"type": "null"} in node.get("anyOf", ()):
        (schema,) = (option for option in node["anyOf"] if option != {"type": "null"})
        node = {**schema, **node, "anyOf": None}
    if "patternProperties" in node:
        node = {**node, "additionalProperties": False}
    return {
        key: _plain(value)
        for key, value in node.items()
        if value is not None and not (key == "title" and isinstance(value, str))
    }
