// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package lab_test

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/polynic/polynic/internal/lab"
	"github.com/polynic/polynic/internal/lab/process"
	"github.com/polynic/polynic/internal/publish/store"
	"github.com/polynic/polynic/test/need"
)

// TestEtcdScripts have agents in pods told through etcd what is theirs.
func TestEtcdScripts(t *testing.T) {
	need.Tun(t)
	need.Command(t, need.Kernel, "ping")
	need.Command(t, need.Kernel, "ip")
	runScripts(t, "testdata/etcd")
}

// etcd looks into the lab's etcd: `etcd get PREFIX` shows keys and values, `etcd
// none PREFIX` fails where there are any, `etcd del PREFIX` removes them, `etcd
// revision` shows how often it was written.
func etcd(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) == 0 || (len(args) != 2) != (args[0] == "revision") {
		ts.Fatalf("usage: etcd get|none|del PREFIX, etcd revision")
	}
	status, err := lab.ReadStatus(context.Background(), ts.MkAbs(ts.Getenv("POLYNIC_STATE")))
	ts.Check(err)
	if status.Etcd == nil {
		ts.Fatalf("the lab has no etcd")
	}
	client, err := store.Dial(clientv3.Config{Endpoints: []string{*status.Etcd}})
	ts.Check(err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	switch args[0] {
	case "del":
		_, err := client.Delete(ctx, args[1], clientv3.WithPrefix())
		ts.Check(err)
	case "none":
		found, err := client.Get(ctx, args[1], clientv3.WithPrefix())
		ts.Check(err)
		if len(found.Kvs) > 0 {
			ts.Fatalf("there are %d, %s is the first", len(found.Kvs), found.Kvs[0].Key)
		}
	case "get":
		found, err := client.Get(ctx, args[1], clientv3.WithPrefix())
		ts.Check(err)
		for _, kv := range found.Kvs {
			fmt.Fprintf(ts.Stdout(), "%s %s\n", kv.Key, kv.Value)
		}
	default:
		found, err := client.Get(ctx, "/")
		ts.Check(err)
		fmt.Fprintln(ts.Stdout(), found.Header.Revision)
	}
}

// pause has parts of the lab stand still, and resume go on.
func pause(ts *testscript.TestScript, _ bool, parts []string) { signal(ts, syscall.SIGSTOP, parts) }

func resume(ts *testscript.TestScript, _ bool, parts []string) { signal(ts, syscall.SIGCONT, parts) }

func signal(ts *testscript.TestScript, s syscall.Signal, parts []string) {
	for _, part := range parts {
		ts.Check(partOf(ts, part).Signal(s))
	}
}

// partOf is the process of a part of the lab.
func partOf(ts *testscript.TestScript, part string) process.ID {
	status, err := lab.ReadStatus(context.Background(), ts.MkAbs(ts.Getenv("POLYNIC_STATE")))
	ts.Check(err)
	node := status.Nodes[0]
	pid := map[string]int{
		"vpp": pidOf(node.VPP), "daemon": status.Daemon.PID, "agent": node.Agent.PID, "relay": node.Relay.PID, "holder": node.Holder.PID,
		"etcd": pidOf(status.EtcdServer),
	}[part]
	id, err := process.Of(pid)
	ts.Check(err)
	return id
}

// within runs a command that must end, well or with ! not, before the time is up.
func within(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: within TIME [!] COMMAND")
	}
	limit, err := time.ParseDuration(args[0])
	ts.Check(err)
	isWell := args[1] != "!"
	if !isWell {
		args = args[1:]
	}
	began := time.Now()
	err = ts.Exec(args[1], args[2:]...)
	if took := time.Since(began); (err == nil) != isWell || took > limit {
		ts.Fatalf("%v after %s: %v", args[1:], took.Round(time.Millisecond), err)
	}
}
