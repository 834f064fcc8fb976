#!/bin/sh
# Patches Knative's own objects for an overlay: platform.sh OVERLAY
#
# A patch keeps their other fields. `kubectl apply`, client-side or server-side, would remove fields
# that were applied before and are not in these files: a Service's selector, an operator's settings.
set -eu
here="$(dirname "$0")/platform"
for file in "$here"/common/*.yaml "$here/${1:?name an overlay}"/*.yaml; do
  kubectl patch -f "$file" --patch-file "$file"
done
