#!/bin/sh
# make cluster: a kind cluster with the releases of Knative Serving, Knative Eventing and Kourier.
#
# SKIP_CHECKS  if set, the machine may be too small
set -eu
here="$(dirname "$0")"
KNATIVE=knative-v1.23.0
NODE=kindest/node:v1.34.0@sha256:7416a61b42b1662ca6ca89f02028ac133a309a2a30ba309614e8ec94d976dc5a
releases=https://github.com

[ -n "${SKIP_CHECKS:-}" ] || "${PYTHON:-python3}" "$here/check_machine.py" cluster
kind get clusters | grep -qx kinora \
  || kind create cluster --name kinora --image "$NODE" --config "$here/kind.yaml"
# The current context may be another cluster, to which the rest must not be applied.
kubectl config use-context kind-kinora

# apply OWNER/REPOSITORY FILE
apply() {
  kubectl apply -f "$releases/$1/releases/download/$KNATIVE/$2"
}
apply knative/serving serving-crds.yaml
apply knative/eventing eventing-crds.yaml
kubectl wait crd --all --for=condition=Established --timeout=2m
apply knative/serving serving-core.yaml
apply knative-extensions/net-kourier kourier.yaml
apply knative/eventing eventing-core.yaml
# An in-memory Broker, for the examples in eventing/.
apply knative/eventing in-memory-channel.yaml
apply knative/eventing mt-channel-broker.yaml
for namespace in knative-serving knative-eventing kourier-system; do
  kubectl -n "$namespace" wait deployment --all --for=condition=Available --timeout=10m
done
"$here/platform.sh" kind
echo "The cluster is ready; its gateway is http://*.127.0.0.1.sslip.io:8080"
