// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"errors"
	"fmt"
	"os"
	"reflect"

	corev1 "k8s.io/api/core/v1"

	"github.com/polynic/polynic/internal/lab/state"
)

// applyConfigMap keeps a ConfigMap for the pods that are applied from now on.
func (d *Daemon) applyConfigMap(c *corev1.ConfigMap) (string, error) {
	path := d.Dir.ConfigMap(c.Namespace, c.Name)
	var old corev1.ConfigMap
	err := state.Read(path, &old)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "created", state.Write(path, c)
	case err != nil:
		return "", err
	case reflect.DeepEqual(old.Data, c.Data) && reflect.DeepEqual(old.BinaryData, c.BinaryData):
		return "unchanged", nil
	default:
		return "changed; pods that run keep what they have", state.Write(path, c)
	}
}

// configMaps are those of a namespace, by name.
func (d *Daemon) configMaps(namespace string) (map[string]*corev1.ConfigMap, error) {
	all, err := state.ReadAll[*corev1.ConfigMap](d.Dir.ConfigMapsDir(), "")
	if err != nil {
		return nil, fmt.Errorf("ConfigMaps: %w", err)
	}
	found := map[string]*corev1.ConfigMap{}
	for _, c := range all {
		if c.Namespace == namespace {
			found[c.Name] = c
		}
	}
	return found, nil
}
