// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cniwire_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/api/cniwire"
)

func TestTombstoneContent(t *testing.T) {
	left := cniwire.Tombstone{ContainerID: "0123", IfName: "eth0", Network: "k8s-pod-network"}
	content, err := cniwire.AppendTombstone(nil, left)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"containerID":"0123","ifname":"eth0","network":"k8s-pod-network"}` + "\n"
	if diff := cmp.Diff(want, string(content)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got, err := cniwire.ParseTombstone(content); err != nil || got != left {
		t.Errorf("read back as %+v, %v", got, err)
	}
}

func TestParseTombstoneRefuses(t *testing.T) {
	for content, want := range map[string]error{
		"":                               cniwire.ErrNotObject, // a machine that lost power leaves this
		"\x00\x00\x00\x00":               cniwire.ErrNotObject,
		`{"containerID":"0123"}`:         cniwire.ErrMalformed,
		`{"ifname":"eth0"}`:              cniwire.ErrMalformed,
		`{"containerID":7,"ifname":"e"}`: cniwire.ErrMalformed,
	} {
		if got, err := cniwire.ParseTombstone([]byte(content)); !errors.Is(err, want) {
			t.Errorf("%q: %+v, %v, want %v", content, got, err, want)
		}
	}
}

func TestTombstoneBounds(t *testing.T) {
	long := strings.Repeat("x", cniwire.MaxText+1)
	var bound *cniwire.BoundError
	if _, err := cniwire.AppendTombstone(nil, cniwire.Tombstone{ContainerID: long, IfName: "eth0"}); !errors.As(err, &bound) {
		t.Errorf("a tombstone of any length was encoded: %v", err)
	}
}

func TestTombstoneName(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	if got, want := cniwire.TombstoneName(id, "eth0"), id+"-eth0-"; !strings.HasPrefix(got, want) {
		t.Errorf("name %q, want it to begin with %q", got, want)
	}
	names := map[string]string{}
	for _, of := range [][2]string{
		{id, "eth0"}, {id, "eth1"}, {id + id, "eth0"}, {id + id, "eth1"}, {"a/b", "c"}, {"a", "b/c"}, {"a-b", "c"}, {"../../etc", "x"}, {".", "."}, {"", ""},
	} {
		name := cniwire.TombstoneName(of[0], of[1])
		if other, taken := names[name]; taken {
			t.Errorf("%q and %s have one name, %q", of, other, name)
		}
		names[name] = of[0] + "/" + of[1]
	}
}

func TestAwayLimit(t *testing.T) {
	if got := cniwire.ParseAwayLimit(string(cniwire.AppendAwayLimit(nil, 60))); got != 60 {
		t.Errorf("60 seconds came back as %d", got)
	}
	for _, content := range []string{"", "\n", "60", "-1\n", "soon\n", "60\n\n", "99999999999999999999\n"} {
		if got := cniwire.ParseAwayLimit(content); got != 0 {
			t.Errorf("%q is %d seconds, want 0", content, got)
		}
	}
}
