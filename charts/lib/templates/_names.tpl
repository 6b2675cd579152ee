{{- define "picker.name" -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}-epp
{{- end }}

{{- define "picker.selector" -}}
app.kubernetes.io/name: endpoint-picker
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "picker.labels" -}}
{{ include "picker.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "picker.metadata" -}}
name: {{ include "picker.name" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "picker.labels" . | nindent 2 }}
{{- end }}

{{- define "picker.image" -}}
{{- $image := .Values.inferenceExtension.image }}
{{- $registry := $image.hub | default $image.registry }}
{{- $repository := $image.name | default $image.repository }}
{{- with $registry }}{{ . }}/{{ end }}{{ $repository }}:{{ $image.tag | default .Chart.AppVersion }}
{{- end }}
