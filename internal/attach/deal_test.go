// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package attach_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/model"
)

func request(t *testing.T, annotation string) podif.Request {
	t.Helper()
	r, problems := podif.Parse(annotation)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return r
}

// container has a number of devices.
func container(name string, devices int) model.MemifContainer {
	return model.MemifContainer{
		Name: name, Folder: "/run/memif/of-" + name,
		MemifAllocation: model.MemifAllocation{ID: "of-" + name, Devices: make([]string, devices), Secret: model.NewSecret("secret-" + name)},
	}
}

// The memif interfaces are dealt to the containers in order.
func TestDeal(t *testing.T) {
	a, b, c := container("a", 1), container("b", 2), container("c", 1)
	for _, test := range []struct {
		annotation string
		containers []model.MemifContainer
		first      uint32
		want       []string
		warning    string
	}{
		{"m1/memif", []model.MemifContainer{a}, 0, []string{"0@a"}, ""},
		{"m1/memif", []model.MemifContainer{a}, 1, []string{"1@a"}, ""},
		{"x/tap, m2/memif, y/veth, m1/memif/stub", []model.MemifContainer{b}, 0, []string{"0@b", "1@b"}, ""},
		{"1/memif,2/memif,3/memif,4/memif", []model.MemifContainer{a, b, c}, 0, []string{"0@a", "1@b", "2@b", "3@c"}, ""},
		{"1/memif,2/memif", []model.MemifContainer{a, b, c}, 0, []string{"0@a", "1@b"}, ""},
		{"1/memif,2/memif", []model.MemifContainer{a}, 0, []string{"0@a", "1@a"}, "2 memif interfaces, and only 1 of contivpp.io/memif"},
		{"1/memif,2/memif,3/memif", []model.MemifContainer{a, c}, 0, []string{"0@a", "1@c", "2@c"}, "the last container, c, gets the rest"},
		{"x/tap", nil, 0, nil, ""},
		{"x/tap", []model.MemifContainer{a}, 0, nil, ""},
	} {
		memifs, warning, err := attach.Deal(request(t, test.annotation), test.containers, test.first)
		var got []string
		for _, m := range memifs {
			got = append(got, fmt.Sprintf("%d@%s", m.ID, m.Container))
			if m.Allocation != "of-"+m.Container || m.Folder != "/run/memif/of-"+m.Container || m.Secret.Reveal() != "secret-"+m.Container {
				t.Errorf("%s: %+v, want what container %s has", test.annotation, m, m.Container)
			}
		}
		if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", test.annotation, err, diff)
		}
		if !strings.Contains(warning, test.warning) || (warning == "") != (test.warning == "") {
			t.Errorf("%s: warning %q, want %q", test.annotation, warning, test.warning)
		}
	}
	_, _, err := attach.Deal(request(t, "1/memif,2/memif"), nil, 0)
	if !errors.Is(err, attach.ErrNoDevices) || !strings.Contains(err.Error(), "resources.limits") {
		t.Errorf("without devices: %v, want ErrNoDevices and what to do", err)
	}
}
