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
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "remediator.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "remediator.fullname" .) .Values.serviceAccount.name }}{{ else }}{{ default "default" .Values.serviceAccount.name }}{{ end }}
{{- end }}

{{- define "remediator.secret" -}}
{{- default (printf "%s-credentials" (include "remediator.fullname" .)) .Values.auth.existingSecret }}
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

{{/* Every rule file by name, as text; what cannot be read is refused. */}}
{{- define "remediator.ruleFiles" -}}
{{- $files := dict }}
{{- if .Values.rules.shipped }}
{{- range $path, $bytes := .Files.Glob "files/rules/*.yaml" }}
{{- $_ := set $files (base $path) (toString $bytes) }}
{{- end }}
{{- end }}
{{- range $name, $content := .Values.rules.extra }}
{{- $text := ternary $content (toYaml $content) (kindIs "string" $content) }}
{{- $read := fromYaml $text }}
{{- if $read.Error }}{{ fail (printf "rules.extra.%s: this is no YAML: %s" $name $read.Error) }}{{ end }}
{{- range $override := $read.overrides }}
{{- if not (kindIs "slice" $override.rules) }}{{ fail (printf "rules.extra.%s: `rules` of an override must be a list" $name) }}{{ end }}
{{- end }}
{{- $_ := set $files $name $text }}
{{- end }}
{{- toYaml $files }}
{{- end }}

{{/* What the rules may see and do: `rules` everywhere, `local` beside them in single namespaces. From the rule files and
     files/permissions.yaml, as `remediator generate rbac` makes it: what may act in one namespace brings rights there only. */}}
{{- define "remediator.permissions" -}}
{{- $name := "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" }}
{{- $files := include "remediator.ruleFiles" . | fromYaml }}
{{- $table := .Files.Get "files/permissions.yaml" | fromYaml }}
{{- $sees := dict }}
{{- $acts := dict }}
{{- $causes := dict }}
{{- $local := dict }}
{{- range $files }}
{{- range $group := (fromYaml .).groups }}
{{- $default := dig "mode" "observe" (default dict $group.defaults) }}
{{- range $rule := $group.rules }}
{{- $places := list }}
{{- if ne (default $default $rule.mode) "observe" }}{{ $places = append $places (default list $group.scope.namespaces) }}{{ end }}
{{- range $files }}
{{- range $override := (fromYaml .).overrides }}
{{- if and (has $rule.name $override.rules) (ne (default "observe" $override.mode) "observe") }}
{{- $places = append $places (default (default list $group.scope.namespaces) $override.namespaces) }}
{{- end }}
{{- if has $rule.name $override.rules }}
{{- range $_, $step := (default dict $override.steps) }}
{{- range (kindIs "slice" $step.if | ternary $step.if (list $step.if)) }}{{ $_ := set $causes (toString .) true }}{{ end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- range $step := $rule.steps }}
{{- $_ := set $sees $step.action true }}
{{- range (kindIs "slice" $step.if | ternary $step.if (list $step.if)) }}{{ $_ := set $causes (toString .) true }}{{ end }}
{{- range $namespaces := $places }}
{{- $plain := gt (len $namespaces) 0 }}
{{- range $namespaces }}{{ if not (regexMatch $name .) }}{{ $plain = false }}{{ end }}{{ end }}
{{- $onNodes := and $group.scope.nodes (has $step.action $table.onCluster) }}
{{- if or (not $plain) $onNodes }}{{ $_ := set $acts $step.action true }}{{ end }}
{{- range (ternary $namespaces list $plain) }}{{ $_ := set $local . (set (default dict (get $local .)) $step.action true) }}{{ end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- $needed := $table.always }}
{{- range $action, $_ := $sees }}{{ $needed = concat $needed (default list (get $table.sees $action)) }}{{ end }}
{{- range $cause, $needs := $table.causes }}
{{- if or (hasKey $causes $cause) (hasKey $causes "any") }}{{ $needed = concat $needed (default list $needs) }}{{ end }}
{{- end }}
{{- range $action, $_ := $acts }}{{ $needed = concat $needed (default list (get $table.acts $action)) }}{{ end }}
{{- $beside := dict }}
{{- range $namespace, $used := $local }}
{{- $own := list }}
{{- range $action, $_ := $used }}
{{- if not (hasKey $acts $action) }}{{ $own = concat $own (default list (get $table.acts $action)) }}{{ end }}
{{- end }}
{{- if $own }}{{ $_ := set $beside $namespace (include "remediator.rbacRules" $own | fromYaml).rules }}{{ end }}
{{- end }}
{{- toYaml (dict "rules" (include "remediator.rbacRules" $needed | fromYaml).rules "local" $beside "cluster" $table.cluster) }}
{{- end }}

{{/* A list of {group, resource, verbs} as RBAC rules, each resource once. */}}
{{- define "remediator.rbacRules" -}}
{{- $verbs := dict }}
{{- range . }}
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
