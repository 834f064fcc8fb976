#!/bin/sh
# Prints the manifests of an overlay with the images that `make images` builds: render.sh OVERLAY
#
# PUSHED  the folder with the digests of pushed images (pushed/ next to this script)
set -eu
: "${REGISTRY:?set REGISTRY, such as REGISTRY=registry.example/team}"
: "${TAG:?set TAG}"
here="$(dirname "$0")"
pushed="${PUSHED:-$here/pushed}/$TAG"
[ -f "$pushed" ] || pushed=/dev/null
# Each line is NAME:TAG@DIGEST.
digests="$(sed -n 's,^\([^@]*\)@.*,s|image: \1$|image: &|,p' "$pushed")"
kubectl kustomize "$here/overlays/$1" \
  | sed "s|image: kinora/\([a-z]*\):.*|image: $REGISTRY/kinora-\1:$TAG|" \
  | sed "$digests"
