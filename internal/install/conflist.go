// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"encoding/json"
	"fmt"
	"path/filepath"
)

// DefaultCNIVersion is the first with STATUS, by which a runtime knows that the
// agent does not answer yet.
const DefaultCNIVersion = "1.1.0"

// conflist is a network configuration list (CNI specification, section 1).
type conflist struct {
	CNIVersion string   `json:"cniVersion"`
	Name       string   `json:"name"`
	Plugins    []plugin `json:"plugins"`
}

type plugin struct {
	Type         string          `json:"type"`
	Socket       string          `json:"socket,omitempty"`
	StateDir     string          `json:"stateDir,omitempty"`
	Capabilities map[string]bool `json:"capabilities,omitempty"`
}

func encode(c conflist) ([]byte, error) {
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("conflist: %w", err)
	}
	return append(text, '\n'), nil
}

// ownPath is a path that polynic-cni has to be told: empty for its own default.
func ownPath(folder, byDefault, name string) string {
	if folder == "" || folder == byDefault {
		return ""
	}
	return filepath.Join(folder, name)
}
