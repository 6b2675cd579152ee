{{- /* ServiceMonitor or PodMonitoring, and the dashboard. Takes root and provider. */}}
{{- define "picker.monitoring" -}}
{{- $monitoring := .root.Values.inferenceExtension.monitoring }}
{{- if and (eq .provider "gke") (or $monitoring.prometheus.enabled $monitoring.gke.enabled) }}
{{ include "picker.pod_monitoring" .root }}
---
{{- else if $monitoring.prometheus.enabled }}
{{ include "picker.service_monitor" .root }}
---
{{- end }}
{{- if $monitoring.dashboard.enabled }}
{{ include "picker.dashboard" .root }}
{{- end }}
{{- end }}

{{- define "picker.monitoring_metadata" -}}
{{ include "picker.metadata" . }}
  {{- with .Values.inferenceExtension.monitoring.prometheus.extraLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "picker.service_monitor" -}}
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  {{- include "picker.monitoring_metadata" . | nindent 2 }}
spec:
  selector:
    matchLabels:
      {{- include "picker.selector" . | nindent 6 }}
  endpoints:
    - port: http-metrics
      path: /metrics
      interval: {{ .Values.inferenceExtension.monitoring.interval }}
{{- end }}

{{- define "picker.pod_monitoring" -}}
apiVersion: monitoring.googleapis.com/v1
kind: PodMonitoring
metadata:
  {{- include "picker.monitoring_metadata" . | nindent 2 }}
spec:
  selector:
    matchLabels:
      {{- include "picker.selector" . | nindent 6 }}
  endpoints:
    - port: metrics
      path: /metrics
      interval: {{ .Values.inferenceExtension.monitoring.interval }}
{{- end }}

{{- define "picker.dashboard" -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "picker.name" . }}-dashboard
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "picker.labels" . | nindent 4 }}
    {{- toYaml .Values.inferenceExtension.monitoring.dashboard.labels | nindent 4 }}
data:
  endpoint-picker.json: |
    {{- .Subcharts.inferenceExtension.Files.Get "files/dashboard.json" | nindent 4 }}
{{- end }}
