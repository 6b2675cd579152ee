{{- define "standalone.proxy" -}}
{{- $proxy := .Values.proxy -}}
- name: envoy
  image: {{ printf "%s:%s" $proxy.image.repository $proxy.image.tag | quote }}
  imagePullPolicy: {{ $proxy.image.pullPolicy }}
  command: [envoy]
  args:
    - --config-path
    - /etc/envoy/envoy.yaml
    - --concurrency
    - {{ $proxy.concurrency | quote }}
    # Its shared memory is for a second Envoy that takes over, and there is none.
    - --disable-hot-restart
    - --log-level
    - warning
  ports:
    - name: http
      containerPort: {{ $proxy.port }}
    - name: envoy-metrics
      containerPort: 19001
  readinessProbe:
    httpGet:
      path: /ready
      port: envoy-metrics
    periodSeconds: 2
  livenessProbe:
    tcpSocket:
      port: envoy-metrics
    periodSeconds: 10
    timeoutSeconds: 5
  # Envoy ends at SIGTERM with all that it carries, so it has to get it late, and the picker not before it.
  {{- include "picker.linger" $proxy.drainSeconds | nindent 2 }}
  {{- include "picker.container_security" . | nindent 2 }}
  resources:
    {{- toYaml $proxy.resources | nindent 4 }}
  volumeMounts:
    - name: envoy
      mountPath: /etc/envoy
      readOnly: true
{{- end }}
