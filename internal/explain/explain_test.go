// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/manifest"
)

func explainer(t *testing.T, change func(*config.Config)) *Explainer {
	t.Helper()
	c := config.Default()
	change(&c)
	e, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// The whole output is in the command line's scripts.
func TestPodsAreServedOrRefused(t *testing.T) {
	e := explainer(t, func(*config.Config) {})
	for annotation, want := range map[string]bool{
		"tap1/tap, veth1/veth/stub": true, "": true, ",": true,
		"m/memif": false, "v/veth/blue": false, "v/Veth": false, "eth0/veth": false, "a/tap,a/tap": false,
	} {
		text := "apiVersion: v1\nkind: Pod\nmetadata: {name: p, annotations: {contivpp.io/custom-if: '" + annotation + "'}}"
		documents, err := manifest.Read(strings.NewReader(text), "p.yaml")
		if err != nil || len(documents) != 1 {
			t.Fatalf("%d documents, %v", len(documents), err)
		}
		var b strings.Builder
		got, err := e.Pod(&b, documents[0])
		if err != nil || got != want || strings.Contains(b.String(), "would be refused") == want {
			t.Errorf("%q: served %t, %v, want %t:\n%s", annotation, got, err, want, b.String())
		}
	}
}

// What kubelet or the pod's own manifest has in store for memifs is told before.
func TestMemifLimits(t *testing.T) {
	e := explainer(t, func(c *config.Config) { c.Memif.Enabled = true })
	for _, test := range []struct {
		annotation, spec, want string
		served                 bool
	}{
		{"m/memif", "limits: {contivpp.io/memif: 0.5}}}]", "error: contivpp.io/custom-if: container a: resources.limits: contivpp.io/memif: 500m is not a number", false},
		{"m/memif", "limits: {contivpp.io/memif: -1}}}]", "-1 is not a number of devices", false},
		{"t/tap", "limits: {contivpp.io/memif: 1}}}]", "no memif interface is asked for", true},
		{"m/memif", "limits: {contivpp.io/memif: 1}}, volumeMounts: [{name: v, mountPath: /run/vpp/}]}]", "warning: contivpp.io/custom-if: container a: volume v is mounted at /run/vpp", true},
		{"t/tap", "}}], hostNetwork: true", "hostNetwork), and gets no interfaces", true},
		{"m/memif", "limits: {contivpp.io/memif: 1}}}]", "connects to id 0", true},
		{"m/memif", "limits: {contivpp.io/memif: 100}}}]", "connects to id 0", true},
		{"m/memif", "limits: {contivpp.io/memif: 101}}}]", "101 of contivpp.io/memif in their limits, and a node offers 100 (memif.devices", false},
		{"m/memif", "limits: {contivpp.io/memif: 60}}}, {name: b, resources: {limits: {contivpp.io/memif: 60}}}]", "for 120 of", false},
		{"m/memif", "limits: {contivpp.io/memif: 60}}}], initContainers: [{name: i, resources: {limits: {contivpp.io/memif: 60}}}]", "connects to id 0", true},
	} {
		text := "apiVersion: v1\nkind: Pod\nmetadata: {name: p, annotations: {contivpp.io/custom-if: '" + test.annotation +
			"'}}\nspec: {containers: [{name: a, resources: {" + test.spec + "}"
		documents, err := manifest.Read(strings.NewReader(text), "p.yaml")
		if err != nil || len(documents) != 1 {
			t.Fatalf("%s: %d documents, %v", test.spec, len(documents), err)
		}
		var b strings.Builder
		served, err := e.Pod(&b, documents[0])
		if err != nil || served != test.served || !strings.Contains(b.String(), test.want) {
			t.Errorf("%s: served %t, %v, want %t and %q:\n%s", test.spec, served, err, test.served, test.want, b.String())
		}
	}
}

// One pod has a label, as in etcd: also of two namespaces. A pod that gets no
// interfaces, or would be refused, has none.
func TestOneLabelForTwoPods(t *testing.T) {
	const pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: %s, namespace: %s, annotations: {contivpp.io/custom-if: %s, contivpp.io/microservice-label: vnf1}}\nspec: {hostNetwork: %t}\n---\n"
	text := fmt.Sprintf(pod, "none", "default", "''", false) + fmt.Sprintf(pod, "wrong", "default", "tap1/tun", false) +
		fmt.Sprintf(pod, "outside", "default", "tap1/tap", true) + fmt.Sprintf(pod, "first", "default", "tap1/tap", false) +
		fmt.Sprintf(pod, "second", "other", "tap1/tap", false)
	documents, err := manifest.Read(strings.NewReader(text), "pods.yaml")
	if err != nil || len(documents) != 5 {
		t.Fatalf("%d documents, %v", len(documents), err)
	}
	e := explainer(t, func(c *config.Config) { c.Etcd.Endpoints = []string{"http://etcd:2379"} })
	for n, wanted := range []bool{true, false, true, true, false} {
		var b strings.Builder
		served, err := e.Pod(&b, documents[n])
		if err != nil || served != wanted {
			t.Errorf("document %d: served %t, %v, want %t:\n%s", n, served, err, wanted, b.String())
		}
		const both = `error: contivpp.io/microservice-label: the microservice label "vnf1" of pod other/second is that of pod default/first (pods.yaml:`
		if isLast := n == 4; strings.Contains(b.String(), both) != isLast {
			t.Errorf("document %d:\n%s", n, b.String())
		}
	}
	var again strings.Builder
	if served, err := e.Pod(&again, documents[3]); err != nil || !served {
		t.Errorf("the same pod once more: served %t, %v:\n%s", served, err, again.String())
	}
}

func TestANodeThatCannotBe(t *testing.T) {
	for name, change := range map[string]func(*config.Config){
		"type":  func(c *config.Config) { c.Network.Eth0 = "tun" },
		"range": func(c *config.Config) { c.NodeID = 70000 },
	} {
		c := config.Default()
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// A pod that asks for more addresses than the node has is told so.
func TestARangeThatIsTooSmall(t *testing.T) {
	e := explainer(t, func(c *config.Config) { c.Network.Subnets[0].NodePrefixLen = 29 })
	request, problems := podif.Parse("a/veth,b/veth,c/veth,d/veth,e/veth,f/veth")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if _, err := e.attachment(request, nil); err == nil || !strings.HasPrefix(err.Error(), "interface ") {
		t.Errorf("error %v, want one that names the interface", err)
	}
}

func TestLocate(t *testing.T) {
	const annotation = "a/tap,  bb / memif ,, c/veth/x"
	for name, want := range map[string]string{"a": "a/tap", "bb": "bb / memif", "c": "c/veth/x", "d": ""} {
		at, length := locate(annotation, name)
		if got := annotation[at : at+length]; got != want {
			t.Errorf("locate(%q) shows %q, want %q", name, got, want)
		}
	}
}

// Every interface of every annotation that can be read is found again.
func FuzzLocate(f *testing.F) {
	f.Add("a/tap,  bb / memif ,, c/veth/x")
	f.Add(" tap1/tap")
	f.Fuzz(func(t *testing.T, annotation string) {
		request, problems := podif.Parse(annotation)
		if problems.Err() != nil || !utf8.ValidString(annotation) {
			return
		}
		for _, i := range request {
			at, length := locate(annotation, i.Name)
			if part := annotation[at : at+length]; !strings.HasPrefix(part, i.Name) || strings.Contains(part, ",") {
				t.Errorf("%q: interface %s is shown as %q", annotation, i.Name, part)
			}
		}
	})
}
