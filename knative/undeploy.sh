#!/bin/sh
# make undeploy: deletes what `make deploy` created, except for data: the volumes of NATS, of the
# object store and of the weights, and the Secrets. `kubectl delete namespace` deletes these too.
set -eu
: "${OVERLAY:?set OVERLAY=kind or OVERLAY=h100}"
: "${NAMESPACE:=kinora}"
here="$(dirname "$0")"
"$here/check-context.sh" "$OVERLAY"
kubectl kustomize "$here/overlays/$OVERLAY" \
  | kubectl -n "$NAMESPACE" delete --ignore-not-found -f - -l 'kinora.dev/keep!=true'
