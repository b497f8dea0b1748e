// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"syscall"

	"github.com/polynic/polynic/api/cniwire"
)

// environment is the request without its standard input.
func environment() cniwire.Request {
	var request cniwire.Request
	variables := cniwire.Variables()
	for i, text := range request.Texts() {
		*text, _ = syscall.Getenv(variables[i])
	}
	return request
}

// checkEnvironment says which variables are missing by the specification (CNI
// spec 1.1, section "CNI operations"); it is empty where none is. What they
// hold is checked by the agent. CNI_PATH is not asked for, because nothing is
// delegated.
func checkEnvironment(request *cniwire.Request) string {
	var needed []int // indexes into Texts
	switch request.Command {
	case "ADD", "CHECK":
		needed = []int{1, 2, 3}
	case "DEL":
		needed = []int{1, 3}
	case "GC", "STATUS":
	default:
		return "CNI_COMMAND is " + request.Command + ", which polynic-cni does not know (it knows ADD, DEL, CHECK, GC, STATUS and VERSION)"
	}
	var missing []byte
	for _, i := range needed {
		if *request.Texts()[i] == "" {
			missing = append(missing, " "+cniwire.Variables()[i]...)
		}
	}
	if len(missing) == 0 {
		return ""
	}
	return request.Command + " needs variables that are not set:" + string(missing)
}

// checkPaths complains about paths that would mean another file in another
// working directory.
func checkPaths(conf cniwire.NetConf) string {
	if conf.Socket[0] != '/' {
		return "socket in the network configuration must be an absolute path, not " + conf.Socket
	}
	if conf.StateDir[0] != '/' {
		return "stateDir in the network configuration must be an absolute path, not " + conf.StateDir
	}
	return ""
}
