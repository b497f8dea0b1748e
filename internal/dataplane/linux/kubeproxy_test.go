// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/polynic/polynic/internal/dataplane/drivertest"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/test/harness"
	"github.com/polynic/polynic/test/kubebin"
	"github.com/polynic/polynic/test/need"
)

// The services of the cluster, of which kube-proxy knows all and we have one.
const (
	theirs, theirPort = "10.96.200.1", 31001
	ours, ourPort     = "10.96.200.2", 31002
	ourExternal       = "203.0.113.200"
)

// kubeService is a service and its endpoints, as the API server has them.
func kubeService(name, clusterIP string, nodePort int, external, endpoint string) (service, slice map[string]any) {
	s := map[string]any{
		"apiVersion": "v1", "kind": "Service",
		"metadata": map[string]any{"name": name, "namespace": "default", "uid": name, "resourceVersion": "1"},
		"spec": map[string]any{
			"type": "NodePort", "clusterIP": clusterIP, "clusterIPs": []string{clusterIP}, "ipFamilies": []string{"IPv4"},
			"ipFamilyPolicy": "SingleStack", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster", "externalTrafficPolicy": "Cluster",
			"ports": []map[string]any{{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080, "nodePort": nodePort}},
		},
	}
	if external != "" {
		s["spec"].(map[string]any)["externalIPs"] = []string{external}
	}
	return s, map[string]any{
		"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
		"metadata": map[string]any{
			"name": name + "-1", "namespace": "default", "uid": name + "-1", "resourceVersion": "1",
			"labels": map[string]string{"kubernetes.io/service-name": name},
		},
		"endpoints": []map[string]any{{
			"addresses": []string{endpoint}, "nodeName": "node-1",
			"conditions": map[string]bool{"ready": true, "serving": true, "terminating": false},
		}},
		"ports": []map[string]any{{"name": "http", "protocol": "TCP", "port": 8080}},
	}
}

// kubeAPI answers kube-proxy: what is listed never changes.
func kubeAPI(t *testing.T, objects map[string][]map[string]any) *httptest.Server {
	t.Helper()
	done := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		list := objects[filepath.Base(r.URL.Path)]
		write := json.NewEncoder(w).Encode
		if r.URL.Query().Get("watch") == "" {
			_ = write(map[string]any{"apiVersion": "v1", "kind": "List", "metadata": map[string]any{"resourceVersion": "1"}, "items": append([]map[string]any{}, list...)})
			return
		}
		if r.URL.Query().Get("sendInitialEvents") == "true" {
			for _, o := range list {
				_ = write(map[string]any{"type": "ADDED", "object": o})
			}
			kinds := map[string][2]string{
				"services": {"v1", "Service"}, "endpointslices": {"discovery.k8s.io/v1", "EndpointSlice"},
				"nodes": {"v1", "Node"}, "servicecidrs": {"networking.k8s.io/v1", "ServiceCIDR"},
			}
			kind := kinds[filepath.Base(r.URL.Path)]
			_ = write(map[string]any{"type": "BOOKMARK", "object": map[string]any{
				"apiVersion": kind[0], "kind": kind[1],
				"metadata": map[string]any{"resourceVersion": "1", "annotations": map[string]string{"k8s.io/initial-events-end": "true"}},
			}})
		}
		w.(http.Flusher).Flush()
		select {
		case <-r.Context().Done():
		case <-done:
		}
	}))
	t.Cleanup(func() {
		close(done)
		server.Close()
	})
	return server
}

// startKubeProxy has the real kube-proxy serve on the node.
func startKubeProxy(t *testing.T, mode string, api *httptest.Server) {
	t.Helper()
	program := kubebin.Need(t, "kube-proxy")
	dir := t.TempDir()
	kubeconfig, config := filepath.Join(dir, "kubeconfig"), filepath.Join(dir, "config")
	for path, text := range map[string]string{
		kubeconfig: fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "current-context": "c", "clusters": [{"name": "c", "cluster": {"server": %q}}],
"contexts": [{"name": "c", "context": {"cluster": "c", "user": ""}}]}`, api.URL),
		config: fmt.Sprintf(`apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: %s
clientConnection: {kubeconfig: %q, contentType: application/json, acceptContentTypes: application/json}
hostnameOverride: node-1
clusterCIDR: 10.1.0.0/16,fd10:1::/48
healthzBindAddress: ""
metricsBindAddress: ""
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
nftables: {syncPeriod: 30s, minSyncPeriod: 100ms}
iptables: {syncPeriod: 30s, minSyncPeriod: 100ms}
`, mode, kubeconfig),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--config="+config, "--v=2")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if text, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("kube-proxy:\n%s", text)
		}
		_ = log.Close()
		clean := exec.Command(program, "--config="+config, "--cleanup")
		if out, err := clean.CombinedOutput(); err != nil {
			t.Logf("kube-proxy --cleanup: %v: %s", err, out)
		}
	})
}

// answers says which address answered, from a place.
func answers(from drivertest.Place, to string) (by string, err error) {
	err = from.Do(func() error {
		conn, err := net.DialTimeout("tcp", to, 2*time.Second)
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
			return err
		}
		buffer := make([]byte, 64)
		n, err := conn.Read(buffer)
		by = string(buffer[:n])
		return err
	})
	return by, err
}

// tell has a pod tell who asks which of its addresses answers.
func tell(t *testing.T, pod drivertest.ServicePod, at netip.AddrPort) {
	t.Helper()
	var listener net.Listener
	if err := pod.Do(func() (err error) {
		listener, err = net.Listen("tcp", at.String())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte(at.String()))
			_ = conn.Close()
		}
	}()
}

// Beside kube-proxy, which serves everything at the main interfaces of pods, a service
// that we have is ours wherever it is asked for, and all others stay kube-proxy's; and
// without us it has them all again.
func TestServicesBesideKubeProxy(t *testing.T) {
	for _, mode := range []string{"nftables", "iptables"} {
		t.Run(mode, func(t *testing.T) {
			need.Command(t, need.Kernel, "iptables")
			w := newWorld(t)
			world := w.world()
			client, server := world.Pod(), world.Pod()
			main, custom := netip.AddrPortFrom(server.Addresses[0], 8080), netip.AddrPortFrom(server.Custom[0], 9090)
			tell(t, server, main)
			tell(t, server, custom)
			a, aSlice := kubeService("theirs", theirs, theirPort, "", server.Addresses[0].String())
			b, bSlice := kubeService("ours", ours, ourPort, ourExternal, server.Addresses[0].String())
			startKubeProxy(t, mode, kubeAPI(t, map[string][]map[string]any{
				"services": {a, b}, "endpointslices": {aSlice, bSlice}, "nodes": {kubeNode()},
			}))
			places := map[string]drivertest.Place{"a pod": client.Place, "the pod itself": server.Place, "the node": world.Node, "outside": world.Outside}
			expect := func(at string, by netip.AddrPort) {
				t.Helper()
				for name, from := range places {
					harness.Eventually(t, 10*time.Second, func() error {
						got, err := answers(from, at)
						if err == nil && got != by.String() {
							err = fmt.Errorf("%s answers %s at %s, want %s", got, name, at, by)
						}
						return err
					})
				}
			}
			theirFronts := []string{theirs + ":80", fmt.Sprintf("192.0.2.1:%d", theirPort)}
			ourFronts := []string{ours + ":80", ourExternal + ":80", fmt.Sprintf("192.0.2.1:%d", ourPort)}
			for _, at := range append(theirFronts, ourFronts...) {
				expect(at, main)
			}
			before := othersRules(t)
			s := besideService(custom, server.Addresses[0])
			if err := w.driver.ApplyServices(t.Context(), []desired.Service{s}, nil); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				for _, at := range theirFronts {
					expect(at, main)
				}
				for _, at := range ourFronts {
					expect(at, custom)
				}
			}
			if after := othersRules(t); after != before {
				t.Errorf("kube-proxy's rules were altered:\n%s\n%s", before, after)
			}
			if err := w.driver.ApplyServices(t.Context(), nil, []desired.ServiceKey{s.Key}); err != nil {
				t.Fatal(err)
			}
			for _, at := range ourFronts {
				expect(at, main)
			}
		})
	}
}

func kubeNode() map[string]any {
	return map[string]any{
		"apiVersion": "v1", "kind": "Node", "metadata": map[string]any{"name": "node-1", "uid": "node-1", "resourceVersion": "1"},
		"spec": map[string]any{"podCIDR": "10.1.1.0/24", "podCIDRs": []string{"10.1.1.0/24", "fd10:1:0:1::/64"}},
		"status": map[string]any{"addresses": []map[string]string{
			{"type": "InternalIP", "address": "192.0.2.1"}, {"type": "InternalIP", "address": "2001:db8::1"},
		}},
	}
}

func besideService(at netip.AddrPort, main netip.Addr) desired.Service {
	return desired.Service{
		Key: desired.ServiceKey{Service: model.ServiceRef{Namespace: "default", Name: "ours"}, Port: "http", Protocol: model.TCP},
		Frontends: []desired.Frontend{
			{Kind: desired.FrontendCluster, Address: netip.MustParseAddr(ours), Port: 80},
			{Kind: desired.FrontendExternal, Address: netip.MustParseAddr(ourExternal), Port: 80},
			{Kind: desired.FrontendNode, Port: ourPort},
		},
		Backends: []desired.Backend{{Address: at.Addr(), Port: at.Port(), Local: true, Main: main}},
	}
}

// othersRules are all rules of nftables but ours, without counters.
func othersRules(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("nft", "--stateless", "list", "ruleset").Output()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	isOurs := false
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "table ") {
			isOurs = strings.HasPrefix(line, "table inet polynic")
		}
		if !isOurs && !strings.Contains(line, "counter packets") {
			text.WriteString(line)
		}
	}
	return text.String()
}
