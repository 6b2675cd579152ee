{{- /*
Where one of several pickers leads there is none: it alone is ready, so a budget could only forbid to evict it, for ever,
and no node that it runs on could be drained. When it is evicted, another leads within seconds.
*/}}
{{- define "picker.disruption_budget" -}}
{{- if and (gt (int .Values.inferenceExtension.replicas) 1) (not (include "picker.is_elected" .)) -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "picker.metadata" . | nindent 2 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      {{- include "picker.selector" . | nindent 6 }}
{{- end }}
{{- end }}
