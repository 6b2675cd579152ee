{{- define "picker.without_effect" -}}
{{- $picker := .Values.inferenceExtension }}
{{- if $picker.sidecar.enabled }}
- inferenceExtension.sidecar has no effect: the picker needs no sidecar.
{{- end }}
{{- if $picker.tracing.enabled }}
- inferenceExtension.tracing has no effect: the picker has no traces yet.
{{- end }}
{{- if gt (len (keys $picker.latencyPredictor)) 1 }}
- inferenceExtension.latencyPredictor: only `enabled` has an effect; the picker learns latencies by itself, without servers.
{{- end }}
{{- if $picker.monitoring.prometheus.auth.enabled }}
- inferenceExtension.monitoring.prometheus.auth has no effect: the metrics port asks for no token. Keep it inside of the cluster.
{{- end }}
{{- if $picker.monitoring.secret }}
- inferenceExtension.monitoring.secret has no effect, for the same reason.
{{- end }}
{{- end }}

{{- define "picker.notes" -}}
{{- $ignored := include "picker.without_effect" . }}
{{- with $ignored }}

Given, and without an effect here:
{{ . | trim }}
{{- end }}
{{- if include "picker.is_elected" . }}

{{ .Values.inferenceExtension.replicas }} pickers: one leads and is ready, the others are not and wait. Do not wait for all to be ready (--wait).
{{- end }}
{{- end }}
