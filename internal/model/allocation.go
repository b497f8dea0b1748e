// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package model

import (
	"encoding/json"
	"errors"
)

// writtenAllocation is the written form of a MemifAllocation. It holds the
// secret, which no other text does.
type writtenAllocation struct {
	ID      string   `json:"id"`
	Devices []string `json:"devices"`
	Secret  string   `json:"secret"`
	Given   int64    `json:"given,omitempty"`
}

// Written is the allocation as JSON, with its secret, for those who keep it.
func (a MemifAllocation) Written() ([]byte, error) {
	return json.Marshal(writtenAllocation{ID: a.ID, Devices: a.Devices, Secret: a.Secret.Reveal(), Given: a.Given})
}

// ReadMemifAllocation reads what Written gave.
func ReadMemifAllocation(text []byte) (MemifAllocation, error) {
	var w writtenAllocation
	if err := json.Unmarshal(text, &w); err != nil {
		return MemifAllocation{}, err
	}
	if w.ID == "" {
		return MemifAllocation{}, errors.New("an allocation without id")
	}
	return MemifAllocation{ID: w.ID, Devices: w.Devices, Secret: NewSecret(w.Secret), Given: w.Given}, nil
}
