// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memifdir_test

import (
	"net/netip"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/internal/memifdir"
	"github.com/polynic/polynic/internal/model"
)

// The file is what applications are written against.
func TestInterfacesJSON(t *testing.T) {
	got, err := memifdir.InterfacesJSON(model.NewSecret("fh99pwvrkvd7n2kjvmtv"), []memifdir.Interface{
		{
			Name: "memif1", ID: 0, Network: "default", MAC: model.MAC{2, 0xfe, 0xa3, 0xa9, 0x57, 0x70}, MTU: 1450,
			Addresses: []netip.Prefix{netip.MustParsePrefix("10.1.1.5/32"), netip.MustParsePrefix("fd00:10:1:1::5/128")},
			Gateways:  []netip.Addr{netip.MustParseAddr("10.1.1.1"), netip.MustParseAddr("fd00:10:1:1::1")},
		},
		{Name: "memif2", ID: 1, Network: "stub", MAC: model.MAC{2, 0xfe, 1, 2, 3, 4}, MTU: 9000},
	})
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/interfaces.json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("the file (-want +got):\n%s", diff)
	}
	got, err = memifdir.InterfacesJSON(model.Secret{}, nil)
	if diff := cmp.Diff("{\n  \"version\": 1,\n  \"interfaces\": []\n}\n", string(got)); diff != "" || err != nil {
		t.Errorf("without interfaces: %v (-want +got):\n%s", err, diff)
	}
}
