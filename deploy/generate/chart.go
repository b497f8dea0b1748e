// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// substitution is what a chart's values may change.
type substitution struct{ text, template string }

func substitutions() []substitution {
	return []substitution{
		{"image: polynic:devel", `image: {{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) | quote }}`},
		{"imagePullPolicy: IfNotPresent", "imagePullPolicy: {{ .Values.image.pullPolicy }}"},
		{"namespace: polynic-system", "namespace: {{ .Release.Namespace }}"},
		{"serviceaccount:polynic-system:", "serviceaccount:{{ .Release.Namespace }}:"},
		{"path: /opt/cni/bin", "path: {{ .Values.node.cniBinDir }}"},
		{"path: /etc/cni/net.d", "path: {{ .Values.node.cniConfDir }}"},
		{"value: 48MiB", "value: {{ .Values.memory.go }}"},
		{"memory: 64Mi", "memory: {{ .Values.memory.limit }}"},
		{"\n    #etcd:", "{{ with .Values.agent.etcd }}\n    etcd: {{ toJson . }}{{ end }}\n    #etcd:"},
		{"path: /var/lib/kubelet/", "path: {{ .Values.node.kubeletDir }}/"},
	}
}

// values are the chart's, less the agent's configuration.
const values = `# Values of the chart; what they change is the same in every manifest.
image:
  repository: polynic
  tag: "" # the chart's appVersion
  pullPolicy: IfNotPresent
# Where the nodes keep things.
node:
  cniBinDir: /opt/cni/bin
  cniConfDir: /etc/cni/net.d
  kubeletDir: /var/lib/kubelet
# The memory of the agent on each node: docs/services.md says how much services take.
memory:
  limit: 64Mi
  go: 48MiB # what the agent itself keeps to (GOMEMLIMIT); nft has the rest
# The agent's configuration: docs/configuration.md explains every field.
agent:
`

// configKey begins the agent's configuration in its ConfigMap.
const configKey = "  agent.yaml: |\n"

// writeChart makes the templates, and the values that they are used with.
func writeChart(dir string, templates map[string]string) error {
	folder := filepath.Join(dir, "templates")
	if err := errors.Join(os.RemoveAll(folder), os.MkdirAll(folder, 0o755)); err != nil {
		return err
	}
	before, config, ok := strings.Cut(templates["config.yaml"], configKey)
	if !ok {
		return errors.New("config.yaml: there is no agent.yaml in it")
	}
	templates["config.yaml"] = before + configKey + "CONFIG"
	used := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(templates)) {
		text := templates[name]
		if strings.Contains(text, "{{") {
			return fmt.Errorf("%s: Helm would take {{ for its own", name)
		}
		for _, s := range substitutions() {
			used[s.text] = used[s.text] || strings.Contains(text, s.text)
			text = strings.ReplaceAll(text, s.text, s.template)
		}
		text = strings.Replace(text, "CONFIG", "{{ toYaml .Values.agent | indent 4 }}\n", 1)
		source := "deploy/uninstall.yaml"
		if name != "uninstall.yaml" {
			source = "the overlay linux"
		}
		text = header + fmt.Sprintf(notice, source) + text
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	for _, s := range substitutions() {
		if !used[s.text] {
			return fmt.Errorf("no manifest has %q", s.text)
		}
	}
	text := header + fmt.Sprintf(notice, "the overlay linux") + values + dedent(config)
	return os.WriteFile(filepath.Join(dir, "values.yaml"), []byte(text), 0o644)
}

// dedent takes two spaces from the beginning of every line.
func dedent(text string) string {
	return strings.TrimPrefix(strings.ReplaceAll("\n"+text, "\n  ", "\n"), "\n")
}
