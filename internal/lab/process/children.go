// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Children lists the children of the process that has the number now, whichever
// of its threads started them (proc_pid_task_children(5)).
func Children(pid int) []ID {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // the pattern is well-formed
	var children []ID
	for _, path := range lists {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // the thread ended
		}
		for field := range strings.FieldsSeq(string(text)) {
			child, err := strconv.Atoi(field)
			if err != nil {
				continue
			}
			if id, err := Of(child); err == nil {
				children = append(children, id)
			}
		}
	}
	return children
}
