{{- /* Flags are read as the picker does it: of every word that it takes for yes or no. */}}

{{- /* Whether ext_proc is served over TLS: "true" or "". */}}
{{- define "picker.is_secure" -}}
{{- $said := get .Values.inferenceExtension.flags "secure-serving" | toString | lower | trim }}
{{- if not (has $said (list "false" "f" "0" "no" "n" "off")) }}true{{ end }}
{{- end }}

{{- /* Whether one of several pickers leads: "true" or "". The flag decides where it is given. */}}
{{- define "picker.is_elected" -}}
{{- $flags := .Values.inferenceExtension.flags }}
{{- if hasKey $flags "ha-enable-leader-election" }}
{{- $said := get $flags "ha-enable-leader-election" | toString | lower | trim }}
{{- if has $said (list "true" "t" "1" "yes" "y" "on") }}true{{ end }}
{{- else if gt (int .Values.inferenceExtension.replicas) 1 }}true
{{- end }}
{{- end }}

{{- /* A flag's value as text; YAML's numbers arrive as floats, and 67108864 must not become 6.7108864e+07. */}}
{{- define "picker.flag_value" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . }}{{ else }}{{ . }}{{ end }}
{{- end }}

{{- define "picker.check_flags" -}}
{{- $instead := dict
  "config-file" "use inferenceExtension.pluginsConfigFile"
  "config-text" "use inferenceExtension.pluginsCustomConfig"
  "grpc-port" "use inferenceExtension.extProcPort"
  "grpc-health-port" "the probes of the chart need 9003"
  "metrics-port" "the Service of the chart needs 9090" }}
{{- range $flag, $hint := $instead }}
{{- if hasKey $.Values.inferenceExtension.flags $flag }}
{{- fail (printf "inferenceExtension.flags.%s is not taken: %s" $flag $hint) }}
{{- end }}
{{- end }}
{{- end }}

{{- /* What every picker is started with, after the arguments that say where its endpoints are. */}}
{{- define "picker.arguments" -}}
{{- include "picker.check_flags" . }}
{{- $picker := .Values.inferenceExtension -}}
- --config-file=/config/{{ include "picker.config_file" . }}
{{- if not (hasKey $picker.flags "bind-address") }}
# All interfaces, IPv4 and IPv6: of a pod it depends on the cluster which it has.
- "--bind-address=::"
{{- end }}
{{- if ne (int $picker.extProcPort) 9002 }}
- --grpc-port={{ int $picker.extProcPort }}
{{- end }}
{{- if and (include "picker.is_elected" .) (not (hasKey $picker.flags "ha-enable-leader-election")) }}
- --ha-enable-leader-election
{{- end }}
{{- range $flag, $value := $picker.flags }}
- {{ printf "--%s=%s" $flag (include "picker.flag_value" $value) | quote }}
{{- end }}
{{- end }}
