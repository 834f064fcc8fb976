#!/bin/sh
# make images: builds each part's image as $REGISTRY/kinora-<part>:$TAG.
#
# ENGINE       docker, podman or buildah (the first that is installed)
# VARIANT      cuda or cpu: the hardware that `generate` runs on
# TORCH_INDEX  for cpu: the index of torch's CPU builds, see https://pytorch.org/get-started
# PIP_CONF     a pip.conf for the build, if packages come from a package index of your own
# PUSH         if set, each image is pushed
# PUSHED       the folder that keeps the digests of pushed images, which `make deploy` uses (pushed/)
set -eu
cd "$(dirname "$0")/.."

: "${REGISTRY:?set REGISTRY, such as REGISTRY=registry.example/team}"
: "${TAG:?set TAG}"
: "${VARIANT:=cuda}"
for found in docker podman buildah; do
  command -v "$found" >/dev/null && break
done
: "${ENGINE:=$found}"
# `kind load` needs an image to be a single manifest.
export BUILDX_NO_DEFAULT_ATTESTATIONS=1
build=build
[ "$ENGINE" = buildah ] && build="bud --layers"
python="$(sed -n 's/^ARG PYTHON_IMAGE=//p' functions/Dockerfile)"

# push IMAGE: prints the digest that the registry now has for it.
push() {
  case "${ENGINE##*/}" in
    docker) "$ENGINE" push "$1" | tee -a /dev/stderr | sed -n 's/.* digest: \(sha256:[0-9a-f]*\).*/\1/p' ;;
    *) "$ENGINE" push --digestfile "$work/digest" "$1" >&2 && cat "$work/digest" ;;
  esac
}
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

for part in submit status dispatch generate ui; do
  image="$REGISTRY/kinora-$part:$TAG"
  case "$part" in
    generate) set -- --file functions/generate/Dockerfile ;;
    ui) set -- --file ui/Dockerfile ;;
    *) set -- --file functions/Dockerfile --build-arg "FUNCTION=$part" ;;
  esac
  set -- "$@" --tag "$image"
  [ -n "${PIP_CONF:-}" ] && set -- "$@" --secret "id=pip,src=$PIP_CONF"
  if [ "$part" = generate ] && [ "$VARIANT" = cpu ]; then
    set -- "$@" --build-arg "BASE_IMAGE=$python" --build-arg "TORCH_INDEX=${TORCH_INDEX:-}"
  fi
  echo "$image"
  # shellcheck disable=SC2086 # two words for buildah
  "$ENGINE" $build "$@" .
  if [ -n "${PUSH:-}" ]; then
    digest="$(push "$image")"
    [ -n "$digest" ] || { echo "$image was not pushed." >&2; exit 1; }
    echo "$image@$digest" >> "$work/pushed"
  fi
done
if [ -n "${PUSH:-}" ]; then
  mkdir -p "${PUSHED:=knative/pushed}"
  mv "$work/pushed" "$PUSHED/$TAG"
fi
