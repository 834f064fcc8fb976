#!/bin/sh
# make deploy: everything that an overlay needs, in the namespace NAMESPACE, and waits for it.
set -eu
here="$(dirname "$0")"
: "${OVERLAY:?set OVERLAY=kind or OVERLAY=h100}"
: "${NAMESPACE:=kinora}"
: "${REGISTRY:?set REGISTRY, such as REGISTRY=registry.example/team}"
: "${TAG:?set TAG}"
export NAMESPACE REGISTRY TAG

kubectl get namespace "$NAMESPACE" >/dev/null 2>&1 || kubectl create namespace "$NAMESPACE"
# No pod here needs more than what is called restricted.
kubectl label --overwrite namespace "$NAMESPACE" pod-security.kubernetes.io/enforce=restricted

# What Knative itself has to allow. Without the right to change it, ask who has it.
kubectl apply --server-side --force-conflicts -k "$here/platform/$OVERLAY"
"$here/secrets.sh"

if [ "$OVERLAY" = kind ] && command -v kind >/dev/null; then
  for part in submit status dispatch generate ui; do
    kind load docker-image --name kinora "$REGISTRY/kinora-$part:$TAG"
  done
fi

# A Job can't be changed.
kubectl -n "$NAMESPACE" delete job set-up weights --ignore-not-found
manifests="$(mktemp)"
trap 'rm -f "$manifests"' EXIT
"$here/render.sh" "$OVERLAY" > "$manifests"
if grep -q 'kinora.dev/first' "$manifests"; then
  kubectl -n "$NAMESPACE" apply -f "$manifests" -l kinora.dev/first=true
  echo "Waiting for the weights: kubectl -n $NAMESPACE logs -f job/weights"
  kubectl -n "$NAMESPACE" wait job/weights --for=condition=Complete --timeout=6h
fi
kubectl -n "$NAMESPACE" apply -f "$manifests"

echo "Waiting for NATS and the streams ..."
kubectl -n "$NAMESPACE" rollout status statefulset/nats --timeout=15m
kubectl -n "$NAMESPACE" wait job/set-up --for=condition=Complete --timeout=15m
echo "Waiting for the functions ..."
kubectl -n "$NAMESPACE" wait services.serving.knative.dev --all --for=condition=Ready --timeout=30m
kubectl -n "$NAMESPACE" rollout status deployment/dispatch --timeout=15m
echo "Kinora is at $(kubectl -n "$NAMESPACE" get services.serving.knative.dev ui \
  -o 'jsonpath={.status.url}')"
