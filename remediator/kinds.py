"""Kubernetes' own kinds as values.

A custom resource's kind is defined in the file of the sight or action that needs it.
"""

from .model.kind import Kind
from .model.raw import controller, meta, spec_of
from .model.selectors import selector_text
from .model.sight import Link, Looking, Object, Read
from .model.target import Target


def _scaled(autoscaler: Target, obj: Object) -> Looking[tuple[Link, ...]]:
    """What a HorizontalPodAutoscaler scales."""
    yield ()
    scaled = obj["spec"]["scaleTargetRef"]
    there = Target(autoscaler.cluster, scaled["kind"], autoscaler.namespace, scaled["name"])
    return ((there, None),)


def _served(service: Target, obj: Object) -> Looking[tuple[Link, ...]]:
    """One pod of each controller whose pods a Service selects; none where it selects none."""
    selector = spec_of(obj).get("selector") or {}
    if not selector:
        yield ()
        return ()
    (pods,) = yield (
        Read(POD, service.namespace, selector=selector_text({"matchLabels": selector})),
    )
    one_of_each = {str((controller(pod) or meta(pod))["uid"]): pod for pod in pods}
    return tuple(
        (
            Target(service.cluster, "Pod", service.namespace, meta(pod)["name"], meta(pod)["uid"]),
            pod,
        )
        for pod in one_of_each.values()
    )


DEPLOYMENT = Kind("Deployment", "apps", "v1", "deployments", labels=("deployment",))
STATEFUL_SET = Kind("StatefulSet", "apps", "v1", "statefulsets", labels=("statefulset",))
DAEMON_SET = Kind("DaemonSet", "apps", "v1", "daemonsets", labels=("daemonset",))
REPLICA_SET = Kind("ReplicaSet", "apps", "v1", "replicasets")
CONTROLLER_REVISION = Kind("ControllerRevision", "apps", "v1", "controllerrevisions")
REPLICATION_CONTROLLER = Kind("ReplicationController", "", "v1", "replicationcontrollers")
POD = Kind("Pod", "", "v1", "pods")
JOB = Kind("Job", "batch", "v1", "jobs", labels=("job_name",))
CRON_JOB = Kind("CronJob", "batch", "v1", "cronjobs", labels=("cronjob",))
SERVICE = Kind("Service", "", "v1", "services", above=_served)
ENDPOINT_SLICE = Kind("EndpointSlice", "discovery.k8s.io", "v1", "endpointslices")
NETWORK_POLICY = Kind("NetworkPolicy", "networking.k8s.io", "v1", "networkpolicies")
HORIZONTAL_POD_AUTOSCALER = Kind(
    "HorizontalPodAutoscaler",
    "autoscaling",
    "v2",
    "horizontalpodautoscalers",
    labels=("horizontalpodautoscaler",),
    above=_scaled,
)
POD_DISRUPTION_BUDGET = Kind(
    "PodDisruptionBudget", "policy", "v1", "poddisruptionbudgets", labels=("poddisruptionbudget",)
)
RESOURCE_QUOTA = Kind("ResourceQuota", "", "v1", "resourcequotas", labels=("resourcequota",))
PERSISTENT_VOLUME_CLAIM = Kind(
    "PersistentVolumeClaim", "", "v1", "persistentvolumeclaims", labels=("persistentvolumeclaim",)
)
PERSISTENT_VOLUME = Kind(
    "PersistentVolume",
    "",
    "v1",
    "persistentvolumes",
    namespaced=False,
    labels=("persistentvolume",),
)
EVENT = Kind("Event", "", "v1", "events")
NAMESPACE = Kind("Namespace", "", "v1", "namespaces", namespaced=False)
NODE = Kind("Node", "", "v1", "nodes", namespaced=False, labels=("node",))

BUILT_IN = (
    DEPLOYMENT,
    STATEFUL_SET,
    DAEMON_SET,
    REPLICA_SET,
    CONTROLLER_REVISION,
    REPLICATION_CONTROLLER,
    POD,
    JOB,
    CRON_JOB,
    SERVICE,
    ENDPOINT_SLICE,
    NETWORK_POLICY,
    HORIZONTAL_POD_AUTOSCALER,
    POD_DISRUPTION_BUDGET,
    RESOURCE_QUOTA,
    PERSISTENT_VOLUME_CLAIM,
    PERSISTENT_VOLUME,
    EVENT,
    NAMESPACE,
    NODE,
)
CERTIFICATE = Kind(
    "Certificate",
    "cert-manager.io",
    "v1",
    "certificates",
    labels=("certificate",),
    alerts="CertManager",
)
NAMED = (*BUILT_IN, CERTIFICATE)  # what the alerts of widely used libraries name

WORKLOADS = frozenset({DEPLOYMENT, STATEFUL_SET, DAEMON_SET})
WORKLOAD_NAMES = frozenset(kind.name for kind in WORKLOADS)
SELECTING = WORKLOADS | {REPLICA_SET}  # what selects its pods by labels
NATIVE = frozenset(kind.name for kind in BUILT_IN)  # an owner of any other kind is an operator's
