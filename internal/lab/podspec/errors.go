// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"errors"
	"fmt"
)

var errSource = errors.New("only fieldRef and configMapKeyRef are known")

func missingConfigMap(name string) error {
	return fmt.Errorf("there is no ConfigMap %q in the pod's namespace; apply it first, or with the pod", name)
}

func missingKey(configMap, key string) error {
	return fmt.Errorf("ConfigMap %q has no key %q", configMap, key)
}

func unknownField(path string) error {
	return fmt.Errorf("field %q cannot be told (metadata.name, .namespace, .uid, .labels['KEY'], .annotations['KEY'], "+
		"spec.nodeName, status.podIP, .podIPs, .hostIP and .hostIPs can)", path)
}
