// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	keyOne = "/vnf-agent/vpp-cnf2/config/vpp/l2/v2/xconnect/memif1"
	keyTwo = "/vnf-agent/vpp-cnf2/config/vpp/l2/v2/xconnect/memif2"

	valueOne = `{"receiveInterface":"memif1","transmitInterface":"memif2"}`
	valueTwo = `{"receiveInterface":"memif2","transmitInterface":"memif1"}`
)

// secret is in the data of objects, and must be nowhere else but in etcd.
const secret = "fh99pwvrkvd7n2kjvmtv"

// object is a CustomConfiguration; items is in flow style.
func object(name, spec string) string {
	return `{apiVersion: contivpp.io/v1, kind: CustomConfiguration, metadata: {name: ` + name + `}, spec: ` + spec + `}`
}

// TestCustomConfigurations has one API server, at which everything is tried in
// turn.
func TestCustomConfigurations(t *testing.T) {
	b := newBench(t)
	b.start()
	for _, part := range []struct {
		name string
		try  func(*bench)
	}{
		{"refused at apply", (*bench).refusedAtApply},
		{"written", (*bench).written},
		{"taken", (*bench).taken},
		{"not understood", (*bench).notUnderstood},
		{"moved to another label", (*bench).moved},
		{"deleted while no controller runs", (*bench).deletedMeanwhile},
		{"etcd away", (*bench).etcdAway},
	} {
		t.Run(part.name, func(t *testing.T) {
			own := *b
			own.t = t
			part.try(&own)
			b.stop, b.server = own.stop, own.server
			own.Kubectl("delete", "customconfigurations", "--all")
			own.expectKeys(nil)
		})
	}
	if strings.Contains(b.log.String(), secret) {
		t.Errorf("the controller logs what is in the data:\n%s", b.log)
	}
}

// What the schema can know is told by kubectl apply.
func (b *bench) refusedAtApply() {
	const item = `{module: vpp.l2, type: xconnect, data: "receiveInterface: memif1"}`
	for spec, want := range map[string]string{
		`{configItems: [` + item + `]}`:                                                  "whose configuration is it: give spec.microservice, or a microservice to every item",
		`{microservice: a}`:                                                              "spec.configItems: Required value",
		`{microservice: a, configItems: []}`:                                             "spec.configItems: Invalid value: 0",
		`{microservice: a/b, configItems: [` + item + `]}`:                               "a label is one element of a key in etcd",
		`{microservice: contiv-ksr, configItems: [` + item + `]}`:                        "a label is one element of a key in etcd",
		`{microservice: a, configItems: [{type: xconnect, data: ""}]}`:                   "spec.configItems[0].module: Required value",
		`{microservice: a, configItems: [{module: vpp.l2, data: ""}]}`:                   "spec.configItems[0].type: Required value",
		`{microservice: a, configItems: [{module: vpp.l2, type: xconnect}]}`:             "spec.configItems[0].data: Required value",
		`{microservice: a, configItems: [{module: L2, type: x, data: ""}]}`:              "a module is lower case words with dots between them",
		`{microservice: a, configItems: [{module: a, type: x y, data: ""}]}`:             "a type is lower case words with dots between them",
		`{microservice: a, configItems: [{module: a, type: x, data: {a: b}}]}`:           "spec.configItems[0].data",
		`{microservice: a, configItems: [{module: a, type: x, version: "2", data: ""}]}`: "a version is v and a number",
		`{microservice: a, configItems: [{modul: a, module: a, type: x, data: ""}]}`:     `unknown field "spec.configItems[0].modul"`,
	} {
		err := b.TryApply(object("bad", spec))
		if err == nil || !strings.Contains(err.Error(), want) {
			b.t.Errorf("%s: %v\nwant %s", spec, err, want)
		}
	}
}

// The example is what its agent finds, and users see what was written.
func (b *bench) written() {
	b.Kubectl("apply", "-f", filepath.Join("..", "..", "examples", "custom-configuration.yaml"))
	b.expect("example-interconnect", "Success", "Written", "2 items for vpp-cnf2")
	b.expectKeys(map[string]string{keyOne: valueOne, keyTwo: valueTwo})
	if keys := b.status("example-interconnect", "keys"); !strings.Contains(keys, keyOne) || !strings.Contains(keys, keyTwo) {
		b.t.Errorf("the status has the keys %s", keys)
	}
	row := strings.Fields(b.Kubectl("get", "customconfigurations", "--no-headers"))
	if want := "example-interconnect vpp-cnf2 2 Success"; len(row) != 5 || strings.Join(row[:4], " ") != want {
		b.t.Errorf("kubectl get shows %q, want %s and the age", row, want)
	}
	b.t.Log("what somebody else does to a key is repaired")
	if _, err := b.client.Delete(b.t.Context(), keyOne); err != nil {
		b.t.Fatal(err)
	}
	b.expectKeys(map[string]string{keyOne: valueOne, keyTwo: valueTwo})
}

// A key has one owner; who comes later is told whose it is, and has it when it is
// free.
func (b *bench) taken() {
	const first, second = `{microservice: vpp-cnf2, configItems: [{module: vpp.l2, type: xconnect, data: "{receiveInterface: memif1, transmitInterface: memif2}"}]}`,
		`{microservice: vpp-cnf2, configItems: [{module: vpp.l2, type: xconnect, data: "{receiveInterface: memif1, transmitInterface: memif3}"}]}`
	b.Apply(object("first", first))
	b.expect("first", "Success", "Written", "1 item for vpp-cnf2")
	b.Apply(object("second", second))
	b.expect("second", "Failure", "Taken", keyOne, "CustomConfiguration default/first", "CustomConfiguration default/second")
	b.expectKeys(map[string]string{keyOne: valueOne})
	b.Kubectl("delete", "customconfiguration", "first")
	b.expect("second", "Success", "Written")
	b.expectKeys(map[string]string{keyOne: `{"receiveInterface":"memif1","transmitInterface":"memif3"}`})
}

// What cannot be understood is told with its field and without its value, and
// takes nothing away.
func (b *bench) notUnderstood() {
	item := func(data string) string {
		return `{microservice: vpp-cnf2, configItems: [{module: vpp, type: interfaces, data: "` + data + `"}]}`
	}
	want := map[string]string{"/vnf-agent/vpp-cnf2/config/vpp/v2/interfaces/memif1": `{"memif":{"secret":"` + secret + `"},"name":"memif1"}`}
	b.Apply(object("typo", item(`{name: memif1, memif: {secret: `+secret+`}}`)))
	b.expect("typo", "Success", "Written")
	b.expectKeys(want)
	b.Apply(object("typo", item(`{name: [memif1, `+secret+`]}`)))
	b.expect("typo", "Failure", "Invalid", "spec.configItems[0].data: Invalid value: name has to be text", "what was written before stays")
	b.expectKeys(want)
	if status := b.Kubectl("get", "customconfiguration", "typo", "-o", "jsonpath={.status}"); strings.Contains(status, secret) {
		b.t.Errorf("the status has what is in the data: %s", status)
	}
	b.t.Log("also by a controller that starts anew")
	b.restart(func() {})
	b.Apply(object("sound", `{microservice: vnf3, configItems: [{module: a, type: b, name: c, data: ""}]}`))
	b.expect("sound", "Success", "Written")
	want["/vnf-agent/vnf3/config/a/v1/b/c"] = "{}"
	b.expectKeys(want)
}

// What an object wants no more goes.
func (b *bench) moved() {
	spec := func(label string) string {
		return `{microservice: ` + label + `, configItems: [{module: a, type: b, name: c, data: ""}, {module: a, type: b, name: d, microservice: vnf9, data: ""}]}`
	}
	b.Apply(object("moves", spec("vnf1")))
	b.expect("moves", "Success", "Written", "2 items for vnf1, vnf9")
	b.Apply(object("moves", spec("vnf2")))
	b.expect("moves", "Success", "Written", "2 items for vnf2, vnf9")
	b.expectKeys(map[string]string{"/vnf-agent/vnf2/config/a/v1/b/c": "{}", "/vnf-agent/vnf9/config/a/v1/b/d": "{}"})
}

// Nothing waits for a controller that is away, and it makes up for it.
func (b *bench) deletedMeanwhile() {
	b.Apply(object("kept", `{microservice: vnf1, configItems: [{module: a, type: b, name: kept, data: ""}]}`))
	b.Apply(object("gone", `{microservice: vnf1, configItems: [{module: a, type: b, name: gone, data: ""}]}`))
	b.expect("kept", "Success", "Written")
	b.expect("gone", "Success", "Written")
	b.restart(func() {
		b.Kubectl("delete", "customconfiguration", "gone", "--timeout=10s")
		if len(b.keys()) != 2 {
			b.t.Errorf("nobody is there to remove keys, and agents find %v", b.keys())
		}
	})
	b.expectKeys(map[string]string{"/vnf-agent/vnf1/config/a/v1/b/kept": "{}"})
}

// restart has the controller start anew after something was done.
func (b *bench) restart(meanwhile func()) {
	b.t.Helper()
	if err := b.stop(); err != nil {
		b.t.Errorf("the controller ended: %v", err)
	}
	meanwhile()
	b.start()
}

// While etcd is away that is what users are told; and once it is back, all is
// well without anybody's doing.
func (b *bench) etcdAway() {
	b.server.Kill()
	b.Apply(object("waits", `{microservice: vnf1, configItems: [{module: a, type: b, name: c, data: ""}]}`))
	b.expect("waits", "Failure", "EtcdAway", "etcd does not answer")
	b.server = b.etcd.Start(b.t)
	b.expect("waits", "Success", "Written", "1 item for vnf1")
	b.expectKeys(map[string]string{"/vnf-agent/vnf1/config/a/v1/b/c": "{}"})
}

// The page shows the example that is tried here.
func TestPage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "custom-configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile(filepath.Join("..", "..", "examples", "custom-configuration.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(example), "\n\n")
	_, body, _ = strings.Cut(body, "apiVersion:")
	if !strings.Contains(string(page), "apiVersion:"+body) {
		t.Error("docs/custom-configuration.md does not have examples/custom-configuration.yaml in it")
	}
}
