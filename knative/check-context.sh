#!/bin/sh
# Fails if the overlay for a laptop would be applied to another cluster: check-context.sh OVERLAY
set -eu
if [ "$1" = kind ] && [ "$(kubectl config current-context)" != kind-kinora ]; then
  echo "OVERLAY=kind is for the cluster that make cluster creates: kubectl config use-context kind-kinora" >&2
  exit 1
fi
