// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"fmt"
	"log/slog"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

// The resources that polynic uses: of the API group core/v1, and of discovery/v1.
const (
	pods     = "pods"
	nodes    = "nodes"
	events   = "events"
	services = "services"

	endpointSlices = "endpointslices"
)

// The forms in which the API server may answer: protobuf costs a tenth of the
// processor time, JSON is for servers that have no other.
const (
	protobuf = runtime.ContentTypeProtobuf
	json     = runtime.ContentTypeJSON
)

// The most requests a second, on average and at once, beside those that follow.
// A hundred pods that start together are the most that is usual.
const (
	requestsPerSecond = 50
	requestsAtOnce    = 100
)

// Options says how the API server is reached.
type Options struct {
	// Kubeconfig is the path of a kubeconfig file; empty is the service account
	// that Kubernetes gives to a pod.
	Kubeconfig string
	// UserAgent is who asks, for the API server's log: NAME/VERSION.
	UserAgent string
}

// New prepares a client. Nothing is asked of the API server yet, which may be
// away; the error is about the settings.
func New(o Options) (*Client, error) {
	settings, err := reach(o.Kubeconfig)
	if err != nil {
		return nil, err
	}
	settings.UserAgent = o.UserAgent
	settings.APIPath = "/api"
	settings.GroupVersion = &corev1.SchemeGroupVersion
	settings.NegotiatedSerializer = serializer.NewCodecFactory(scheme()).WithoutConversion()
	settings.ContentType = protobuf
	settings.AcceptContentTypes = protobuf + "," + json
	settings.QPS, settings.Burst = requestsPerSecond, requestsAtOnce
	settings.WarningHandler = rest.NoWarnings{}
	connections, err := rest.HTTPClientFor(settings)
	if err != nil {
		return nil, fmt.Errorf("API server %s: %w", settings.Host, err)
	}
	core, err := rest.RESTClientForConfigAndClient(settings, connections)
	if err != nil {
		return nil, fmt.Errorf("API server %s: %w", settings.Host, err)
	}
	settings = rest.CopyConfig(settings)
	settings.APIPath = "/apis"
	settings.GroupVersion = &discoveryv1.SchemeGroupVersion
	discovery, err := rest.RESTClientForConfigAndClient(settings, connections)
	if err != nil {
		return nil, fmt.Errorf("API server %s: %w", settings.Host, err)
	}
	return &Client{core: core, discovery: discovery, connections: connections}, nil
}

// Close ends the connections that nothing uses.
func (c *Client) Close() { utilnet.CloseIdleConnectionsFor(c.connections.Transport) }

func reach(kubeconfig string) (*rest.Config, error) {
	if kubeconfig == "" {
		settings, err := rest.InClusterConfig()
		if err != nil {
			return nil, fmt.Errorf("API server: this is no pod with a service account (set kubernetes.kubeconfig): %w", err)
		}
		return settings, nil
	}
	settings, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("API server: kubeconfig %s: %w", kubeconfig, err)
	}
	return settings, nil
}

// scheme is the types that polynic uses.
func scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	s.AddKnownTypes(corev1.SchemeGroupVersion,
		&corev1.Pod{}, &corev1.PodList{}, &corev1.Node{}, &corev1.NodeList{}, &corev1.Event{},
		&corev1.Service{}, &corev1.ServiceList{})
	metav1.AddToGroupVersion(s, corev1.SchemeGroupVersion)
	s.AddKnownTypes(discoveryv1.SchemeGroupVersion, &discoveryv1.EndpointSlice{}, &discoveryv1.EndpointSliceList{})
	metav1.AddToGroupVersion(s, discoveryv1.SchemeGroupVersion)
	s.AddKnownTypes(metav1.SchemeGroupVersion, &metav1.PartialObjectMetadata{}, &metav1.PartialObjectMetadataList{})
	metav1.AddToGroupVersion(s, metav1.SchemeGroupVersion)
	return s
}

// LogTo has the Kubernetes libraries log there; they have one log for the whole
// process, so a program calls it once, before anything else of this package.
func LogTo(log *slog.Logger) { klog.SetSlogLogger(log) }
