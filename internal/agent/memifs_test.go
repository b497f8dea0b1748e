// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"testing"

	"github.com/polynic/polynic/internal/config"
)

// Where no more devices are offered, the folders of those that were are known.
func TestFoldersAreKnownWithoutDevices(t *testing.T) {
	c := config.Default()
	c.RunDir = "/run/p"
	got, err := (&agent{Options: Options{Config: c}}).newMemifs(kept{})
	if err != nil || got.Containers != nil || got.Folders != "/run/p/memif" {
		t.Errorf("%+v, %v, want folders and no devices", got, err)
	}
}
