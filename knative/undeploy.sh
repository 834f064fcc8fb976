#!/bin/sh
# make undeploy: removes what `make deploy` made, but for the data. The volumes of NATS, of the
# object store and of the weights stay, and so do the Secrets; `kubectl delete namespace` removes
# them too.
set -eu
: "${OVERLAY:?set OVERLAY=kind or OVERLAY=h100}"
: "${NAMESPACE:=kinora}"
here="$(dirname "$0")"
"$here/check-context.sh" "$OVERLAY"
kubectl kustomize "$here/overlays/$OVERLAY" \
  | kubectl -n "$NAMESPACE" delete --ignore-not-found -f - -l 'kinora.dev/keep!=true'
