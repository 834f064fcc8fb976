#!/bin/sh
# Creates the Secrets that the manifests refer to, with random values. Existing values are kept, so
# it may run at any time: after an upgrade, it adds new keys.
set -eu
: "${NAMESPACE:=kinora}"

# The letter in front keeps NATS from parsing a value as a number.
random() {
  printf 'k%s' "$(od -An -N20 -tx1 /dev/urandom | tr -d ' \n')"
}

# add SECRET KEY: sets KEY to a random value, unless it has one.
add() {
  present="$(kubectl -n "$NAMESPACE" get secret "$1" -o "jsonpath={.data.$2}")"
  [ -n "$present" ] || printf '{"stringData": {"%s": "%s"}}' "$2" "$(random)" \
    | kubectl -n "$NAMESPACE" patch secret "$1" --patch-file /dev/stdin
}

for secret in nats s3; do
  kubectl -n "$NAMESPACE" get secret "$secret" >/dev/null 2>&1 \
    || kubectl -n "$NAMESPACE" create secret generic "$secret"
done
for user in submit status dispatch generate forward setup operator route; do
  add nats "$user"
done
add s3 AWS_ACCESS_KEY_ID
add s3 AWS_SECRET_ACCESS_KEY
