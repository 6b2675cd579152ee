{{- define "picker.config_file" -}}
{{- $picker := .Values.inferenceExtension }}
{{- $file := $picker.pluginsConfigFile }}
{{- if not (or (eq $file "default-plugins.yaml") (hasKey $picker.pluginsCustomConfig $file)) }}
{{- fail (printf "inferenceExtension.pluginsConfigFile is %q: it has to be default-plugins.yaml or a key of inferenceExtension.pluginsCustomConfig" $file) }}
{{- end }}
{{- $file }}
{{- end }}

{{- /* The ConfigMap behind /config. Takes root, engine (a model server type), parser (a plugin type, or ""). */}}
{{- define "picker.config_map" -}}
{{- $picker := .root.Values.inferenceExtension -}}
apiVersion: v1
kind: ConfigMap
metadata:
  {{- include "picker.metadata" .root | nindent 2 }}
data:
  {{- if not (hasKey $picker.pluginsCustomConfig "default-plugins.yaml") }}
  default-plugins.yaml: |
    {{- include "picker.config" . | nindent 4 }}
  {{- end }}
  {{- with $picker.pluginsCustomConfig }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "picker.config" -}}
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
  - type: metrics-data-source
    parameters:
      {{- toYaml .root.Values.inferenceExtension.metricsDataSource | nindent 6 }}
  - type: core-metrics-extractor
    {{- if ne .engine "vllm" }}
    parameters:
      defaultEngine: {{ .engine }}
    {{- end }}
  {{- with .parser }}
  - type: {{ . }}
  {{- end }}
{{- if .root.Values.inferenceExtension.latencyPredictor.enabled }}
{{- include "picker.latency_profile" . }}
{{- else }}
{{- include "picker.default_profile" . }}
{{- end }}
{{- with .parser }}
requestHandler:
  parsers:
    - pluginRef: {{ . }}
{{- end }}
{{- end }}

{{- define "picker.default_profile" }}
  - type: queue-scorer
  - type: kv-cache-utilization-scorer
  - type: prefix-cache-scorer
schedulingProfiles:
  - name: default
    plugins:
      - pluginRef: queue-scorer
        weight: 2
      - pluginRef: kv-cache-utilization-scorer
        weight: 2
      - pluginRef: prefix-cache-scorer
        weight: 3
{{- end }}

{{- /* An endpoint that has nearly all of the prompt, else those that keep what was asked for, of these one that has much. */}}
{{- define "picker.latency_profile" }}
  - type: approx-prefix-cache-producer
  - type: predicted-latency-producer
  - type: prefix-cache-affinity-filter
    name: strict-affinity-filter
    parameters:
      affinityThreshold: 0.99
  - type: slo-headroom-tier-filter
  - type: prefix-cache-affinity-filter
    name: loose-affinity-filter
    parameters:
      affinityThreshold: 0.8
  - type: latency-scorer
  - type: weighted-random-picker
  - type: latency-slo-admitter
schedulingProfiles:
  - name: default
    plugins:
      - pluginRef: strict-affinity-filter
      - pluginRef: slo-headroom-tier-filter
      - pluginRef: loose-affinity-filter
      - pluginRef: latency-scorer
      - pluginRef: weighted-random-picker
{{- end }}
