// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package trials

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/test/harness"
)

// expectRefused wants a CNI error with the code and one sentence that holds
// every word.
func expectRefused(t *testing.T, err error, code cniwire.Code, words ...string) {
	t.Helper()
	var refusal *types.Error
	if !errors.As(err, &refusal) {
		t.Errorf("not refused but %v", err)
		return
	}
	text := refusal.Msg + refusal.Details
	if refusal.Code != uint(code) {
		t.Errorf("code %d (want %d): %s", refusal.Code, code, text)
	}
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q is not in: %s", w, text)
		}
	}
	if strings.Contains(text, "\n") || strings.Contains(text, "goroutine") {
		t.Errorf("not one sentence: %s", text)
	}
}

// TestBadAnnotations: a pod that asks for what cannot be given is refused with
// the name of the interface and the reason, and nothing of it is made.
func TestBadAnnotations(t *testing.T) {
	n := harness.Start(t, nil)
	baseline := n.MustLook()
	for annotation, words := range map[string][]string{
		"x1/foo":                         {`"x1"`, `"foo"`, "tap, veth"},
		"tap1/tap, x2/Veth":              {`"x2"`, `"Veth"`},
		"t1/tap/blue":                    {"t1", `"blue"`, "default and stub"},
		"t1/tap/Blue":                    {`"t1"`, `"Blue"`, `"blue"`},
		"/tap":                           {"name is missing"},
		"much-too-long-name/tap":         {`"much-too-long-name"`, "at most 15"},
		"t1/tap, v1/veth, t1/veth":       {`"t1"`, "used twice"},
		"lo/tap":                         {`"lo"`, "taken by the loopback"},
		"eth0/veth":                      {`"eth0"`, "taken by the pod's main"},
		"tap1":                           {`"tap1"`, "type is missing"},
		"tap1/tap/stub/more":             {`"tap1"`, `"/more"`, "too much"},
		"tap1/tap; veth1/veth":           {"veth1"},
		"tap 1/tap":                      {`"tap 1"`, "contains a space"},
		"tap%d/tap":                      {`"tap%d"`, "%"},
		"m1/memif":                       {"m1", "memif", "use tap or veth"},
		"tap1/tap, m1/memif/stub":        {"m1", "memif"},
		"../tap":                         {`".."`},
		strings.Repeat("t/tap,", 20_000): {"at most"},
	} {
		pod := n.Pod(annotation)
		_, err := pod.Add()
		expectRefused(t, err, cniwire.CodeRefused, append(words, "default/"+pod.Name)...)
		pod.MustDel()
		if t.Failed() {
			t.Fatalf("annotation %.60q", annotation)
		}
	}
	n.ExpectClean(baseline)
}

// TestBadManifests: what cannot be read is named, and other pods are served.
func TestBadManifests(t *testing.T) {
	n := harness.Start(t, nil)
	baseline := n.MustLook()
	broken := n.Pod(mixed)
	file := filepath.Join(n.PodDir(), "broken.yaml")
	if err := os.WriteFile(file, []byte("kind: Pod\n metadata: {name: "+broken.Name+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := n.DeletePod(broken.Name); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, harness.Patience(waitForPod), func() error {
		_, err := broken.Add()
		if err == nil {
			broken.MustDel()
			return errors.New("its former manifest is still known")
		}
		expectRefused(t, err, cniwire.CodeTryAgainLater, "default/"+broken.Name, file+":2")
		return nil
	})
	well := n.Pod(mixed)
	expectWired(t, well, well.MustAdd())
	well.MustDel()

	unknown := n.Sandbox("nobody", "uid-1")
	_, err := unknown.Add()
	expectRefused(t, err, cniwire.CodeTryAgainLater, "default/nobody")
	n.WritePod("late", "uid-2", "")
	late := n.Sandbox("late", "uid-of-an-earlier-one")
	_, err = late.Add()
	expectRefused(t, err, cniwire.CodeRefused, "default/late", "uid-2", "uid-of-an-earlier-one")
	n.ExpectClean(baseline)
}

// TestBadRequests: what a runtime may get wrong is refused with its name.
func TestBadRequests(t *testing.T) {
	n := harness.Start(t, nil)
	baseline := n.MustLook()
	good := n.NetConf("1.1.0", harness.NetworkName)
	own := fmt.Sprintf("/proc/%d/ns/net", n.Agent.PID())
	plain := filepath.Join(t.TempDir(), "plain-file")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		netConf string
		setting string
		code    cniwire.Code
		words   []string
	}{
		{setting: "CNI_NETNS=", code: cniwire.CodeInvalidEnvironment, words: []string{"CNI_NETNS"}},
		{setting: "CNI_NETNS=relative", code: cniwire.CodeInvalidEnvironment, words: []string{"CNI_NETNS", `"relative"`}},
		{setting: "CNI_NETNS=/nowhere", code: cniwire.CodeUnknownContainer, words: []string{"/nowhere", "gone"}},
		{setting: "CNI_NETNS=" + plain, code: cniwire.CodeInvalidEnvironment, words: []string{plain, "not a network namespace"}},
		{setting: "CNI_NETNS=/dev/null", code: cniwire.CodeInvalidEnvironment, words: []string{"/dev/null", "not a network namespace"}},
		{setting: "CNI_NETNS=" + own, code: cniwire.CodeInvalidEnvironment, words: []string{own, "the node's own"}},
		{setting: "CNI_CONTAINERID=", code: cniwire.CodeInvalidEnvironment, words: []string{"CNI_CONTAINERID"}},
		{setting: "CNI_CONTAINERID=../up", code: cniwire.CodeInvalidEnvironment, words: []string{"CNI_CONTAINERID", `"../up"`}},
		{setting: "CNI_CONTAINERID=a b", code: cniwire.CodeInvalidEnvironment, words: []string{"CNI_CONTAINERID", `"a b"`}},
		{setting: "CNI_CONTAINERID=\xff\x1b[2J", code: cniwire.CodeInvalidEnvironment, words: []string{"CNI_CONTAINERID", `\xff\x1b[2J`}},
		{setting: "CNI_IFNAME=a/b", code: cniwire.CodeInvalidEnvironment, words: []string{"CNI_IFNAME", `"a/b"`}},
		{setting: "CNI_IFNAME=longer-than-fifteen", code: cniwire.CodeInvalidEnvironment, words: []string{"longer-than-fifteen"}},
		{setting: "CNI_ARGS=NONSENSE", code: cniwire.CodeInvalidEnvironment, words: []string{"CNI_ARGS", `"NONSENSE"`}},
		{setting: "CNI_ARGS=K8S_POD_NAME=a", code: cniwire.CodeInvalidEnvironment, words: []string{"K8S_POD_NAMESPACE"}},
		{setting: "CNI_COMMAND=DANCE", code: cniwire.CodeInvalidEnvironment, words: []string{"CNI_COMMAND", "DANCE"}},
		{netConf: `{"cniVersion"`, code: cniwire.CodeDecode, words: []string{"network configuration"}},
		{netConf: string(n.NetConf("9.9.9", "polynic")), code: cniwire.CodeIncompatibleVersion, words: []string{`"9.9.9"`}},
		{netConf: string(n.NetConf("1.1.0", "a name")), code: cniwire.CodeInvalidConfig, words: []string{`"a name"`}},
	} {
		pod := n.Pod(mixed)
		netConf := good
		if c.netConf != "" {
			netConf = []byte(c.netConf)
		}
		expectRefused(t, pod.Call("ADD", netConf, c.setting), c.code, c.words...)
		pod.MustDel()
		if t.Failed() {
			t.Fatalf("%q %q", c.setting, c.netConf)
		}
	}
	n.ExpectClean(baseline)
}

// TestSameSandboxElsewhere: an id that is attached stands for one namespace.
func TestSameSandboxElsewhere(t *testing.T) {
	n := harness.Start(t, nil)
	baseline := n.MustLook()
	pod, other := n.Pod(mixed), n.Pod(mixed)
	result := pod.MustAdd()
	err := pod.Call("ADD", n.NetConf("1.1.0", harness.NetworkName), "CNI_NETNS="+other.Netns)
	expectRefused(t, err, cniwire.CodeInvalidEnvironment, pod.ContainerID, pod.Netns)
	expectWired(t, pod, result)
	pod.MustDel()
	n.ExpectClean(baseline)
}

// TestFullAddressPool: the pod that finds no address is refused and asked to
// come again; one that leaves makes room.
func TestFullAddressPool(t *testing.T) {
	n := harness.Start(t, func(c *config.Config) { c.Network.Subnets[0].NodePrefixLen = 29 })
	baseline := n.MustLook()
	var pods []*harness.Pod
	for range 4 {
		pods = append(pods, n.Pod(""))
		pods[len(pods)-1].MustAdd()
	}
	full := n.MustLook()
	one, several := n.Pod(""), n.Pod(mixed)
	for _, late := range []*harness.Pod{one, several} {
		_, err := late.Add()
		expectRefused(t, err, cniwire.CodeTryAgainLater, "eth0", "default/"+late.Name, "10.1.0.8/29", "all 4 are taken")
	}
	n.ExpectClean(full)
	if err := n.CNIStatus(); err != nil {
		t.Errorf("STATUS with a full pool: %v", err)
	}
	pods[0].MustDel()
	harness.Eventually(t, harness.Patience(waitForPod), func() error {
		_, err := one.Add()
		return err
	})
	_, err := several.Add() // does not take the one address there is, neither
	expectRefused(t, err, cniwire.CodeTryAgainLater, "default/"+several.Name)
	for _, p := range append(pods, one, several) {
		p.MustDel()
	}
	n.ExpectClean(baseline)
}
