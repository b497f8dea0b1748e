// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package state

import "errors"

var (
	// ErrNoLab means that the folder holds no lab.
	ErrNoLab = errors.New("there is no lab")
	// ErrNotOurs means that the folder is used by something else.
	ErrNotOurs = errors.New("the folder holds files that are not a lab's")
	// ErrBusy means that another process works on the lab: its daemon, or a
	// command that starts or removes it.
	ErrBusy = errors.New("the lab is in use")
)
