{{- define "istio.routes" -}}
{{- $filter := .Values.provider.istio.envoyFilter }}
{{- if $filter.routes }}
{{- toYaml $filter.routes }}
{{- else if .Values.experimentalHttpRoute.enabled }}
{{- toYaml (list (printf "%s.%s.0" .Release.Namespace .Release.Name)) }}
{{- else }}
{{- fail "provider.istio.envoyFilter needs routes: the names of the routes to the pool, or experimentalHttpRoute.enabled" }}
{{- end }}
{{- end }}

{{- /*
Istio has the mode in each route, not in the listener's filter, and replaces the route's whole entry: hence the picker's
cluster and failure_mode_allow are here too. Of answers, their head and end are shown, and what is between them only where
latencies are learned from it.
*/}}
{{- define "istio.envoy_filter" -}}
{{- $filter := .Values.provider.istio.envoyFilter -}}
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata:
  name: {{ include "picker.name" . }}-body-mode
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "picker.labels" . | nindent 4 }}
spec:
  targetRefs:
    - group: gateway.networking.k8s.io
      kind: Gateway
      name: {{ .Values.experimentalHttpRoute.inferenceGatewayName }}
  configPatches:
    {{- range $route := fromYamlArray (include "istio.routes" .) }}
    - applyTo: HTTP_ROUTE
      match:
        context: GATEWAY
        routeConfiguration:
          vhost:
            route:
              name: {{ $route }}
      patch:
        operation: MERGE
        value:
          typed_per_filter_config:
            envoy.filters.http.ext_proc:
              "@type": type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute
              overrides:
                {{- include "istio.overrides" $ | nindent 16 }}
    {{- end }}
    # Envoy answers 413 to a body that it is to buffer and that is larger than this; its default is 1 MiB.
    - applyTo: LISTENER
      match:
        context: GATEWAY
      patch:
        operation: MERGE
        value:
          per_connection_buffer_limit_bytes: {{ int64 $filter.bufferLimitBytes }}
{{- end }}

{{- define "istio.overrides" -}}
{{- $mode := .Values.provider.istio.envoyFilter.bodyMode -}}
failure_mode_allow: {{ eq .Values.inferenceExtension.failureMode "FailOpen" }}
grpc_service:
  envoy_grpc:
    cluster_name: outbound|{{ .Values.inferenceExtension.extProcPort }}||{{ include "istio.host" . }}
processing_mode:
  request_header_mode: SEND
  request_body_mode: {{ $mode }}
  # Full duplex requires trailers.
  request_trailer_mode: {{ ternary "SEND" "SKIP" (eq $mode "FULL_DUPLEX_STREAMED") }}
  response_header_mode: SEND
  response_body_mode: {{ ternary "STREAMED" "NONE" .Values.inferenceExtension.latencyPredictor.enabled }}
  response_trailer_mode: SEND
{{- end }}
