{{- define "jobtide.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "jobtide.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "jobtide.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "jobtide.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- /* Names of cluster-wide objects contain the namespace: two releases with one name must not share a ClusterRole. */ -}}
{{- define "jobtide.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "jobtide.fullname" .) }}
{{- end }}

{{- define "jobtide.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default (include "jobtide.fullname" .) }}
{{- else }}
{{- .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{- /* A packaged chart names the digest of the image that was released with it. A chosen tag replaces that digest. */ -}}
{{- define "jobtide.image" -}}
{{- $released := index .Chart.Annotations "jobtide.dev/image-digest" }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else if and $released (not .Values.image.tag) }}
{{- printf "%s@%s" .Values.image.repository $released }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end }}
{{- end }}

{{- define "jobtide.selectorLabels" -}}
app.kubernetes.io/name: {{ include "jobtide.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: controller
{{- end }}

{{- define "jobtide.labels" -}}
{{ include "jobtide.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- /* settings.tickMinSeconds -> JOBTIDE_TICK_MIN_SECONDS. toJson, because Helm prints 1000000 as 1e+06. */ -}}
{{- define "jobtide.settingsEnv" -}}
{{- range $key, $value := .Values.settings }}
- name: JOBTIDE_{{ $key | snakecase | upper }}
  value: {{ kindIs "string" $value | ternary $value (toJson $value) | quote }}
{{- end }}
{{- end }}

{{- /* {"main":["media"]} for the databases that only some namespaces may use; empty if all may use all. */ -}}
{{- define "jobtide.databaseNamespaces" -}}
{{- $namespaces := dict }}
{{- range $name, $database := .Values.databases }}
{{- with $database.namespaces }}
{{- $_ := set $namespaces $name . }}
{{- end }}
{{- end }}
{{- with $namespaces }}
{{- toJson . }}
{{- end }}
{{- end }}

{{- /* main,reports: the databases whose tenants are shown. */ -}}
{{- define "jobtide.showTenants" -}}
{{- $names := list }}
{{- range $name, $database := .Values.databases }}
{{- if $database.showTenants }}
{{- $names = append $names $name }}
{{- end }}
{{- end }}
{{- join "," $names }}
{{- end }}

{{- /* {"main":40} for the databases with a budget; empty if none has one. */ -}}
{{- define "jobtide.connectionBudgets" -}}
{{- $budgets := dict }}
{{- range $name, $database := .Values.databases }}
{{- with $database.connectionBudget }}
{{- $_ := set $budgets $name (int64 .) }}
{{- end }}
{{- end }}
{{- with $budgets }}
{{- toJson . }}
{{- end }}
{{- end }}

{{- /* Why a template is refused: (list .Values.admissionPolicy WHAT). */ -}}
{{- define "jobtide.notAllowed" -}}
{{- printf "spec.template: the Pod Security level %s does not allow %s" (index . 0).podSecurity (index . 1) | quote }}
{{- end }}

{{- /* A namespace that the controller watches: that of the release if it is one. */ -}}
{{- define "jobtide.poolNamespace" -}}
{{- $watched := .Values.watchNamespaces }}
{{- if or (not $watched) (has .Release.Namespace $watched) }}
{{- .Release.Namespace }}
{{- else }}
{{- first $watched }}
{{- end }}
{{- end }}

{{- define "jobtide.firstDatabase" -}}
{{- hasKey .Values.databases "main" | ternary "main" (keys .Values.databases | sortAlpha | first) }}
{{- end }}

{{- /* The source of a volume with the URL of one of .Values.databases. */ -}}
{{- define "jobtide.databaseSecret" -}}
secret:
  secretName: {{ .secretName }}
  # Without the Secret the controller must start and report it, not hang in ContainerCreating.
  optional: true
  items:
    - key: {{ .key | default "url" }}
      path: url
    {{- with .caKey }}
    - key: {{ . }}
      path: ca.crt
    {{- end }}
{{- end }}

{{- /* Where the controller's image may run, and how it is pulled. */ -}}
{{- define "jobtide.placement" -}}
{{- range $key := list "imagePullSecrets" "priorityClassName" "nodeSelector" "tolerations" "affinity" }}
{{- with get $.Values $key }}
{{ toYaml (dict $key .) }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Of the controller and of its test: DNS, the API server and the databases. */ -}}
{{- define "jobtide.egressPorts" -}}
- protocol: UDP
  port: 53
- protocol: TCP
  port: 53
{{- range concat .Values.networkPolicy.apiServerPorts .Values.networkPolicy.databasePorts | uniq }}
- protocol: TCP
  port: {{ . }}
{{- end }}
{{- end }}
