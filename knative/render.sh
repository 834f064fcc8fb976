#!/bin/sh
# Prints the manifests of an overlay with the images that `make images` builds: render.sh OVERLAY
#
# NAMESPACE  named by objects of the whole cluster (kinora)
# PUSHED     the folder with the digests of pushed images (pushed/ next to this script)
set -eu
: "${REGISTRY:?set REGISTRY, such as REGISTRY=registry.example/team}"
: "${TAG:?set TAG}"
here="$(dirname "$0")"
: "${NAMESPACE:=kinora}"
pushed="${PUSHED:-$here/pushed}/$TAG"
[ -f "$pushed" ] || pushed=/dev/null
# Each line is NAME:TAG@DIGEST.
digests="$(sed -n 's,^\([^@]*\)@.*,s|image: \1$|image: &|,p' "$pushed")"
kubectl kustomize "$here/overlays/$1" \
  | sed "s|image: kinora/\([a-z]*\):.*|image: $REGISTRY/kinora-\1:$TAG|" \
  | sed -e "$digests" \
      -e "s|kinora-dispatch\.kinora|kinora-dispatch.$NAMESPACE|" \
      -e "s|kubernetes.io/metadata.name: kinora$|kubernetes.io/metadata.name: $NAMESPACE|"
