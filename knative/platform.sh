#!/bin/sh
# Patches Knative's own objects as an overlay needs them: platform.sh OVERLAY
#
# What else stands in them stays. `kubectl apply`, on either side, would take out whatever was
# applied before and is not in these files: a Service's selector, an operator's own settings.
set -eu
here="$(dirname "$0")/platform"
for file in "$here"/common/*.yaml "$here/${1:?say which overlay: kind or h100}"/*.yaml; do
  kubectl patch -f "$file" --patch-file "$file"
done
