{{- /*
Takes root; arguments (text, a YAML list): where the picker's endpoints are; and, for a picker with company,
containers, volumes, annotations (text) and drain_seconds (how long before SIGTERM, but for a picker that may lead).
*/}}
{{- define "picker.deployment" -}}
{{- $picker := .root.Values.inferenceExtension -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "picker.metadata" .root | nindent 2 }}
spec:
  replicas: {{ $picker.replicas }}
  {{- include "picker.strategy" .root | nindent 2 }}
  selector:
    matchLabels:
      {{- include "picker.selector" .root | nindent 6 }}
  template:
    metadata:
      # Not the chart's version: a new chart alone is no reason for new pods.
      labels:
        {{- include "picker.selector" .root | nindent 8 }}
      {{- with merge (fromYaml (.annotations | default "{}")) $picker.podAnnotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      serviceAccountName: {{ include "picker.name" .root }}
      automountServiceAccountToken: true
      terminationGracePeriodSeconds: {{ $picker.terminationGracePeriodSeconds }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        seccompProfile:
          type: RuntimeDefault
      {{- with include "picker.placement" .root | trim }}
      {{- . | nindent 6 }}
      {{- end }}
      containers:
        {{- include "picker.container" . | nindent 8 }}
        {{- with .containers }}
        {{- . | nindent 8 }}
        {{- end }}
      volumes:
        # Not by subPath: the picker follows the file as the ConfigMap changes, and needs no restart for it.
        - name: config
          configMap:
            name: {{ include "picker.name" .root }}
        {{- with .volumes }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- with $picker.volumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
{{- end }}

{{- define "picker.strategy" -}}
strategy:
  type: RollingUpdate
  rollingUpdate:
    maxSurge: 1
    {{- if include "picker.is_elected" . }}
    # Only the leader is ever ready, so that one pod is all that can be asked to stay. It leads until a new pod is warm,
    # and hands its lease over to that.
    maxUnavailable: {{ max 0 (sub (int .Values.inferenceExtension.replicas) 1) }}
    {{- else }}
    # The new pod is ready before an old one is told to stop.
    maxUnavailable: 0
    {{- end }}
{{- if include "picker.is_elected" . }}
# No deadline: pods that wait are not ready, so a rollout never counts as complete.
progressDeadlineSeconds: 2147483647
{{- end }}
{{- end }}

{{- define "picker.placement" -}}
{{- $picker := .Values.inferenceExtension }}
{{- with $picker.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $picker.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $picker.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $picker.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $picker.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if gt (int $picker.replicas) 1 }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "picker.selector" . | nindent 8 }}
{{- end }}
{{- end }}
