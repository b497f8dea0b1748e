// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cniwire

// Where the CNI binary looks when the network configuration does not say.
const (
	DefaultSocket   = "/run/polynic/cni.sock"
	DefaultStateDir = "/var/lib/polynic"
)

// NetConf is the part of a network configuration that the CNI binary reads by
// itself; the rest is the agent's.
type NetConf struct {
	CNIVersion string
	Name       string
	// Socket is the agent's, key "socket".
	Socket string
	// StateDir is the agent's folder of durable state, key "stateDir".
	StateDir string
}

// ParseNetConf reads a network configuration. Keys are exact and only the top
// level counts; of a repeated key the last one counts, also when it is not a
// string, and what is not a string counts as absent. It is not a validator: of
// a valid document it reads what encoding/json would, and an invalid one it
// may take. The error is ErrNotObject.
func ParseNetConf(doc []byte) (NetConf, error) {
	conf := NetConf{Socket: DefaultSocket, StateDir: DefaultStateDir}
	err := topStrings(doc, func(key, value string) {
		switch key {
		case "cniVersion":
			conf.CNIVersion = value
		case "name":
			conf.Name = value
		case "socket":
			conf.Socket = orDefault(value, DefaultSocket)
		case "stateDir":
			conf.StateDir = orDefault(value, DefaultStateDir)
		}
	})
	return conf, err
}

func orDefault(value, standard string) string {
	if value == "" {
		return standard
	}
	return value
}
