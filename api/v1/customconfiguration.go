// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package v1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ConditionPublished is the type of the condition that says whether all items are
// in etcd. Its reasons are below.
const ConditionPublished = "Published"

const (
	// ReasonWritten is that they are.
	ReasonWritten = "Written"
	// ReasonInvalid is that an item cannot be understood. What the object had
	// written before stays.
	ReasonInvalid = "Invalid"
	// ReasonTaken is that somebody else has a key.
	ReasonTaken = "Taken"
	// ReasonForbidden is that etcd does not let the controller's user write; it is
	// tried again.
	ReasonForbidden = "Forbidden"
	// ReasonTooLarge is that etcd does not take a value, for its size.
	ReasonTooLarge = "TooLarge"
	// ReasonEtcdAway is that etcd does not answer; it is tried again.
	ReasonEtcdAway = "EtcdAway"
	// ReasonNoEtcd is that the controller was told of no etcd.
	ReasonNoEtcd = "NoEtcd"
)

// CustomConfiguration is configuration for the ligato agents that pods run for
// their own VPP, given to them through etcd.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=customconfigurations,scope=Namespaced
// +kubebuilder:metadata:labels="app.kubernetes.io/name=polynic"
// +kubebuilder:metadata:annotations="helm.sh/resource-policy=keep"
// +kubebuilder:printcolumn:name="Microservice",type=string,JSONPath=`.spec.microservice`
// +kubebuilder:printcolumn:name="Items",type=integer,JSONPath=`.status.items`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.message`,priority=1
type CustomConfiguration struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec CustomConfigurationSpec `json:"spec"`
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	Status CustomConfigurationStatus `json:"status,omitzero"`
}

// CustomConfigurationSpec is what is asked for.
//
// +kubebuilder:validation:XValidation:rule="has(self.microservice) && size(self.microservice) > 0 || self.configItems.all(i, has(i.microservice) && size(i.microservice) > 0)",message="whose configuration is it: give spec.microservice, or a microservice to every item"
type CustomConfigurationSpec struct {
	// Microservice is the label of the agent (its MICROSERVICE_LABEL) that the
	// items are for, those aside that name their own.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!self.matches('[/\\\\s]') && self != '.' && self != '..' && self != 'contiv-ksr'",message="a label is one element of a key in etcd: without slashes and spaces, and not contiv-ksr, which is Contiv-VPP's own"
	Microservice string `json:"microservice,omitempty"`
	// ConfigItems of one label are written together: where one cannot be, none is.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1024
	// +listType=atomic
	ConfigItems []ConfigurationItem `json:"configItems"`
}

// ConfigurationItem is one value for an agent.
type ConfigurationItem struct {
	// Microservice is the label of the agent that this item is for.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!self.matches('[/\\\\s]') && self != '.' && self != '..' && self != 'contiv-ksr'",message="a label is one element of a key in etcd: without slashes and spaces, and not contiv-ksr, which is Contiv-VPP's own"
	Microservice string `json:"microservice,omitempty"`
	// Module is the agent's module that has the model, such as vpp.l2.
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-a-z0-9_]+([.][-a-z0-9_]+)*$')",message="a module is lower case words with dots between them, such as vpp.l2"
	Module string `json:"module"`
	// Type is the model, such as xconnect.
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-a-z0-9_]+([.][-a-z0-9_]+)*$')",message="a type is lower case words with dots between them, such as xconnect"
	Type string `json:"type"`
	// Version is the model's; without it that of the model where it is one of
	// ligato's, and v1 elsewhere.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^(v[0-9]+[-a-z0-9]*)?$')",message="a version is v and a number, such as v2"
	Version string `json:"version,omitempty"`
	// Name is what the item is called in its key where the model is not one of
	// ligato's, whose names are made of their data; without it that in the data.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Name string `json:"name,omitempty"`
	// Data is the item's fields as YAML, their names in camelCase or snake_case. It
	// is shown in no status and no log.
	// +kubebuilder:validation:MaxLength=262144
	Data string `json:"data"`
}

// CustomConfigurationStatus is what became of it.
type CustomConfigurationStatus struct {
	Outcome `json:",inline"`
	// Items is how many items are in etcd.
	// +optional
	Items int32 `json:"items"`
	// Keys are the first of the keys that they have there.
	// +optional
	// +listType=atomic
	Keys []string `json:"keys,omitempty"`
}

// CustomConfigurationList is what a list of them is.
//
// +kubebuilder:object:root=true
type CustomConfigurationList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []CustomConfiguration `json:"items"`
}
