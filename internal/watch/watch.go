// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package watch knows where pods come from and tells the inventory of them.
// Kubernetes types stop here: behind it a pod is a model.Pod. A source follows
// its pods for as long as it runs, and can be asked for one of them directly.
package watch

import (
	corev1 "k8s.io/api/core/v1"

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

// ModelPod is what polynic needs to know of a pod.
func ModelPod(pod *corev1.Pod) model.Pod {
	a, problems := podif.FromAnnotations(pod.Annotations)
	return model.Pod{
		Ref:               model.PodRef{Namespace: pod.Namespace, Name: pod.Name, UID: string(pod.UID)},
		Request:           a.Request,
		Problems:          problems,
		MicroserviceLabel: a.MicroserviceLabel,
		ServiceEndpointIf: a.ServiceEndpointIf,
		NetworkStatus:     pod.Annotations[podif.NetworkStatusAnnotation],
	}
}
