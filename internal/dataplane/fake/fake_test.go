// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package fake_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/dataplane/drivertest"
	"github.com/polynic/polynic/internal/dataplane/fake"
	"github.com/polynic/polynic/internal/model"
)

func TestContract(t *testing.T) {
	drivertest.Run(t, func(*testing.T) drivertest.Harness {
		driver := fake.New()
		pods := 0
		return drivertest.Harness{
			Open: func() (dataplane.Driver, error) { return driver, nil },
			Pod: func() model.Netns {
				pods++
				return model.Netns{Path: fmt.Sprintf("/run/netns/%d", pods), Inode: uint64(pods)}
			},
			Folder: func() string { return "/run/memif/folder" },
			Kill:   driver.Kill,
			Jam: func(ns model.Netns) func() {
				driver.Jam(ns, errors.New("it cannot be entered"))
				return func() { driver.Jam(ns, nil) }
			},
			Occupy:   driver.Take,
			Occupied: func(model.Netns, string) bool { return true },
		}
	})
}
