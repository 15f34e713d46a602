{{- define "batch-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 40 characters, so that every suffix below still makes a DNS label. */}}
{{- define "batch-operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "batch-operator.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "batch-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "batch-operator.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name: name an existing ServiceAccount, or set serviceAccount.create=true" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "batch-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "batch-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "batch-operator.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "batch-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: batch-operator
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* repository@digest, or repository:tag; call with (dict "image" ... "root" $). */}}
{{- define "batch-operator.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "batch-operator.progressService" -}}
{{- printf "%s-progress" (include "batch-operator.fullname" .) -}}
{{- end -}}

{{/* Kubernetes puts the address of each Service of the namespace that is older than the pod into <NAME>_SERVICE_HOST. */}}
{{- define "batch-operator.progressURL" -}}
{{- $service := include "batch-operator.progressService" . -}}
{{- if eq .Values.progress.address "clusterIP" -}}
https://$({{ $service | upper | replace "-" "_" }}_SERVICE_HOST):{{ .Values.progress.port }}
{{- else -}}
https://{{ $service }}.{{ .Release.Namespace }}.svc:{{ .Values.progress.port }}
{{- end -}}
{{- end -}}
