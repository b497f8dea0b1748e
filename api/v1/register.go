// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// The group and its version.
const (
	Group   = "contivpp.io"
	Version = "v1"
)

// GroupVersion is the apiVersion of every kind here.
func GroupVersion() schema.GroupVersion { return schema.GroupVersion{Group: Group, Version: Version} }

// AddToScheme makes the kinds known to a client.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion(),
		&CustomConfiguration{}, &CustomConfigurationList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion())
	return nil
}
