// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package watch_test

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/watch"
)

// services is a sink that keeps what there is, as lines.
type services struct {
	synced chan struct{} // closed by Synced

	mu    sync.Mutex
	there map[string]string
	fresh chan struct{} // holds a token after news
}

func newServices() *services {
	return &services{synced: make(chan struct{}), there: map[string]string{}, fresh: make(chan struct{}, 1)}
}

func (s *services) note(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	select {
	case s.fresh <- struct{}{}:
	default:
	}
}

func (s *services) PutService(v model.Service) {
	s.note(func() { s.there["service "+v.Ref.String()] = fmt.Sprint(v.ClusterIPs, v.Ports) })
}

func (s *services) DeleteService(ref model.ServiceRef) {
	s.note(func() { delete(s.there, "service "+ref.String()) })
}

func (s *services) PutSlice(name model.SliceName, v model.EndpointSlice) {
	var words []string
	for _, e := range v.Endpoints {
		state := "waiting"
		switch {
		case e.Ready:
			state = "ready"
		case e.Serving && e.Terminating:
			state = "leaving"
		}
		words = append(words, fmt.Sprintf("%s %s %s@%s", e.Address, state, e.Pod.Name, e.Node))
	}
	text := fmt.Sprint("of ", v.Service.Name, " ", v.Ports, " ", strings.Join(words, ", "))
	s.note(func() { s.there["slice "+name.Namespace+"/"+name.Name] = text })
}

func (s *services) DeleteSlice(name model.SliceName) {
	s.note(func() { delete(s.there, "slice "+name.Namespace+"/"+name.Name) })
}

func (s *services) PutRedirect(source string, to model.Redirect) {
	s.note(func() {
		s.there["redirect "+source] = fmt.Sprint(to.Pod.Name, " ", to.Pod.UID, " ", to.Interface, " ", to.Addresses, " ", to.Node)
	})
}

func (s *services) DeleteRedirect(source string, _ model.PodRef) {
	s.note(func() { delete(s.there, "redirect "+source) })
}

// Synced is said again where services come to be needed.
func (s *services) Synced() {
	s.note(func() {
		select {
		case <-s.synced:
		default:
			close(s.synced)
		}
	})
}

// expect waits until there is what is wanted.
func (s *services) expect(t *testing.T, want map[string]string) {
	t.Helper()
	deadline := time.After(patience)
	for {
		s.mu.Lock()
		diff := cmp.Diff(want, maps.Clone(s.there))
		s.mu.Unlock()
		if diff == "" {
			return
		}
		select {
		case <-s.fresh:
		case <-deadline:
			t.Fatalf("services (-want +got):\n%s", diff)
		}
	}
}

type serviceSource interface {
	RunServices(ctx context.Context, sink watch.ServiceSink, o watch.ServiceOptions) error
}

// followServices has a source tell a sink until the test ends; it gives what says that
// services are needed.
func followServices(t *testing.T, source serviceSource) (*services, func()) {
	t.Helper()
	sink, needed := newServices(), make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- source.RunServices(ctx, sink, watch.ServiceOptions{Needed: needed, Reached: func(string, error) {}})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return sink, func() { close(needed) }
}

const folderService = `apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  clusterIPs: [10.96.0.10, "fd00:96::a"]
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: www}, {name: dns, port: 53, protocol: UDP}]
`

// folderPod is a pod of the label, with a port www.
func folderPod(name string, port int, more string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: shop, uid: uid-%s, labels: {app: web}%s}
spec:
  nodeName: here
  containers: [{name: c, ports: [{name: www, containerPort: %d}]}]
status:
  podIPs: [{ip: 10.1.0.%d}, {ip: "fd00:1::%d"}]
  conditions: [{type: Ready, status: "True"}]
`, name, name, more, port, port%100, port%100)
}

// The endpoints of a folder's services are those that Kubernetes would make.
func TestServicesOfAFolder(t *testing.T) {
	source, dir := folder(t, map[string]string{
		"service.yaml": folderService, "a.yaml": folderPod("a", 8001, ""),
		"other.yaml": strings.ReplaceAll(folderPod("other", 8009, ""), "app: web", "app: db"),
	})
	sink, _ := followServices(t, source)
	service := "[10.96.0.10 fd00:96::a] [{http TCP 80 0} {dns UDP 53 0}]"
	ports := "of web [{http TCP %d} {dns UDP 53}] "
	a4 := fmt.Sprintf(ports, 8001) + "10.1.0.1 ready a@here"
	a6 := fmt.Sprintf(ports, 8001) + "fd00:1::1 ready a@here"
	want := map[string]string{
		"service shop/web": service, "slice shop/web-ipv4-http8001-dns53": a4, "slice shop/web-ipv6-http8001-dns53": a6,
	}
	sink.expect(t, want)

	// Another number of the port's name is another slice.
	write(t, dir, "b.yaml", folderPod("b", 8002, ""))
	want["slice shop/web-ipv4-http8002-dns53"] = fmt.Sprintf(ports, 8002) + "10.1.0.2 ready b@here"
	want["slice shop/web-ipv6-http8002-dns53"] = fmt.Sprintf(ports, 8002) + "fd00:1::2 ready b@here"
	sink.expect(t, want)

	write(t, dir, "b.yaml", folderPod("b", 8002, `, deletionTimestamp: "2026-01-01T00:00:00Z"`))
	for name, text := range want {
		want[name] = strings.ReplaceAll(text, "ready b", "leaving b")
	}
	sink.expect(t, want)

	write(t, dir, "a.yaml", strings.ReplaceAll(folderPod("a", 8001, ""), `"True"`, `"False"`))
	for name, text := range want {
		want[name] = strings.ReplaceAll(text, "ready a", "waiting a")
	}
	sink.expect(t, want)

	// One that names another proxy is that proxy's.
	write(t, dir, "service.yaml", strings.Replace(folderService, "namespace: shop", "namespace: shop, labels: {service.kubernetes.io/service-proxy-name: mesh}", 1))
	sink.expect(t, map[string]string{})
	write(t, dir, "service.yaml", folderService)
	sink.expect(t, want)

	if err := os.Remove(filepath.Join(dir, "service.yaml")); err != nil {
		t.Fatal(err)
	}
	sink.expect(t, map[string]string{})
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name+".new"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, name+".new"), filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func (a *api) putService(name, ip string) {
	a.Put("namespaces/shop/services/"+name, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.ServiceSpec{ClusterIPs: []string{ip}, Ports: []corev1.ServicePort{{Port: 80}}},
	})
}

func (a *api) putSlice(name, service, ip string, labels map[string]string) {
	port, node := int32(8080), "there"
	s := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Port: &port}},
		Endpoints: []discoveryv1.Endpoint{{
			Addresses: []string{ip}, NodeName: &node, TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: "pod-" + name, UID: "uid-1"},
		}},
	}
	maps.Copy(s.Labels, labels)
	a.Put("namespaces/shop/endpointslices/"+name, s)
}

// Nothing of services is asked for before it is needed, and then endpoints come
// before their services.
func TestServicesOfACluster(t *testing.T) {
	a := newAPI(t)
	a.putService("web", "10.96.0.10")
	a.putSlice("web-1", "web", "10.1.0.1", nil)
	a.putSlice("foreign", "web", "10.1.0.9", map[string]string{"service.kubernetes.io/service-proxy-name": "else"})
	sink, need := followServices(t, a.source)
	to := model.Redirect{
		Pod:       model.PodRef{Namespace: "shop", Name: "pod-web-1", UID: "uid-1"},
		Interface: "tap+1", Addresses: []netip.Addr{netip.MustParseAddr("10.1.0.2"), netip.MustParseAddr("fd00::2")}, Node: "here",
	}
	// What one node publishes every node learns.
	if err := a.source.Publish(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	told := map[string]string{
		"redirect shop/polynic-uid-1-4": "pod-web-1 uid-1 tap+1 [10.1.0.2] here",
		"redirect shop/polynic-uid-1-6": "pod-web-1 uid-1 tap+1 [fd00::2] here",
	}
	sink.expect(t, told)
	<-sink.synced
	if asked := a.Requests("GET /api/v1/services"); len(asked) > 0 {
		t.Errorf("asked for %v", asked)
	}
	need()
	told["service shop/web"] = "[10.96.0.10] [{ TCP 80 0}]"
	told["slice shop/web-1"] = "of web [{ TCP 8080}] 10.1.0.1 ready pod-web-1@there"
	sink.expect(t, told)

	// Another address is told over what there is.
	to.Addresses = to.Addresses[:1]
	to.Addresses[0] = netip.MustParseAddr("10.1.0.3")
	if err := a.source.Publish(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	told["redirect shop/polynic-uid-1-4"] = "pod-web-1 uid-1 tap+1 [10.1.0.3] here"
	sink.expect(t, told)
	for range 2 {
		if err := a.source.Withdraw(t.Context(), to.Pod); err != nil {
			t.Fatal(err)
		}
	}
	delete(told, "redirect shop/polynic-uid-1-4")
	delete(told, "redirect shop/polynic-uid-1-6")
	sink.expect(t, told)

	a.Remove("namespaces/shop/services/web")
	a.putSlice("web-1", "web", "10.1.0.5", nil)
	delete(told, "service shop/web")
	told["slice shop/web-1"] = "of web [{ TCP 8080}] 10.1.0.5 ready pod-web-1@there"
	sink.expect(t, told)
}

// A redirect that is not of the form that polynic's have redirects nothing.
func TestForeignRedirect(t *testing.T) {
	a := newAPI(t)
	a.putSlice("odd", "", "10.1.0.9", map[string]string{"contivpp.io/service-redirect": "true"})
	a.putSlice("web-1", "web", "10.1.0.1", nil)
	// By another name than its pod's it could not be withdrawn.
	node := "there"
	a.Put("namespaces/shop/endpointslices/named-so", &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Name: "named-so", Labels: map[string]string{"contivpp.io/service-redirect": "true"},
			Annotations:     map[string]string{"contivpp.io/service-endpoint-if": "tap1"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: "pod-web-1", UID: "uid-1"}},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{"10.1.0.2"}, NodeName: &node}},
	})
	sink, need := followServices(t, a.source)
	need()
	sink.expect(t, map[string]string{"slice shop/web-1": "of web [{ TCP 8080}] 10.1.0.1 ready pod-web-1@there"})
}

func TestModelService(t *testing.T) {
	local, vip, proxy := corev1.ServiceInternalTrafficPolicyLocal, corev1.LoadBalancerIPModeVIP, corev1.LoadBalancerIPModeProxy
	s := corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "u", CreationTimestamp: metav1.Unix(7, 0)},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, ClusterIPs: []string{"10.96.0.1"}, ExternalIPs: []string{"192.0.2.1", "nonsense"},
			Ports:                    []corev1.ServicePort{{Port: 80, NodePort: 30000, Protocol: corev1.ProtocolSCTP}},
			SessionAffinity:          corev1.ServiceAffinityClientIP,
			LoadBalancerSourceRanges: []string{"203.0.113.7/24"},
			ExternalTrafficPolicy:    corev1.ServiceExternalTrafficPolicyLocal, InternalTrafficPolicy: &local,
		},
		Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{
			{IP: "198.51.100.1"}, {IP: "198.51.100.2", IPMode: &vip}, {IP: "198.51.100.3", IPMode: &proxy}, {Hostname: "lb.example"},
		}}},
	}
	want := model.Service{
		Ref: model.ServiceRef{Namespace: "shop", Name: "web"}, UID: "u", Created: 7,
		Ports:       []model.ServicePort{{Protocol: model.SCTP, Port: 80, NodePort: 30000}},
		ClusterIPs:  addresses("10.96.0.1"),
		ExternalIPs: addresses("192.0.2.1"), LoadBalancerIPs: addresses("198.51.100.1", "198.51.100.2"),
		LoadBalancerSources: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")},
		Affinity:            10800, InternalLocal: true, ExternalLocal: true,
	}
	if diff := cmp.Diff(want, watch.ModelService(&s), cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("service (-want +got):\n%s", diff)
	}
	// Ranges as old objects have them do not open the balancer's address to everybody.
	s.Spec.LoadBalancerSourceRanges = []string{" 203.0.113.0/24 "}
	if got := watch.ModelService(&s).LoadBalancerSources; !slices.Equal(got, want.LoadBalancerSources) {
		t.Errorf("sources %v, want %v", got, want.LoadBalancerSources)
	}
	s.Spec.LoadBalancerSourceRanges = []string{"010.0.0.0/8"}
	if got := watch.ModelService(&s); len(got.LoadBalancerIPs) > 0 && len(got.LoadBalancerSources) == 0 {
		t.Errorf("a range that is not understood lets everybody use %v", got.LoadBalancerIPs)
	}
	s.Spec.ClusterIPs = []string{"None"}
	if !watch.ModelService(&s).Headless() {
		t.Error("a service without address is not headless")
	}
}

func addresses(texts ...string) []netip.Addr {
	var list []netip.Addr
	for _, text := range texts {
		list = append(list, netip.MustParseAddr(text))
	}
	return slices.Clip(list)
}
