// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/polynic/polynic/internal/lab/sandbox"
	"github.com/polynic/polynic/internal/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// plugin makes a network whose plugin is a shell script. The script finds the
// folder that it may write to in $OUT.
func plugin(t *testing.T, script string) (*sandbox.Network, string) {
	t.Helper()
	dir := t.TempDir()
	text := "#!/bin/sh\nOUT=" + dir + "\n" + script
	if err := os.WriteFile(filepath.Join(dir, "polynic-cni"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	network, err := sandbox.New(sandbox.Config{
		PluginDir: dir, ConfDir: filepath.Join(dir, "net.d"), CacheDir: filepath.Join(dir, "cache"),
		Socket: "/run/x/cni.sock", StateDir: "/var/lib/x",
	})
	if err != nil {
		t.Fatal(err)
	}
	return network, dir
}

const added = `{
  "cniVersion": "1.1.0",
  "interfaces": [{"name": "eth0", "sandbox": "/ns"}, {"name": "tap1", "sandbox": "/ns"}],
  "ips": [
    {"address": "fd00::2/128", "interface": 0},
    {"address": "10.1.1.3/32", "interface": 1},
    {"address": "10.1.1.2/32", "interface": 0},
    {"address": "10.1.1.9/32"}
  ]
}`

func web() sandbox.Sandbox {
	return sandbox.Sandbox{
		ID: strings.Repeat("ab", 32), Netns: "/ns",
		Pod: model.PodRef{Namespace: "shop", Name: "web", UID: "1234"},
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestThePluginIsRunAsARuntimeDoes(t *testing.T) {
	network, dir := plugin(t, `env | grep '^CNI_' | grep -v CNI_PATH | sort >> $OUT/env; cat > $OUT/conf-$CNI_COMMAND
if [ $CNI_COMMAND = ADD ]; then echo '`+added+`'; fi`)
	ips, err := network.Add(t.Context(), web())
	if err != nil {
		t.Fatal(err)
	}
	want := []netip.Addr{netip.MustParseAddr("10.1.1.2"), netip.MustParseAddr("fd00::2")}
	if diff := cmp.Diff(want, ips, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	if err := network.Del(t.Context(), web()); err != nil {
		t.Fatal(err)
	}
	var wantEnv strings.Builder
	for _, verb := range []string{"ADD", "DEL"} {
		fmt.Fprintf(&wantEnv, `CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=%[2]s;K8S_POD_UID=1234
CNI_COMMAND=%[1]s
CNI_CONTAINERID=%[2]s
CNI_IFNAME=eth0
CNI_NETNS=/ns
`, verb, web().ID)
	}
	if diff := cmp.Diff(wantEnv.String(), read(t, filepath.Join(dir, "env"))); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
	var conf map[string]any
	if err := json.Unmarshal([]byte(read(t, filepath.Join(dir, "conf-ADD"))), &conf); err != nil {
		t.Fatal(err)
	}
	wantConf := map[string]any{
		"cniVersion": "1.1.0", "name": "polynic", "type": "polynic-cni",
		"socket": "/run/x/cni.sock", "stateDir": "/var/lib/x",
	}
	if diff := cmp.Diff(wantConf, conf); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "cache", "results", "*")); err != nil || left != nil {
		t.Errorf("left in the cache: %v, %v", left, err)
	}
}

// The reason is what the plugin said, not how the library wraps it.
func TestARefusalIsThePluginsOwnWords(t *testing.T) {
	network, _ := plugin(t, `echo '{"cniVersion":"1.1.0","code":101,"msg":"no memif yet","details":"use tap"}'; exit 1`)
	_, err := network.Add(t.Context(), web())
	if want := "no memif yet: use tap (CNI error 101)"; err == nil || err.Error() != want {
		t.Errorf("add: %v, want %s", err, want)
	}
	if err := network.Del(t.Context(), web()); err == nil || !strings.HasPrefix(err.Error(), "no memif yet") {
		t.Errorf("del: %v", err)
	}
}

func TestAPluginThatIsNotThere(t *testing.T) {
	network, dir := plugin(t, "")
	if err := os.Remove(filepath.Join(dir, "polynic-cni")); err != nil {
		t.Fatal(err)
	}
	if _, err := network.Add(t.Context(), web()); err == nil || !strings.Contains(err.Error(), "polynic-cni") {
		t.Errorf("error %v, want one that names the plugin", err)
	}
}

func TestManyAtOnce(t *testing.T) {
	network, _ := plugin(t, `cat >/dev/null; echo '`+added+`'`)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s := web()
			s.ID = sandbox.NewID()
			if ips, err := network.Add(t.Context(), s); err != nil || len(ips) != 2 {
				t.Errorf("addresses %v, %v", ips, err)
			}
		})
	}
	wg.Wait()
}

func TestIDs(t *testing.T) {
	a, b := sandbox.NewID(), sandbox.NewID()
	if len(a) != 64 || strings.Trim(a, "0123456789abcdef") != "" || a == b {
		t.Errorf("ids %q and %q, want two of 64 hexadecimal digits", a, b)
	}
}
