#!/bin/sh
# Starts the gateway in a cluster. Knative routes by host name, <service>.<namespace>.svc.<domain>. All
# of it but the service comes first in a pod's search path, so no manifest has to name the namespace or
# the cluster's domain.
set -eu

resolver="${RESOLV_CONF:-/etc/resolv.conf}"
here="$(sed -n 's/^search[[:space:]]\{1,\}\([^[:space:]]*\).*/\1/p' "$resolver" | tail -n 1)"
if [ -z "${SUBMIT_UPSTREAM:-}" ] || [ -z "${STATUS_UPSTREAM:-}" ]; then
  case "$here" in
    *.svc.*) ;;
    *)
      echo "No namespace is in the search path of $resolver ('$here'). Set SUBMIT_UPSTREAM and" \
        "STATUS_UPSTREAM to the addresses of submit and status." >&2
      exit 1
      ;;
  esac
fi
export SUBMIT_UPSTREAM="${SUBMIT_UPSTREAM:-submit.$here:80}"
export STATUS_UPSTREAM="${STATUS_UPSTREAM:-status.$here:80}"
exec caddy run --adapter caddyfile --config "$(dirname "$0")/Caddyfile"
