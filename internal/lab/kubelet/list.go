// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	api "k8s.io/kubelet/pkg/apis/podresources/v1"
)

// List tells the devices of every pod.
func (k *Kubelet) List(context.Context, *api.ListPodResourcesRequest) (*api.ListPodResourcesResponse, error) {
	answer := &api.ListPodResourcesResponse{}
	for _, p := range k.admittedPods() {
		answer.PodResources = append(answer.PodResources, p.resources())
	}
	return answer, nil
}

// Get tells the devices of the pod of a name.
func (k *Kubelet) Get(_ context.Context, r *api.GetPodResourcesRequest) (*api.GetPodResourcesResponse, error) {
	for _, p := range k.admittedPods() {
		if p.Namespace == r.GetPodNamespace() && p.Name == r.GetPodName() {
			return &api.GetPodResourcesResponse{PodResources: p.resources()}, nil
		}
	}
	return nil, status.Errorf(codes.NotFound, "pod %s in namespace %s not found", r.GetPodName(), r.GetPodNamespace())
}

// resources leaves init containers out that end, and tells devices one by one.
func (a admitted) resources() *api.PodResources {
	pod := &api.PodResources{Name: a.Name, Namespace: a.Namespace}
	for _, c := range a.Containers {
		if c.Ends {
			continue
		}
		told := &api.ContainerResources{Name: c.Name}
		for _, d := range c.Devices {
			for _, id := range d.IDs {
				told.Devices = append(told.Devices, &api.ContainerDevices{ResourceName: d.Resource, DeviceIds: []string{id}})
			}
		}
		pod.Containers = append(pod.Containers, told)
	}
	return pod
}
