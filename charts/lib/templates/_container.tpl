{{- define "picker.container_security" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{- /* Keeps a container serving for so many seconds after it was taken out of its Service. */}}
{{- define "picker.linger" -}}
lifecycle:
  preStop:
    sleep:
      seconds: {{ . }}
{{- end }}

{{- /* Takes what picker.deployment takes. */}}
{{- define "picker.container" -}}
{{- $picker := .root.Values.inferenceExtension -}}
- name: epp
  image: {{ include "picker.image" .root | quote }}
  imagePullPolicy: {{ $picker.image.pullPolicy }}
  args:
    {{- .arguments | nindent 4 }}
    {{- include "picker.arguments" .root | nindent 4 }}
  ports:
    - name: grpc
      containerPort: {{ $picker.extProcPort }}
    - name: grpc-health
      containerPort: 9003
    - name: metrics
      containerPort: 9090
    {{- with $picker.extraContainerPorts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  env:
    - name: NAMESPACE
      valueFrom:
        fieldRef:
          fieldPath: metadata.namespace
    - name: POD_NAME
      valueFrom:
        fieldRef:
          fieldPath: metadata.name
    - name: POD_TEMPLATE_HASH
      valueFrom:
        fieldRef:
          fieldPath: metadata.labels['pod-template-hash']
    {{- with $picker.env }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- include "picker.probes" . | nindent 2 }}
  {{- /* Not where one leads: it has to give back its Lease at once, and serves on for --drain-delay by itself. */}}
  {{- if and .drain_seconds (not (include "picker.is_elected" .root)) }}
  {{- include "picker.linger" .drain_seconds | nindent 2 }}
  {{- end }}
  {{- include "picker.container_security" . | nindent 2 }}
  resources:
    {{- toYaml $picker.resources | nindent 4 }}
  volumeMounts:
    - name: config
      mountPath: /config
      readOnly: true
    {{- with $picker.volumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{- /* Alive: it answers. Ready: it knows its endpoints, leads where one leads, and does not drain. */}}
{{- define "picker.probes" -}}
startupProbe:
  grpc:
    port: 9003
    service: liveness
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  grpc:
    port: 9003
    service: liveness
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  grpc:
    port: 9003
    service: readiness
  periodSeconds: 2
{{- end }}
