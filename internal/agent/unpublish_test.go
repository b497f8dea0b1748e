// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/publish/ligato"
	"github.com/polynic/polynic/internal/publish/store"
	"github.com/polynic/polynic/test/etcd"
)

// put has an owner's key in etcd under a label.
func put(t *testing.T, s *store.Store, o store.Owner, label, name string) {
	t.Helper()
	item := ligato.Item{Key: store.ConfigPrefix(label) + "vpp/v2/interfaces/" + name, Value: []byte(`{"name":"` + name + `"}`)}
	if _, err := s.Put(t.Context(), store.Claim{Owner: o, Label: label, Items: []ligato.Item{item}}, nil); err != nil {
		t.Fatal(err)
	}
}

func podOwner(name, node string) store.Owner {
	return store.Owner{
		Kind: store.Pod, Node: node, Namespace: "default", Name: name, UID: "uid-" + name,
		Attachment: model.AttachmentID{ContainerID: "sandbox-" + name, IfName: "eth0"},
	}
}

// A removal takes what pods of the node have, of every label, and nothing else: what
// a pod of another node has stays, and so does what a CustomConfiguration has for a
// pod of this one.
func TestRemovalTakesTheNodesKeys(t *testing.T) {
	server := etcd.Start(t)
	client := etcd.Dial(t, server)
	s := store.New(client)
	put(t, s, podOwner("elsewhere", "node2"), "vnf3", "memif1")
	put(t, s, store.Owner{Kind: store.Custom, Namespace: "default", Name: "cross", UID: "uid-cross"}, "vnf1", "cross")
	want, _ := etcd.Everything(t, client)
	put(t, s, podOwner("first", "node1"), "vnf1", "memif1")
	put(t, s, podOwner("second", "node1"), "vnf2", "memif1")

	c := config.Default()
	c.NodeName, c.Etcd.Endpoints = "node1", client.Endpoints()
	for _, says := range []string{
		"keys of the microservice label vnf1 removed from etcd\nkeys of the microservice label vnf2 removed from etcd\n", "",
	} {
		var said strings.Builder
		if err := unpublish(t.Context(), c, &said); err != nil || said.String() != says {
			t.Errorf("%v; it says %q, want %q", err, said.String(), says)
		}
	}
	got, _ := etcd.Everything(t, client)
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s is %q, want %q", key, got[key], value)
		}
		delete(got, key)
	}
	if len(got) > 0 {
		t.Errorf("there are still %v", got)
	}
}

// An etcd that cannot be used is told, and is no error; nor does one that says
// nothing have anybody wait for long.
func TestRemovalWithoutAnEtcdThatAnswers(t *testing.T) {
	stopped := etcd.Start(t)
	stopped.Stop()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for name, c := range map[string]struct {
		change func(*config.Etcd)
		says   []string
	}{
		"none":     {func(*config.Etcd) {}, nil},
		"stopped":  {func(e *config.Etcd) { e.Endpoints = []string{stopped.Endpoint()} }, []string{"of node node1 may stay in etcd", "connection refused"}},
		"no files": {func(e *config.Etcd) { e.ConfigFile = "/nowhere/etcd.conf" }, []string{"of node node1 may stay in etcd", "/nowhere/etcd.conf"}},
		"silent":   {func(e *config.Etcd) { e.Endpoints = []string{"http://" + silent.Addr().String()} }, []string{"of node node1 may stay in etcd"}},
	} {
		t.Run(name, func(t *testing.T) {
			conf := config.Default()
			conf.NodeName = "node1"
			c.change(&conf.Etcd)
			var said strings.Builder
			begin := time.Now()
			err := unpublish(t.Context(), conf, &said)
			took := time.Since(begin)
			if err != nil || took > 2*unpublishLimit {
				t.Errorf("%v after %s", err, took)
			}
			if said.Len() > 0 != (c.says != nil) || slices.ContainsFunc(c.says, func(w string) bool { return !strings.Contains(said.String(), w) }) {
				t.Errorf("it says %q, want %q", said.String(), c.says)
			}
		})
	}
}
