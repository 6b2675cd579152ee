{{- define "standalone.clusters" -}}
# Goes where the picker says.
- name: model_servers
  type: ORIGINAL_DST
  lb_policy: CLUSTER_PROVIDED
  connect_timeout: 5s
  {{- include "standalone.circuit_breakers" . | nindent 2 }}
  original_dst_lb_config:
    use_http_header: true
    http_header_name: x-gateway-destination-endpoint
- name: picker
  type: STATIC
  connect_timeout: 5s
  {{- include "standalone.circuit_breakers" . | nindent 2 }}
  load_assignment:
    cluster_name: picker
    endpoints:
      - lb_endpoints:
          - endpoint:
              address:
                socket_address: { address: 127.0.0.1, port_value: {{ .Values.inferenceExtension.extProcPort }} }
  typed_extension_protocol_options:
    envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
      "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
      explicit_http_config:
        http2_protocol_options: {}
  {{- if include "picker.is_secure" . }}
  # Without a validation context any certificate is taken: the picker's is self-signed, and it is in the same pod.
  transport_socket:
    name: envoy.transport_sockets.tls
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
      common_tls_context:
        alpn_protocols: [h2]
  {{- end }}
- name: admin
  type: STATIC
  connect_timeout: 1s
  load_assignment:
    cluster_name: admin
    endpoints:
      - lb_endpoints:
          - endpoint:
              address:
                socket_address: { address: 127.0.0.1, port_value: 19000 }
{{- end }}

{{- /* The default of 1024 is the limit of a busy picker: every request has a stream open for as long as it takes. */}}
{{- define "standalone.circuit_breakers" -}}
circuit_breakers:
  thresholds:
    - { max_connections: 40000, max_pending_requests: 40000, max_requests: 40000 }
{{- end }}
