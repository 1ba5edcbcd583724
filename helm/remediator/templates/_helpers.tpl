{{- define "remediator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "remediator.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "remediator.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "remediator.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "remediator.selector" -}}
app.kubernetes.io/name: {{ include "remediator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "remediator.labels" -}}
{{ include "remediator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "remediator.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "remediator.fullname" .) .Values.serviceAccount.name }}{{ else }}{{ default "default" .Values.serviceAccount.name }}{{ end }}
{{- end }}

{{- define "remediator.secret" -}}
{{- default (include "remediator.fullname" .) .Values.auth.existingSecret }}
{{- end }}

{{/* What cannot work is refused, with what to do. */}}
{{- define "remediator.check" -}}
{{- if and (gt (int .Values.replicas) 1) (not .Values.journal.existingSecret) }}
{{- fail "replicas > 1 needs a PostgreSQL journal: set journal.existingSecret to a Secret with the key url" }}
{{- end }}
{{- if and (not .Values.rules.shipped) (not .Values.rules.extra) }}
{{- fail "there are no rules: set rules.shipped or rules.extra" }}
{{- end }}
{{- end }}

{{/* Every rule file by name, as text. */}}
{{- define "remediator.ruleFiles" -}}
{{- $files := dict }}
{{- if .Values.rules.shipped }}
{{- range $path, $bytes := .Files.Glob "files/rules/*.yaml" }}
{{- $_ := set $files (base $path) (toString $bytes) }}
{{- end }}
{{- end }}
{{- range $name, $content := .Values.rules.extra }}
{{- $_ := set $files $name (ternary $content (toYaml $content) (kindIs "string" $content)) }}
{{- end }}
{{- toYaml $files }}
{{- end }}

{{/* What the rules may see and do, as a list of RBAC rules: from the rule files and files/permissions.yaml. */}}
{{- define "remediator.permissions" -}}
{{- $modes := dict }}
{{- $files := include "remediator.ruleFiles" . | fromYaml }}
{{- range $files }}
{{- range (fromYaml .).overrides }}
{{- $mode := .mode }}
{{- if and $mode (ne $mode "observe") }}
{{- range .rules }}{{ $_ := set $modes . $mode }}{{ end }}
{{- end }}
{{- end }}
{{- end }}
{{- $sees := dict }}
{{- $acts := dict }}
{{- range $files }}
{{- range $group := (fromYaml .).groups }}
{{- $default := dig "mode" "observe" (default dict $group.defaults) }}
{{- range $rule := $group.rules }}
{{- $mode := default (default $default $rule.mode) (get $modes $rule.name) }}
{{- range $rule.steps }}
{{- $_ := set $sees .action true }}
{{- if ne $mode "observe" }}{{ $_ := set $acts .action true }}{{ end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- $table := .Files.Get "files/permissions.yaml" | fromYaml }}
{{- $needed := $table.always }}
{{- range $action, $_ := $sees }}{{ $needed = concat $needed (default list (get $table.sees $action)) }}{{ end }}
{{- range $action, $_ := $acts }}{{ $needed = concat $needed (default list (get $table.acts $action)) }}{{ end }}
{{- $verbs := dict }}
{{- range $needed }}
{{- $key := printf "%s|%s" .group .resource }}
{{- $_ := set $verbs $key (concat (default list (get $verbs $key)) .verbs | uniq | sortAlpha) }}
{{- end }}
{{- $out := list }}
{{- range $key := keys $verbs | sortAlpha }}
{{- $parts := splitn "|" 2 $key }}
{{- $out = append $out (dict "apiGroups" (list $parts._0) "resources" (list $parts._1) "verbs" (get $verbs $key)) }}
{{- end }}
{{- toYaml (dict "rules" $out) }}
{{- end }}
