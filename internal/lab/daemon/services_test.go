// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/polynic/polynic/internal/lab"
	"github.com/polynic/polynic/internal/lab/state"
)

// A record that cannot be read keeps every service of an apply from being given
// what another may have; each is told why.
func TestServicesWithARecordThatIsDamaged(t *testing.T) {
	d := &Daemon{Config: Config{Dir: state.Dir(t.TempDir())}}
	damaged := d.serviceFile(lab.Name{Namespace: "shop", Name: "old"})
	if err := os.MkdirAll(filepath.Dir(damaged), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(damaged, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	var told []lab.Event
	d.applyServices([]*corev1.Service{
		{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "one"}},
		{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "two"}},
	}, func(e lab.Event) { told = append(told, e) })
	for n, object := range []string{"service shop/one", "service shop/two"} {
		if len(told) != 2 || told[n].Kind != lab.Failed || told[n].Object != object || !strings.Contains(told[n].Text, damaged) {
			t.Fatalf("told %+v, want that %s is refused because of %s", told, object, damaged)
		}
	}
}
