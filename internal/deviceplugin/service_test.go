// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package deviceplugin_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

// client speaks to the plugin as kubelet does.
func (n *node) client(t *testing.T) api.DevicePluginClient {
	t.Helper()
	eventually(t, "the plugin's socket", func() bool {
		_, err := os.Stat(n.pluginSocket())
		return err == nil
	})
	conn, err := grpc.NewClient("passthrough:///plugin", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", n.pluginSocket())
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return api.NewDevicePluginClient(conn)
}

func containers(devices ...[]string) *api.AllocateRequest {
	r := &api.AllocateRequest{}
	for _, ids := range devices {
		r.ContainerRequests = append(r.ContainerRequests, &api.ContainerAllocateRequest{DevicesIds: ids})
	}
	return r
}

// What kubelet is told, word for word: clients of Contiv-VPP know these names.
func TestProtocol(t *testing.T) {
	n := newNode(t)
	n.devices = 2
	n.startPlugin(t, "a boot")
	client := n.client(t)
	options, err := client.GetDevicePluginOptions(t.Context(), &api.Empty{})
	if err != nil || options.GetPreStartRequired() || options.GetGetPreferredAllocationAvailable() {
		t.Errorf("options %v, %v, want none", options, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := client.ListAndWatch(ctx, &api.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	list, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var devices []string
	for _, d := range list.GetDevices() {
		devices = append(devices, d.GetID()+" "+d.GetHealth())
	}
	if diff := cmp.Diff([]string{"contivpp.io/memif/0 Healthy", "contivpp.io/memif/1 Healthy"}, devices); diff != "" {
		t.Errorf("devices (-want +got):\n%s", diff)
	}
	answer, err := client.Allocate(t.Context(), containers([]string{"contivpp.io/memif/1", "contivpp.io/memif/0"}))
	if err != nil || len(answer.GetContainerResponses()) != 1 {
		t.Fatalf("allocate: %v, %v", answer, err)
	}
	c := answer.GetContainerResponses()[0]
	secret := c.GetEnvs()["MEMIF_SECRET"]
	if diff := cmp.Diff(map[string]string{"MEMIF_SOCKET": "/run/vpp/memif.sock", "MEMIF_SECRET": secret}, c.GetEnvs()); diff != "" || len(secret) != 20 {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
	mounts := c.GetMounts()
	if len(mounts) != 1 || mounts[0].GetContainerPath() != "/run/vpp" || mounts[0].GetReadOnly() ||
		mounts[0].GetHostPath() != n.folders().Path(n.folderNames(t)[0]) || strings.Contains(mounts[0].GetHostPath(), secret) {
		t.Errorf("mounts %v", mounts)
	}
	if info, err := os.Stat(n.pluginSocket()); err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("the plugin's socket: %v, %v", info.Mode(), err)
	}
}

// Requests that cannot be served are refused with the reason, and nothing is
// left of what was served before in the same request.
func TestRefusedRequests(t *testing.T) {
	n := newNode(t)
	n.startPlugin(t, "a boot")
	client := n.client(t)
	for want, r := range map[string]*api.AllocateRequest{
		`"contivpp.io/memif/4" is not one of the 4`: containers([]string{"contivpp.io/memif/0"}, []string{"contivpp.io/memif/4"}),
		`"../../etc" is not one`:                    containers([]string{"../../etc"}),
		`want at least one`:                         containers([]string{"contivpp.io/memif/0"}, nil),
		`and each once`:                             containers([]string{"contivpp.io/memif/0", "contivpp.io/memif/0"}),
	} {
		answer, err := client.Allocate(t.Context(), r)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, %v, want %q", r, answer, err, want)
		}
		if left := n.folderNames(t); left != nil {
			t.Errorf("%v: left behind: %v", r, left)
		}
	}
	// The folders' place is taken.
	if err := errors.Join(os.RemoveAll(string(n.folders())), os.WriteFile(string(n.folders()), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Allocate(t.Context(), containers([]string{"contivpp.io/memif/0"})); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("without a place for folders: %v", err)
	}
}

// Health follows the dataplane's, but not at once.
func TestHealth(t *testing.T) {
	n := newNode(t)
	n.hold = 2 * time.Second // so long that a busy machine comes to look within a part of it
	n.startPlugin(t, "a boot")
	n.startKubelet(t)
	n.waitHealthy(t, 4)
	// Away for less than it is held.
	_, changed := n.kubelet.Healthy("contivpp.io/memif")
	n.setAway(errors.New("the relay is away"))
	select {
	case <-changed:
		t.Error("unhealthy at once")
	case <-time.After(n.hold / 4):
	}
	n.setAway(nil)
	select {
	case <-changed:
		t.Error("kubelet was told of what was over")
	case <-time.After(n.hold + n.hold/2):
	}
	began := time.Now()
	n.setAway(errors.New("the relay is away"))
	n.waitHealthy(t, 0)
	if held := time.Since(began); held < n.hold {
		t.Errorf("unhealthy after %s, want %s at least", held, n.hold)
	}
	// A kubelet that comes now is told what is.
	n.stopKubelet()
	n.startKubelet(t)
	_, changed = n.kubelet.Healthy("contivpp.io/memif")
	<-changed
	n.waitHealthy(t, 0)
	n.setAway(nil)
	n.waitHealthy(t, 4)
}

// Secrets are in no log, whatever happens.
func TestNoSecretInLogs(t *testing.T) {
	n := newNode(t)
	var log lockedBuffer
	n.log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	n.startPlugin(t, "a boot")
	n.startKubelet(t)
	n.waitHealthy(t, 4)
	p := pod("p", 2)
	n.admit(t, p)
	secret := n.kubelet.Grants(p.UID)["a"].Env["MEMIF_SECRET"]
	if err := os.RemoveAll(string(n.folders())); err != nil {
		t.Fatal(err)
	}
	if err := n.kubelet.Forget(p.UID); err != nil {
		t.Fatal(err)
	}
	n.stopPlugin(t)
	n.startPlugin(t, "a boot")
	n.waitHealthy(t, 4)
	n.stopPlugin(t)
	n.stopKubelet()
	text := log.String()
	if len(secret) != 20 || strings.Contains(text, secret) || !strings.Contains(text, "msg=allocate") {
		t.Errorf("the log, with secret %q:\n%s", secret, text)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
