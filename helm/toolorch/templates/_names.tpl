{{/* Name of every object of the release; the usual release is called toolorch, and so are they. */}}
{{- define "toolorch.name" -}}
{{- if eq .Release.Name "toolorch" }}toolorch{{ else }}{{ printf "%s-toolorch" .Release.Name | trunc 63 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* Names that are unique in the cluster carry the namespace too. */}}
{{- define "toolorch.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "toolorch.name" .) }}
{{- end }}

{{- define "toolorch.selector" -}}
app.kubernetes.io/name: toolorch
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "toolorch.labels" -}}
{{ include "toolorch.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "toolorch.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "toolorch.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "toolorch.image" -}}
{{ .repository }}:{{ .tag }}
{{- end }}
