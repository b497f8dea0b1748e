// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cniserver

import (
	"encoding/json"
	"slices"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/utils"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/internal/model"
)

// netConf is the network configuration, as far as the server reads it. The
// fields that few verbs need are decoded where they are needed.
type netConf struct {
	CNIVersion string          `json:"cniVersion"`
	Name       string          `json:"name"`
	PrevResult json.RawMessage `json:"prevResult"`
	Valid      json.RawMessage `json:"cni.dev/valid-attachments"`
	// ValidBefore is the name in an early text of the specification, under
	// which libcni sends the list too (containernetworking/cni#1101).
	ValidBefore json.RawMessage `json:"cni.dev/attachments"`
}

// parseNetConf decodes and checks the configuration of any verb but DEL.
func parseNetConf(command string, stdin []byte) (netConf, error) {
	var conf netConf
	if err := json.Unmarshal(stdin, &conf); err != nil {
		return conf, errorf(cniwire.CodeDecode, "network configuration: %w", err)
	}
	versions := cniwire.SpecVersions()
	version := conf.CNIVersion
	if version == "" {
		version = cniwire.AnswerVersion("")
	}
	switch at := slices.Index(versions, version); {
	case at < 0:
		return conf, errorf(cniwire.CodeIncompatibleVersion, "network configuration %s: cniVersion %q is none of %v", conf.Name, version, versions)
	case at < slices.Index(versions, sinceVersion(command)):
		return conf, errorf(cniwire.CodeIncompatibleVersion, "network configuration %s: cniVersion %s has no %s, which came with %s", conf.Name, version, command, sinceVersion(command))
	}
	if err := utils.ValidateNetworkName(conf.Name); err != nil {
		return conf, errorf(cniwire.CodeInvalidConfig, "network configuration: name %q: %s", conf.Name, err.Msg)
	}
	return conf, nil
}

// sinceVersion is the specification version that brought a verb.
func sinceVersion(command string) string {
	switch command {
	case "CHECK":
		return "0.4.0"
	case "GC", "STATUS":
		return "1.1.0"
	default:
		return "0.1.0"
	}
}

// validAttachments decodes the list of a GC, which must be an array (CNI spec
// 1.1, section "GC"). To take anything else for an empty one would detach every
// pod: a missing list is an error; null gives nil. Go runtimes write null for a
// list that they put nothing into, and libcni has then sent a DEL for each
// attachment that it remembers.
func (c netConf) validAttachments() ([]model.AttachmentID, error) {
	raw := c.Valid
	if raw == nil {
		raw = c.ValidBefore
	}
	if raw == nil {
		return nil, errorf(cniwire.CodeInvalidConfig, "network configuration %s: cni.dev/valid-attachments is missing", c.Name)
	}
	var list []types.GCAttachment
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, errorf(cniwire.CodeDecode, "network configuration %s: cni.dev/valid-attachments: %w", c.Name, err)
	}
	if list == nil {
		return nil, nil
	}
	valid := make([]model.AttachmentID, 0, len(list))
	for _, a := range list {
		valid = append(valid, model.AttachmentID{ContainerID: a.ContainerID, IfName: a.IfName})
	}
	return valid, nil
}
