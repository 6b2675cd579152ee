{{- /* What config/envoy/full-duplex.yaml explains, with a port for probes and metrics; a test keeps the two alike. */}}
{{- define "standalone.envoy" -}}
admin:
  address:
    socket_address: { address: 127.0.0.1, port_value: 19000 }
static_resources:
  listeners:
    {{- include "standalone.traffic" . | nindent 4 }}
    {{- include "standalone.metrics" . | nindent 4 }}
  clusters:
    {{- include "standalone.clusters" . | nindent 4 }}
{{- end }}

{{- define "standalone.address" -}}
socket_address:
  address: {{ .root.Values.proxy.bindAddress | quote }}
  port_value: {{ .port }}
  {{- if contains ":" .root.Values.proxy.bindAddress }}
  # For IPv4 too.
  ipv4_compat: true
  {{- end }}
{{- end }}

{{- define "standalone.traffic" -}}
- name: traffic
  address:
    {{- include "standalone.address" (dict "root" . "port" .Values.proxy.port) | nindent 4 }}
  per_connection_buffer_limit_bytes: {{ int64 .Values.proxy.bufferLimitBytes }}
  filter_chains:
    - filters:
        - name: http
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
            stat_prefix: inference
            route_config:
              virtual_hosts:
                - name: all
                  domains: ["*"]
                  routes:
                    - match: { prefix: / }
                      # Streamed answers take as long as they take.
                      route: { cluster: model_servers, timeout: 0s }
            http_filters:
              - name: ext_proc
                typed_config:
                  {{- include "standalone.ext_proc" . | nindent 18 }}
              - name: router
                typed_config:
                  "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
{{- end }}

{{- define "standalone.ext_proc" -}}
"@type": type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor
grpc_service:
  envoy_grpc: { cluster_name: picker }
# The default of 200 ms is short for a request that has to wait.
message_timeout: 10s
processing_mode:
  request_header_mode: SEND
  request_body_mode: {{ .Values.proxy.bodyMode }}
  request_trailer_mode: SEND
  response_header_mode: SEND
  # Bodies of answers only where latencies are learned from them.
  response_body_mode: {{ ternary "STREAMED" "NONE" .Values.inferenceExtension.latencyPredictor.enabled }}
  response_trailer_mode: SEND
{{- end }}

{{- /* The admin port listens on loopback only; of it, this port lets out what probes and Prometheus need. */}}
{{- define "standalone.metrics" -}}
- name: metrics
  address:
    {{- include "standalone.address" (dict "root" . "port" 19001) | nindent 4 }}
  filter_chains:
    - filters:
        - name: http
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
            stat_prefix: metrics
            route_config:
              virtual_hosts:
                - name: all
                  domains: ["*"]
                  routes:
                    - match: { path: /ready }
                      route: { cluster: admin }
                    - match: { path: /stats/prometheus }
                      route: { cluster: admin }
            http_filters:
              - name: router
                typed_config:
                  "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
{{- end }}
