// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package custom_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"sigs.k8s.io/yaml"

	v1 "github.com/polynic/polynic/api/v1"
	"github.com/polynic/polynic/internal/publish/custom"
	"github.com/polynic/polynic/internal/publish/ligato"
	"github.com/polynic/polynic/test/golden"
)

func spec(t *testing.T, text string) *v1.CustomConfigurationSpec {
	t.Helper()
	var c v1.CustomConfiguration
	if err := yaml.UnmarshalStrict([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	return &c.Spec
}

// The golden files have, of every CustomConfiguration, the keys of each form with
// their values, or what is wrong; forms that give the same share them. Test/ligato
// reads known.txtar with the models of the agent.
func TestConvert(t *testing.T) {
	golden.Run(t, "testdata/*.txtar", func(t *testing.T, files []txtar.File) string {
		t.Helper()
		var b strings.Builder
		for _, f := range files {
			s := spec(t, string(f.Data))
			var forms []string
			last := ""
			for _, form := range []ligato.Form{ligato.FormV2, ligato.FormV3, ligato.FormBoth} {
				if next := converted(s, form); next != last && last != "" {
					fmt.Fprintf(&b, "# %s, form %s\n%s", f.Name, strings.Join(forms, ", "), last)
					forms, last = nil, next
				} else {
					last = next
				}
				forms = append(forms, string(form))
			}
			fmt.Fprintf(&b, "# %s, form %s\n%s", f.Name, strings.Join(forms, ", "), last)
		}
		return b.String()
	})
}

// converted is a key a line, and its value on the next.
func converted(s *v1.CustomConfigurationSpec, form ligato.Form) string {
	parts, errs := custom.Convert(s, form)
	var b strings.Builder
	for _, err := range errs {
		fmt.Fprintln(&b, err)
	}
	for _, p := range parts {
		for _, i := range p.Items {
			fmt.Fprintf(&b, "%s\n%s\n", i.Key, i.Value)
		}
	}
	return b.String()
}

func TestItemsOfALabelAreTogether(t *testing.T) {
	parts, errs := custom.Convert(spec(t, `
spec:
  microservice: a
  configItems:
    - {module: m, type: t, name: one, data: "{}"}
    - {module: m, type: t, name: two, data: "{}", microservice: b}
    - {module: vpp, type: route, data: "dstNetwork: 10.0.0.0/8"}
`), ligato.FormBoth)
	if len(errs) > 0 || len(parts) != 2 {
		t.Fatal(parts, errs)
	}
	for n, want := range []struct {
		label        string
		items, count int
	}{{"a", 3, 2}, {"b", 1, 1}} {
		if p := parts[n]; p.Label != want.label || len(p.Items) != want.items || p.Count != want.count {
			t.Errorf("%s has %d items of %d, want %+v", p.Label, len(p.Items), p.Count, want)
		}
	}
}

// What is wrong is told without the value, whatever is wrong.
func TestValuesAreNotTold(t *testing.T) {
	const canary = "fh99pwvrkvd7n2kjvmtv"
	for _, data := range []string{
		canary, "- " + canary, "name: [" + canary, "name: " + canary + "\nname: " + canary, "secret: " + canary + "\n\tx: y",
		"dstNetwork: " + canary, "vrfId: " + canary, "dstNetwork: {x: " + canary + "}", "*" + canary, "!!int " + canary, "? " + canary,
		"dst_network: 10.0.0.0/8\nnextHopAddr: [" + canary + "]", "<<: " + canary,
	} {
		for _, item := range []v1.ConfigurationItem{
			{Module: "vpp", Type: "route", Data: data},
			{Module: "vpp", Type: "vrf-table", Data: data},
			{Module: "vpp.l2", Type: "xconnect", Data: data},
			{Module: "of.ours", Type: "thing", Data: data},
		} {
			_, errs := custom.Convert(&v1.CustomConfigurationSpec{Microservice: "vnf1", ConfigItems: []v1.ConfigurationItem{item}}, ligato.FormBoth)
			if strings.Contains(fmt.Sprint(errs), canary) {
				t.Errorf("%q: %v", data, errs)
			}
			if len(errs) == 0 && item.Type != "thing" && item.Type != "vrf-table" {
				t.Errorf("%q is taken for a %s", data, item.Type)
			}
		}
	}
}

func FuzzConvert(f *testing.F) {
	f.Add("vpp", "route", "dst_network: 10.0.0.0/8")
	f.Add("vpp.l2", "fib", "{bridgeDomain: a, physAddress: b}")
	f.Add("a.b", "c", "- x")
	f.Fuzz(func(t *testing.T, module, kind, data string) {
		s := v1.CustomConfigurationSpec{Microservice: "vnf1", ConfigItems: []v1.ConfigurationItem{{Module: module, Type: kind, Data: data}}}
		parts, errs := custom.Convert(&s, ligato.FormBoth)
		if (len(errs) == 0) != (len(parts) == 1) {
			t.Fatal(parts, errs)
		}
		for _, p := range parts {
			for _, i := range p.Items {
				if !strings.HasPrefix(i.Key, "/vnf-agent/vnf1/config/") || len(i.Value) < 2 || i.Value[0] != '{' {
					t.Errorf("%s: %s", i.Key, i.Value)
				}
			}
		}
	})
}

// A short text whose aliases stand for more than there is memory is refused before
// anything is made of it; one that names a value twice is taken.
func TestAliases(t *testing.T) {
	long := "a: &a " + strings.Repeat("x", 1000) + "\nb: [" + strings.Repeat("*a,", 1000) + "]"
	var nested strings.Builder
	nested.WriteString("a0: &a0 [x]\n")
	for i := range 40 {
		fmt.Fprintf(&nested, "a%d: &a%d [*a%d, *a%d]\n", i+1, i+1, i, i)
	}
	for _, c := range []struct{ name, data, want string }{
		{"a long text, often", long, "write it out"},
		{"lists of lists", nested.String(), "write it out"},
		{"a list that has itself in it", "a: &a [*a]", "write it out"},
		{"a value twice", "a: &a memif1\nb: *a", ""},
	} {
		s := v1.CustomConfigurationSpec{Microservice: "vnf1", ConfigItems: []v1.ConfigurationItem{{Module: "m", Type: "t", Name: "n", Data: c.data}}}
		parts, errs := custom.Convert(&s, ligato.FormBoth)
		if got := fmt.Sprint(errs); c.want == "" && (len(errs) > 0 || string(parts[0].Items[0].Value) != `{"a":"memif1","b":"memif1"}`) || !strings.Contains(got, c.want) {
			t.Errorf("%s: %v, %s", c.name, parts, got)
		}
	}
}
