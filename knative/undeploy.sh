#!/bin/sh
# make undeploy: deletes what `make deploy` created, except for data: the volumes of NATS, of the
# object store and of the weights, and the Secrets. `kubectl delete namespace` deletes these too, but not
# priority classes, which are the cluster's.
set -eu
: "${OVERLAY:?set OVERLAY=kind, h100 or h100-fleet}"
: "${NAMESPACE:=kinora}"
here="$(dirname "$0")"
"$here/check-context.sh" "$OVERLAY"
# By label, and not by the manifests, which lack the objects of a component that was removed from the
# overlay. Services come first: Knative would re-create what belongs to them.
kinds=services.serving.knative.dev,sinkbindings.sources.knative.dev,brokers.eventing.knative.dev
kinds=$kinds,deployments.apps,statefulsets.apps,daemonsets.apps,jobs.batch,services,configmaps
kinds=$kinds,serviceaccounts,resourcequotas,networkpolicies.networking.k8s.io
kinds=$kinds,poddisruptionbudgets.policy,roles.rbac.authorization.k8s.io,rolebindings.rbac.authorization.k8s.io
# kubectl refuses kinds that the cluster does not have; these are there with the Prometheus Operator.
for name in $(kubectl api-resources --api-group=monitoring.coreos.com -o name); do
  case "$name" in podmonitors.* | prometheusrules.*) kinds=$kinds,$name ;; esac
done
kubectl -n "$NAMESPACE" delete "$kinds" --ignore-not-found \
  -l 'app.kubernetes.io/part-of=kinora,kinora.dev/keep!=true'
# These belong to the cluster, which may have other namespaces with Kinora.
policies=validatingadmissionpolicies.admissionregistration.k8s.io
policies=$policies,validatingadmissionpolicybindings.admissionregistration.k8s.io
kubectl delete "$policies" --ignore-not-found "kinora-dispatch.$NAMESPACE"
