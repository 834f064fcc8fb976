#!/bin/sh
# make deploy: applies an overlay and all that it needs to the namespace NAMESPACE, and waits until
# it is ready.
#
# SKIP_CHECKS  if set, the machine may be too small for OVERLAY=kind
set -eu
here="$(dirname "$0")"
: "${OVERLAY:?set OVERLAY=kind, h100 or h100-fleet}"
: "${NAMESPACE:=kinora}"
: "${REGISTRY:?set REGISTRY, such as REGISTRY=registry.example/team}"
: "${TAG:?set TAG}"
export NAMESPACE REGISTRY TAG

"$here/check-context.sh" "$OVERLAY"
[ "$OVERLAY" != kind ] || [ -n "${SKIP_CHECKS:-}" ] \
  || "${PYTHON:-python3}" "$here/check_machine.py" deploy

# wait_for_job NAME SECONDS: waits until it is complete; if it fails or times out, prints its log.
wait_for_job() {
  end=$(($(date +%s) + $2))
  while [ "$(date +%s)" -lt "$end" ]; do
    states="$(kubectl -n "$NAMESPACE" get "job/$1" \
      -o 'jsonpath={.status.conditions[?(@.status=="True")].type}')"
    case " $states " in
      *" Complete "*) return ;;
      *" Failed "*) break ;;
    esac
    sleep 5
  done
  echo "The Job $1 is not complete (${states:-still running}). The end of its log:" >&2
  kubectl -n "$NAMESPACE" logs "job/$1" --tail=20 >&2
  exit 1
}

manifests="$(mktemp)"
trap 'rm -f "$manifests"' EXIT
"$here/render.sh" "$OVERLAY" > "$manifests"
# Without its storage class, a claim waits for ever. Who may not list them is not asked to.
classes="$(sed -n 's/^ *storageClassName: //p' "$manifests" | sort -u)"
for class in $classes; do
  if known="$(kubectl get storageclass "$class" --ignore-not-found -o name)" && [ -z "$known" ]; then
    echo "There is no StorageClass $class; knative/README.md says where it comes from." >&2
    exit 1
  fi
done

kubectl get namespace "$NAMESPACE" >/dev/null 2>&1 || kubectl create namespace "$NAMESPACE"
# No pod needs more than the Pod Security Standard "restricted" allows.
kubectl label --overwrite namespace "$NAMESPACE" pod-security.kubernetes.io/enforce=restricted

# Changes Knative's own configuration, which needs the rights to do so.
"$here/platform.sh" "$OVERLAY"
"$here/secrets.sh"

if [ "$OVERLAY" = kind ]; then
  for part in submit status dispatch generate ui; do
    kind load docker-image --name kinora "$REGISTRY/kinora-$part:$TAG"
  done
fi

# Jobs are immutable.
kubectl -n "$NAMESPACE" delete job set-up weights --ignore-not-found
if grep -q 'kinora.dev/first' "$manifests"; then
  kubectl -n "$NAMESPACE" apply -f "$manifests" -l kinora.dev/first=true
  if grep -q '^kind: DaemonSet' "$manifests"; then
    echo "Waiting for the weights on each node:" \
      "kubectl -n $NAMESPACE logs -f -c weights -l app.kubernetes.io/name=weights --prefix"
    kubectl -n "$NAMESPACE" rollout status daemonset/weights --timeout=6h
  else
    echo "Waiting for the weights: kubectl -n $NAMESPACE logs -f job/weights"
    wait_for_job weights 21600
  fi
fi
# Knative never retries a revision that was not ready in time; if it is deleted, it is re-created.
reasons='{range .items[*]}{.metadata.name} {.status.conditions[?(@.type=="Ready")].reason}{"\n"}{end}'
kubectl -n "$NAMESPACE" get revisions.serving.knative.dev -o "jsonpath=$reasons" \
  | while read -r revision reason; do
      [ "$reason" != ProgressDeadlineExceeded ] \
        || kubectl -n "$NAMESPACE" delete revisions.serving.knative.dev "$revision"
    done
kubectl -n "$NAMESPACE" apply -f "$manifests"

# Busy replicas are marked at the API server, which the policy can't name. Without permission to read
# its port, there is no warning.
policy='jsonpath={.spec.egress[*].ports[*].port}'
allowed="$(kubectl -n "$NAMESPACE" get networkpolicy dispatch-to-outside -o "$policy")"
for port in $(kubectl -n default get endpointslices -l kubernetes.io/service-name=kubernetes \
  -o 'jsonpath={.items[*].ports[*].port}' 2>/dev/null); do
  case " $allowed " in
    *" $port "*) ;;
    *) echo "Add port $port, the API server's, to dispatch-to-outside in" \
      "knative/base/network-policies.yaml: without it, scaling down deletes busy replicas too." >&2 ;;
  esac
done

echo "Waiting for NATS and the streams ..."
kubectl -n "$NAMESPACE" rollout status statefulset/nats --timeout=15m
wait_for_job set-up 900
echo "Waiting for the functions ..."
kubectl -n "$NAMESPACE" wait services.serving.knative.dev --all --for=condition=Ready --timeout=30m
kubectl -n "$NAMESPACE" rollout status deployment/dispatch --timeout=15m
# What a component left that is no longer listed, once nothing uses it any more. Never ConfigMaps, to
# which older revisions refer; nor claims and Secrets; nor what `kubectl apply` did not create.
set --
for kind in serving.knative.dev/v1/Service sources.knative.dev/v1/SinkBinding \
  eventing.knative.dev/v1/Broker apps/v1/Deployment apps/v1/StatefulSet apps/v1/DaemonSet \
  batch/v1/Job core/v1/Service core/v1/ServiceAccount core/v1/ResourceQuota \
  networking.k8s.io/v1/NetworkPolicy policy/v1/PodDisruptionBudget \
  rbac.authorization.k8s.io/v1/Role rbac.authorization.k8s.io/v1/RoleBinding; do
  set -- "$@" "--prune-allowlist=$kind"
done
# kubectl refuses kinds that the cluster does not have; these are there with the Prometheus Operator.
for name in $(kubectl api-resources --api-group=monitoring.coreos.com -o name); do
  case "$name" in
    podmonitors.*) set -- "$@" --prune-allowlist=monitoring.coreos.com/v1/PodMonitor ;;
    prometheusrules.*) set -- "$@" --prune-allowlist=monitoring.coreos.com/v1/PrometheusRule ;;
  esac
done
kubectl -n "$NAMESPACE" apply -f "$manifests" -l app.kubernetes.io/part-of=kinora --prune "$@"

url="$(kubectl -n "$NAMESPACE" get services.serving.knative.dev ui -o 'jsonpath={.status.url}')"
echo "Kinora is at $url"
case "$url" in
  *.svc.cluster.local) echo "This address works inside the cluster only. Set a domain in the" \
    "ConfigMap config-domain of knative-serving; see knative/README.md." ;;
esac
