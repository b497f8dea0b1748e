// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// environment is a container's environment, as a list of NAME=VALUE, and the
// variables that its command may refer to: those of the manifest and those of
// its devices. As with kubelet, the manifest's win, and a variable of it does
// not refer to those of devices.
func (p Pod) environment(c *corev1.Container, field string) (list []string, known map[string]string, err error) {
	// Those that a container runtime sets by itself; the manifest's win.
	all := map[string]string{
		"PATH":     "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME":     "/root",
		"HOSTNAME": p.hostname(),
	}
	defined := map[string]string{}
	for i := range c.Env {
		v := &c.Env[i]
		value, ok, err := p.value(v, defined)
		if err != nil {
			return nil, nil, refuse(index(field+".env", i)+".valueFrom", "%v", err)
		}
		if ok {
			defined[v.Name] = value
		}
	}
	known = map[string]string{}
	maps.Copy(known, p.Grants[c.Name].Env)
	maps.Copy(known, defined)
	maps.Copy(all, known)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, name+"="+all[name])
	}
	return list, known, nil
}

// value is one variable's; false where an optional source is missing.
func (p Pod) value(v *corev1.EnvVar, defined map[string]string) (string, bool, error) {
	switch {
	case v.ValueFrom == nil:
		return expand(v.Value, defined), true, nil
	case v.ValueFrom.FieldRef != nil:
		value, err := p.field(v.ValueFrom.FieldRef.FieldPath)
		return value, true, err
	case v.ValueFrom.ConfigMapKeyRef != nil:
		return p.configMapKey(v.ValueFrom.ConfigMapKeyRef)
	default:
		return "", false, errSource
	}
}

func (p Pod) configMapKey(ref *corev1.ConfigMapKeySelector) (string, bool, error) {
	optional := ref.Optional != nil && *ref.Optional
	configMap, ok := p.ConfigMaps[ref.Name]
	if !ok {
		if optional {
			return "", false, nil
		}
		return "", false, missingConfigMap(ref.Name)
	}
	value, ok := configMap.Data[ref.Key]
	if !ok && !optional {
		return "", false, missingKey(ref.Name, ref.Key)
	}
	return value, ok, nil
}

// field is the value of a field that the downward API knows.
func (p Pod) field(path string) (string, error) {
	if key, ok := subscript(path, "metadata.labels"); ok {
		return p.Labels[key], nil
	}
	if key, ok := subscript(path, "metadata.annotations"); ok {
		return p.Annotations[key], nil
	}
	switch path {
	case "metadata.name":
		return p.Name, nil
	case "metadata.namespace":
		return p.Namespace, nil
	case "metadata.uid":
		return string(p.UID), nil
	case "spec.nodeName":
		return p.Node, nil
	case "status.podIP":
		return first(p.IPs), nil
	case "status.podIPs":
		return joined(p.IPs), nil
	case "status.hostIP":
		return first(p.HostIPs), nil
	case "status.hostIPs":
		return joined(p.HostIPs), nil
	default:
		return "", unknownField(path)
	}
}

// subscript takes apart PREFIX['KEY'].
func subscript(path, prefix string) (string, bool) {
	rest, ok := strings.CutPrefix(path, prefix+"['")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, "']")
}

func first(addresses []netip.Addr) string {
	if len(addresses) == 0 {
		return ""
	}
	return addresses[0].String()
}

func joined(addresses []netip.Addr) string {
	words := make([]string, len(addresses))
	for i, a := range addresses {
		words[i] = a.String()
	}
	return strings.Join(words, ",")
}

// expand replaces $(NAME) by the variable's value, leaves a reference to an
// unknown one as it is, and turns $$ into $, as Kubernetes does.
func expand(text string, values map[string]string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "$")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		switch name, after, closed := strings.Cut(strings.TrimPrefix(rest, "("), ")"); {
		case strings.HasPrefix(rest, "$"):
			b.WriteByte('$')
			text = rest[1:]
		case strings.HasPrefix(rest, "(") && closed:
			if value, ok := values[name]; ok {
				b.WriteString(value)
			} else {
				b.WriteString("$(" + name + ")")
			}
			text = after
		default:
			b.WriteByte('$')
			text = rest
		}
	}
}
