{{- /* Takes root and ports (text, a YAML list). */}}
{{- define "picker.service" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "picker.metadata" .root | nindent 2 }}
spec:
  selector:
    {{- include "picker.selector" .root | nindent 4 }}
  ports:
    {{- .ports | nindent 4 }}
    - name: http-metrics
      port: 9090
      targetPort: metrics
    {{- with .root.Values.inferenceExtension.extraServicePorts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
