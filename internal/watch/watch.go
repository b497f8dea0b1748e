// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package watch knows where pods come from and tells the inventory of them.
// Kubernetes types stop here: behind it a pod is a model.Pod. A source follows
// its pods for as long as it runs, and can be asked for one of them directly.
package watch

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/model"
)

// Sink takes what a source finds. A source calls it from one goroutine, one
// call at a time, in the order in which things happened.
type Sink interface {
	// PutPod tells of a pod that is new or has changed.
	PutPod(pod model.Pod)
	// DeletePod tells of a pod that is gone. A pod that was replaced by
	// another of its name (another UID) is deleted first.
	DeletePod(ref model.PodRef)
	// Synced tells once that every pod of the first listing has been put.
	Synced()
}

// A pod that kubelet has from a file, and not from the API server, is shown there
// by a mirror: another object, with a UID of its own. What kubelet, and so the
// runtime, calls the pod's UID is in this annotation of it
// (k8s.io/kubernetes/pkg/kubelet/types, ConfigHashAnnotationKey).
const (
	mirrorAnnotation = "kubernetes.io/config.mirror"
	hashAnnotation   = "kubernetes.io/config.hash"
)

// ModelPod is what polynic needs to know of a pod. Its UID is the one that kubelet
// knows the pod by; that of a mirror pod in the API is another.
func ModelPod(pod *corev1.Pod) model.Pod { return modelPod(&pod.ObjectMeta) }

func modelPod(pod *metav1.ObjectMeta) model.Pod {
	a, problems := podif.FromAnnotations(pod.Annotations)
	uid, objectUID := string(pod.UID), ""
	if _, isMirror := pod.Annotations[mirrorAnnotation]; isMirror && pod.Annotations[hashAnnotation] != "" {
		uid, objectUID = pod.Annotations[hashAnnotation], uid
	}
	return model.Pod{
		Ref:               model.PodRef{Namespace: pod.Namespace, Name: pod.Name, UID: uid},
		ObjectUID:         objectUID,
		Request:           a.Request,
		Problems:          problems,
		MicroserviceLabel: a.MicroserviceLabel,
		ServiceEndpointIf: a.ServiceEndpointIf,
		NetworkStatus:     model.DigestOf(pod.Annotations[podif.NetworkStatusAnnotation]),
	}
}
