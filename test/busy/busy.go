// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package busy is for tests that measure time on machines that do other things too.
package busy

import (
	"fmt"
	"os"
	"runtime"
	"time"
)

// Stretch stretches a limit that holds for a machine of one's own by the load per
// core.
func Stretch(limit time.Duration) time.Duration {
	var load float64
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		_, _ = fmt.Sscan(string(text), &load) // without a load it is the limit
	}
	return time.Duration(float64(limit) * max(1, load/float64(runtime.NumCPU())))
}
