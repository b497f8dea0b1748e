// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/json"
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

// The places of records, below recordsOf.
const (
	podPlace     = "pod"
	customPlaces = "custom/"
)

func recordKey(label string, o Owner) string {
	if o.Kind == Custom {
		return recordsOf(label) + customPlaces + o.Namespace + "/" + o.Name
	}
	return recordsOf(label) + podPlace
}

// record is who has which keys of a label.
type record struct {
	owner    Owner
	label    string
	keys     []string // sorted
	key      string
	revision int64
	// broken is set where the record is not one of ours, whatever is in it.
	broken error
}

// recordForm is a record in etcd.
type recordForm struct {
	Node        string   `json:"node,omitempty"`
	Namespace   string   `json:"namespace"`
	Name        string   `json:"name"`
	UID         string   `json:"uid,omitempty"`
	ContainerID string   `json:"containerID,omitempty"`
	IfName      string   `json:"ifName,omitempty"`
	Keys        []string `json:"keys"`
}

// recordText is a record as it is written. The keys are sorted.
func recordText(o Owner, keys []string) (string, error) {
	data, err := json.Marshal(recordForm{
		Node: o.Node, Namespace: o.Namespace, Name: o.Name, UID: o.UID,
		ContainerID: o.Attachment.ContainerID, IfName: o.Attachment.IfName, Keys: keys,
	})
	return string(data), err
}

// readRecord reads a record. Whatever it lists, it speaks for its own label alone.
func readRecord(key string, text []byte, revision int64) record {
	label, place, _ := strings.Cut(strings.TrimPrefix(key, recordRoot), "/")
	r := record{label: label, key: key, revision: revision}
	var w recordForm
	if err := json.Unmarshal(text, &w); err != nil {
		r.broken = invalid("the record %s cannot be read, so whose keys %s has is not known; remove the record if nobody uses them: %v", key, ConfigPrefix(label), err)
		return r
	}
	r.owner = Owner{
		Kind: Pod, Node: w.Node, Namespace: w.Namespace, Name: w.Name, UID: w.UID,
		Attachment: model.AttachmentID{ContainerID: w.ContainerID, IfName: w.IfName},
	}
	if strings.HasPrefix(place, customPlaces) {
		r.owner.Kind = Custom
	}
	if recordKey(label, r.owner) != key {
		r.broken = invalid("the record %s is at the place of another one; remove it", key)
	}
	r.keys = slices.DeleteFunc(w.Keys, func(k string) bool { return !strings.HasPrefix(k, ConfigPrefix(label)) })
	slices.Sort(r.keys)
	r.keys = slices.Compact(r.keys)
	return r
}

func (r record) has(key string) bool {
	_, found := slices.BinarySearch(r.keys, key)
	return found
}
