#!/bin/sh
# Says no where an overlay for a laptop would meet another cluster: check-context.sh OVERLAY
set -eu
if [ "$1" = kind ] && [ "$(kubectl config current-context)" != kind-kinora ]; then
  echo "OVERLAY=kind is for the cluster of make cluster: kubectl config use-context kind-kinora" >&2
  exit 1
fi
