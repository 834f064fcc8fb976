#!/bin/sh
# Prints the manifests of an overlay with the images that `make images` builds: render.sh OVERLAY
set -eu
: "${REGISTRY:?set REGISTRY, such as REGISTRY=registry.example/team}"
: "${TAG:?set TAG}"
kubectl kustomize "$(dirname "$0")/overlays/$1" \
  | sed "s|image: kinora/\([a-z]*\):.*|image: $REGISTRY/kinora-\1:$TAG|"
