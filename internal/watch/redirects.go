// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/model"
)

// Where the services of a pod are served is told to other nodes by endpoint slices
// of polynic's own, one per family, which no service has. The label tells them
// apart; that of the service proxy has kube-proxy and its like leave them alone.
const (
	redirectLabel  = "contivpp.io/service-redirect"
	proxyLabel     = "service.kubernetes.io/service-proxy-name"
	headlessLabel  = "service.kubernetes.io/headless"
	redirectPrefix = "polynic-"
	ourselves      = "polynic"
)

// The choice of what is followed; of services, those that are not another proxy's.
const (
	redirectsOnly = redirectLabel
	servicesOnly  = "!" + proxyLabel + ",!" + headlessLabel
	slicesOnly    = servicesOnly + "," + discoveryv1.LabelServiceName + ",!" + redirectLabel
)

// OtherProxy is the proxy that a service names, which then resolves it and nobody
// else; empty where it names none.
func OtherProxy(s *corev1.Service) string { return s.Labels[proxyLabel] }

// slicesOf is what the cluster has of a redirect: an endpoint slice for each of the
// addresses. It is deleted with its pod.
func slicesOf(r model.Redirect) []*discoveryv1.EndpointSlice {
	yes, no := true, false
	var list []*discoveryv1.EndpointSlice
	for _, a := range r.Addresses {
		family := discoveryv1.AddressTypeIPv6
		if a.Is4() {
			family = discoveryv1.AddressTypeIPv4
		}
		list = append(list, &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: r.Pod.Namespace, Name: sliceName(r.Pod, family),
				Labels: map[string]string{
					redirectLabel: "true", proxyLabel: ourselves, discoveryv1.LabelManagedBy: ourselves,
				},
				Annotations: map[string]string{podif.ServiceEndpointIfAnnotation: r.Interface},
				OwnerReferences: []metav1.OwnerReference{{
					APIVersion: "v1", Kind: "Pod", Name: r.Pod.Name, UID: types.UID(r.Pod.UID),
				}},
			},
			AddressType: family,
			Endpoints: []discoveryv1.Endpoint{{
				Addresses: []string{a.String()}, NodeName: &r.Node,
				Conditions: discoveryv1.EndpointConditions{Ready: &yes, Serving: &yes, Terminating: &no},
				TargetRef: &corev1.ObjectReference{
					Kind: "Pod", Namespace: r.Pod.Namespace, Name: r.Pod.Name, UID: types.UID(r.Pod.UID),
				},
			}},
		})
	}
	return list
}

func sliceName(pod model.PodRef, family discoveryv1.AddressType) string {
	return redirectPrefix + pod.UID + map[discoveryv1.AddressType]string{
		discoveryv1.AddressTypeIPv4: "-4", discoveryv1.AddressTypeIPv6: "-6",
	}[family]
}

// redirectOf reads what slicesOf made; it reports false for anything else.
func redirectOf(s *discoveryv1.EndpointSlice) (model.Redirect, bool) {
	if len(s.Endpoints) != 1 || len(s.OwnerReferences) != 1 {
		return model.Redirect{}, false
	}
	e, owner := s.Endpoints[0], s.OwnerReferences[0]
	found := addresses(e.Addresses)
	name := s.Annotations[podif.ServiceEndpointIfAnnotation]
	if len(found) != 1 || owner.Kind != "Pod" || owner.UID == "" || e.NodeName == nil || name == "" {
		return model.Redirect{}, false
	}
	pod := model.PodRef{Namespace: s.Namespace, Name: owner.Name, UID: string(owner.UID)}
	// By another name nobody could withdraw it.
	if s.Name != sliceName(pod, s.AddressType) {
		return model.Redirect{}, false
	}
	return model.Redirect{Pod: pod, Interface: name, Addresses: found, Node: *e.NodeName}, true
}

// Publish has every node learn where the services of a pod are served. The pod's
// UID is that of its object in the cluster.
func (k *Kubernetes) Publish(ctx context.Context, r model.Redirect) error {
	for _, s := range slicesOf(r) {
		err := k.client.CreateEndpointSlice(ctx, s)
		if apierrors.IsAlreadyExists(err) {
			err = k.republish(ctx, s)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (k *Kubernetes) republish(ctx context.Context, s *discoveryv1.EndpointSlice) error {
	patch, err := json.Marshal(map[string]any{
		"metadata":  map[string]any{"annotations": s.Annotations},
		"endpoints": s.Endpoints,
	})
	if err != nil {
		return fmt.Errorf("endpoint slice %s/%s: %w", s.Namespace, s.Name, err)
	}
	return k.client.PatchEndpointSlice(ctx, s.Namespace, s.Name, patch)
}

// Withdraw ends what Publish did; where that is so already is no error.
func (k *Kubernetes) Withdraw(ctx context.Context, pod model.PodRef) error {
	families := []discoveryv1.AddressType{discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6}
	errs := make([]error, 0, len(families))
	for _, family := range families {
		errs = append(errs, k.client.DeleteEndpointSlice(ctx, pod.Namespace, sliceName(pod, family)))
	}
	return cmp.Or(errs...)
}

// redirectFeed tells of the redirects that the cluster has.
type redirectFeed struct {
	sink    ServiceSink
	reached func(error)
	synced  func()
	told    map[model.SliceName]model.PodRef
}

// Listed implements kube.Sink, as do the other methods.
func (f *redirectFeed) Listed(list []*discoveryv1.EndpointSlice) {
	there := map[model.SliceName]bool{}
	for _, s := range list {
		there[model.SliceName{Namespace: s.Namespace, Name: s.Name}] = true
	}
	for name := range f.told {
		if !there[name] {
			f.forget(name)
		}
	}
	for _, s := range list {
		f.Put(s)
	}
	f.synced()
}

func (f *redirectFeed) Put(s *discoveryv1.EndpointSlice) {
	name := model.SliceName{Namespace: s.Namespace, Name: s.Name}
	to, ok := redirectOf(s)
	if known, was := f.told[name]; was && (!ok || known != to.Pod) {
		f.forget(name)
	}
	if ok {
		f.told[name] = to.Pod
		f.sink.PutRedirect(name.Namespace+"/"+name.Name, to)
	}
}

func (f *redirectFeed) Deleted(s *discoveryv1.EndpointSlice) {
	f.forget(model.SliceName{Namespace: s.Namespace, Name: s.Name})
}

func (f *redirectFeed) Reached(err error) { f.reached(err) }

func (f *redirectFeed) forget(name model.SliceName) {
	if pod, known := f.told[name]; known {
		delete(f.told, name)
		f.sink.DeleteRedirect(name.Namespace+"/"+name.Name, pod)
	}
}
