{{- define "pool.group" -}}
{{ first (splitList "/" .Values.inferencePool.apiVersion) }}
{{- end }}

{{- define "pool.is_v1" -}}
{{- if hasSuffix "/v1" .Values.inferencePool.apiVersion }}true{{ end }}
{{- end }}

{{- define "pool.labels_of_servers" -}}
{{- with .Values.inferencePool.modelServers.matchLabels }}
{{- toYaml . }}
{{- else }}
{{- fail "inferencePool.modelServers.matchLabels is required: the labels of the model servers' pods, such as --set inferencePool.modelServers.matchLabels.app=vllm" }}
{{- end }}
{{- end }}

{{- /* The first port of the model servers; the only one of a v1alpha2 pool. */}}
{{- define "pool.first_port" -}}
{{- if and (not (include "pool.is_v1" .)) .Values.inferencePool.targetPortNumber }}
{{- int .Values.inferencePool.targetPortNumber }}
{{- else }}
{{- int (first .Values.inferencePool.targetPorts).number }}
{{- end }}
{{- end }}

{{- define "pool.parser" -}}
{{- $default := ternary "vllmgrpc-parser" "" (eq .Values.inferencePool.modelServerProtocol "grpc") }}
{{- .Values.inferencePool.parser | default $default }}
{{- end }}

{{- /* The group that the picker reads: where the cluster has both, it is that of llm-d.ai alone. */}}
{{- define "pool.objectives_version" -}}
{{- $new := "llm-d.ai/v1alpha2" }}
{{- $found := ternary $new "inference.networking.x-k8s.io/v1alpha2" (has (printf "%s/InferenceObjective" $new) .Capabilities.APIVersions) }}
{{- .Values.inferenceObjectivesApiVersion | default $found }}
{{- end }}
