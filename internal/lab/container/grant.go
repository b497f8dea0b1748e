// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package container

import (
	"maps"
	"slices"
)

// Grant is what a container gets of a device beside what its manifest says.
type Grant struct {
	Env    map[string]string `json:"env,omitempty"`
	Mounts []Mount           `json:"mounts,omitempty"`
}

// And is both together.
func (g Grant) And(o Grant) Grant {
	env := map[string]string{}
	maps.Copy(env, g.Env)
	maps.Copy(env, o.Env)
	return Grant{Env: env, Mounts: slices.Concat(g.Mounts, o.Mounts)}
}
