{{- /* ServiceAccount, Role and RoleBinding. Takes root and rules (text, a YAML list): what else is read, or "". */}}
{{- define "picker.rbac" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "picker.metadata" .root | nindent 2 }}
automountServiceAccountToken: false
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  {{- include "picker.metadata" .root | nindent 2 }}
rules:
  - apiGroups: [""]
    resources: [pods]
    verbs: [get, list, watch]
  # Either group: which of the custom resources are installed, if any, may change.
  - apiGroups: [llm-d.ai, inference.networking.x-k8s.io]
    resources: [inferenceobjectives, inferencemodelrewrites]
    verbs: [get, list, watch]
  {{- with .rules }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- if include "picker.is_elected" .root }}
  - apiGroups: [coordination.k8s.io]
    resources: [leases]
    verbs: [get, create, update]
  {{- end }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  {{- include "picker.metadata" .root | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ include "picker.name" .root }}
subjects:
  - kind: ServiceAccount
    name: {{ include "picker.name" .root }}
    namespace: {{ .root.Release.Namespace }}
{{- end }}
