#!/bin/sh
# make images: builds each part as $REGISTRY/kinora-<part>:$TAG, and pushes it where PUSH is set.
#
# ENGINE   docker, podman or buildah; the first that is there
# VARIANT  cuda or cpu: what `generate` runs on
# TORCH_INDEX  for cpu: the index of torch's builds for CPUs, see https://pytorch.org/get-started
# PIP_CONF a pip.conf for the build, where packages come from an index of your own
set -eu
cd "$(dirname "$0")/.."

: "${REGISTRY:?set REGISTRY, such as REGISTRY=registry.example/team}"
: "${TAG:?set TAG}"
: "${VARIANT:=cuda}"
for found in docker podman buildah; do
  command -v "$found" >/dev/null && break
done
: "${ENGINE:=$found}"
# Without them, an image is one manifest, as `kind load` needs it.
export BUILDX_NO_DEFAULT_ATTESTATIONS=1
build=build
[ "$ENGINE" = buildah ] && build="bud --layers"
python="$(sed -n 's/^ARG PYTHON_IMAGE=//p' functions/submit/Dockerfile)"

for part in submit status dispatch generate ui; do
  file="functions/$part/Dockerfile"
  [ "$part" = ui ] && file=ui/Dockerfile
  image="$REGISTRY/kinora-$part:$TAG"
  set -- --file "$file" --tag "$image"
  [ -n "${PIP_CONF:-}" ] && set -- "$@" --secret "id=pip,src=$PIP_CONF"
  if [ "$part" = generate ] && [ "$VARIANT" = cpu ]; then
    set -- "$@" --build-arg "BASE_IMAGE=$python" --build-arg "TORCH_INDEX=${TORCH_INDEX:-}"
  fi
  echo "$image"
  # shellcheck disable=SC2086 # two words for buildah
  "$ENGINE" $build "$@" .
  [ -z "${PUSH:-}" ] || "$ENGINE" push "$image"
done
