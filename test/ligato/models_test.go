// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package ligato_test reads what polynic tells agents in pods with the models of the
// oldest agent that the documents name, release 2.1.1. The module is its own because
// nothing else has a use for these.
package ligato_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gogo/protobuf/proto"
	"github.com/ligato/cn-infra/datasync"
	"github.com/ligato/cn-infra/db/keyval"
	_ "github.com/ligato/vpp-agent/api/models/linux/interfaces"
	_ "github.com/ligato/vpp-agent/api/models/linux/l3"
	vpp_interfaces "github.com/ligato/vpp-agent/api/models/vpp/interfaces"
	_ "github.com/ligato/vpp-agent/api/models/vpp/l3"
	"github.com/ligato/vpp-agent/pkg/models"
	"github.com/rogpeppe/go-internal/txtar"
)

// prefix is what an agent with the label that the golden files have cuts off.
const prefix = "/vnf-agent/vnf1/"

// item is what is in etcd under a key.
type item struct{ key, value string }

// GetValue implements datasync.LazyValue, as agents do for what they read from
// etcd.
func (i item) GetValue(value proto.Message) error {
	return (&keyval.SerializerJSON{}).Unmarshal([]byte(i.value), value)
}

var _ datasync.LazyValue = item{}

// section is what the golden files have of one pod in one or several forms.
type section struct {
	name, forms string
	items       []item
}

func goldenSections(t *testing.T) []section {
	t.Helper()
	paths, err := filepath.Glob("../../internal/publish/ligato/testdata/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatalf("golden files: %v, %v", paths, err)
	}
	var all []section
	for _, path := range paths {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text := string(archive.Files[len(archive.Files)-1].Data)
		var key string
		for line := range strings.Lines(text) {
			line = strings.TrimSuffix(line, "\n")
			switch {
			case strings.HasPrefix(line, "# "):
				name, forms, _ := strings.Cut(line, ", form ")
				all = append(all, section{name: filepath.Base(path) + " " + name[2:], forms: forms})
			case strings.HasPrefix(line, "{"):
				last := &all[len(all)-1]
				last.items = append(last.items, item{strings.TrimPrefix(key, prefix), line})
			default:
				key = line
			}
		}
	}
	return all
}

// read does what the agent of release 2.1.1 does with a change in etcd
// (plugins/orchestrator/orchestrator.go): it finds the model by the key, decodes the
// value, and drops it where the key is not the one that it would have made of it.
func read(i item) (proto.Message, error) {
	value, err := models.UnmarshalLazyValue(i.key, i)
	if err != nil {
		return nil, err
	}
	if models.Key(value) != i.key {
		return nil, errOtherKey
	}
	return value, nil
}

var errOtherKey = errors.New("the key is not the one made of the value")

// Every value but those of which release 2.1.1 has no model is read, under its key;
// of a route under two keys the one is.
func TestAgentReadsWhatItIsTold(t *testing.T) {
	read2 := map[string]int{}
	for _, s := range goldenSections(t) {
		for _, i := range s.items {
			kind, known := kindOf(i)
			value, err := read(i)
			switch {
			case !known:
				if err == nil {
					t.Errorf("%s: %s is read, as %T", s.name, i.key, value)
				}
			case kind == "route of v3":
				if !errors.Is(err, errOtherKey) {
					t.Errorf("%s: %s gives %v, want it dropped for its key", s.name, i.key, err)
				}
			case err != nil:
				t.Errorf("%s: %s\n%s\n%v", s.name, i.key, i.value, err)
			default:
				again, err := (&keyval.SerializerJSON{}).Marshal(value)
				if err != nil || string(again) != i.value {
					t.Errorf("%s: %s\n%s\nthe agent writes it as\n%s (%v)", s.name, i.key, i.value, again, err)
				}
				read2[kind]++
			}
		}
	}
	for _, kind := range []string{"memif", "ARP entry", "route of v2.1.1", "ARP entry in Linux", "route in Linux"} {
		if read2[kind] == 0 {
			t.Errorf("no golden file has a %s that is read", kind)
		}
	}
}

// kindOf names what is under a key, and reports whether release 2.1.1 has a model of
// it: not of an interface that is there already, nor of an allocated address.
func kindOf(i item) (kind string, known bool) {
	for _, k := range []struct {
		prefix, kind string
		known        bool
	}{
		{"config/vpp/v2/interfaces/", "memif", true},
		{"config/vpp/v2/arp/", "ARP entry", true},
		{"config/vpp/v2/route/if/", "route of v3", true},
		{"config/vpp/v2/route/", "route of v2.1.1", true},
		{"config/linux/l3/v2/arp/", "ARP entry in Linux", true},
		{"config/linux/l3/v2/route/", "route in Linux", true},
	} {
		if strings.HasPrefix(i.key, k.prefix) {
			return k.kind, k.known
		}
	}
	return "", false
}

// An agent of either release has a route to the network of every memif by the
// default form: by the key that it accepts, and with the same value under both.
func TestDefaultFormServesBothReleases(t *testing.T) {
	routes := 0
	for _, s := range goldenSections(t) {
		if !strings.Contains(s.forms, "both") {
			continue
		}
		old, current := map[string]bool{}, map[string]bool{}
		for _, i := range s.items {
			switch kind, _ := kindOf(i); kind {
			case "route of v2.1.1":
				old[i.value] = true
			case "route of v3":
				current[i.value] = true
				routes++
			}
		}
		for value := range old {
			if !current[value] {
				t.Errorf("%s: only release 2.1.1 has the route %s", s.name, value)
			}
		}
		if len(current) > 0 && len(old) == 0 {
			t.Errorf("%s: release 2.1.1 has no route", s.name)
		}
	}
	if routes == 0 {
		t.Error("no golden file has a route in the form of v3")
	}
}

// The pod's end of a memif is what the agent makes a slave in Ethernet mode of, with
// the id 0 where none is written.
func TestMemifAsTheAgentSeesIt(t *testing.T) {
	ids := map[uint32]bool{}
	for _, s := range goldenSections(t) {
		for _, i := range s.items {
			if kind, _ := kindOf(i); kind != "memif" {
				continue
			}
			value, err := read(i)
			if err != nil {
				t.Fatalf("%s: %v", s.name, err)
			}
			memif := value.(*vpp_interfaces.Interface)
			link := memif.GetMemif()
			if memif.Type != vpp_interfaces.Interface_MEMIF || !memif.Enabled || link.GetMaster() ||
				link.GetMode() != vpp_interfaces.MemifLink_ETHERNET || link.GetSecret() != "fh99pwvrkvd7n2kjvmtv" ||
				link.GetSocketFilename() != "/run/vpp/memif.sock" {
				t.Errorf("%s: the agent sees %v", s.name, memif)
			}
			ids[link.GetId()] = true
		}
	}
	if !ids[0] || !ids[1] {
		t.Errorf("ids in the golden files: %v, want 0 and 1 among them", ids)
	}
}
