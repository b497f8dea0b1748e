// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/polynic/polynic/internal/model"
)

// recordRoot is where the records are.
const recordRoot = "/polynic/v1/published/"

// ConfigPrefix begins the keys that the agent with the label reads.
func ConfigPrefix(label string) string { return "/vnf-agent/" + label + "/config/" }

// recordsOf begins the keys of a label's records.
func recordsOf(label string) string { return recordRoot + label + "/" }

func recordKey(label string, o Owner) string {
	if o.Kind == Custom {
		return recordsOf(label) + "custom/" + o.Namespace + "/" + o.Name
	}
	return recordsOf(label) + "pod"
}

// record is who has which keys of a label.
type record struct {
	Owner    Owner
	Label    string
	Keys     []string // sorted
	key      string
	revision int64
}

// written is the form of a record in etcd.
type written struct {
	Node        string   `json:"node,omitempty"`
	Namespace   string   `json:"namespace"`
	Name        string   `json:"name"`
	UID         string   `json:"uid,omitempty"`
	ContainerID string   `json:"containerID,omitempty"`
	IfName      string   `json:"ifName,omitempty"`
	Keys        []string `json:"keys"`
}

// text is the record as it is written.
func (r record) text() (string, error) {
	data, err := json.Marshal(written{
		Node: r.Owner.Node, Namespace: r.Owner.Namespace, Name: r.Owner.Name, UID: r.Owner.UID,
		ContainerID: r.Owner.Attachment.ContainerID, IfName: r.Owner.Attachment.IfName, Keys: r.Keys,
	})
	return string(data), err
}

// readRecord reads a record. One of a form that is not ours is an error: it is
// somebody's, and not to be written over.
func readRecord(key string, value []byte, revision int64) (record, error) {
	label, rest, _ := strings.Cut(strings.TrimPrefix(key, recordRoot), "/")
	var w written
	if err := json.Unmarshal(value, &w); err != nil {
		return record{}, fmt.Errorf("the record %s cannot be read; remove it where nothing of the label is in use: %w", key, err)
	}
	owner := Owner{
		Kind: Pod, Node: w.Node, Namespace: w.Namespace, Name: w.Name, UID: w.UID,
		Attachment: model.AttachmentID{ContainerID: w.ContainerID, IfName: w.IfName},
	}
	if rest != "pod" {
		owner.Kind = Custom
	}
	slices.Sort(w.Keys)
	// Whatever it lists, a record speaks for its own label alone.
	keys := slices.DeleteFunc(w.Keys, func(k string) bool { return !strings.HasPrefix(k, ConfigPrefix(label)) })
	return record{Owner: owner, Label: label, Keys: keys, key: key, revision: revision}, nil
}

func (r record) has(key string) bool {
	_, found := slices.BinarySearch(r.Keys, key)
	return found
}
