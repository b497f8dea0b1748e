// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package deploy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/polynic/polynic/api/podif"
)

var podKind = schema.GroupVersionKind{Version: "v1", Kind: "Pod"}

func podWith(annotations map[string]string) *corev1.Pod {
	return &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Name: "it", Namespace: "default", Annotations: annotations},
	}
}

func newPod(value string) request {
	return request{kind: podKind, object: podWith(map[string]string{podif.CustomIfAnnotation: value})}
}

// corners are values at the edges of the grammar, beside those that podif's own
// tests have.
func corners() []string {
	values := []string{
		"", " ", ",", ",,", "a/tap", " a / tap / stub ", "a/tap,b/veth,c/memif", "a/tap,a/veth", "a/tap, a/tap", "a", "a/", "/tap", "/", "//", "a//stub",
		"a/tap/", "a/tap//", "a/tap/x/", "a/tap/x/y", "a/Tap", "a/tun", "eth0/tap", "lo/veth", "./tap", "../tap", "all/tap", "default/tap",
		"eth0 /tap", "a b/tap", "a\tb/tap", "a\u00a0b/tap", "a\u00a0/tap", "\u3000a/tap\u2003", "à/tap", "ä/tap", "é/tap", "a%d/tap", "a:1/tap", "\u200b/tap", "a\u0000/tap", "a\u0301/tap", "\u20a0/tap", "🙂/tap", "\U00020a00/tap",
		"123456789012345/tap", "1234567890123456/tap", "äääääää/tap", "ääääääää/tap", "ääääääääx/tap",
		"a/tap/Net", "a/tap/-x", "a/tap/x-", "a/tap/x.y", "a/tap/x..y", "a/tap/.x", "a/tap/x.", "a/tap/x_y", "a/tap/ß", "a/tap/x y",
		"a/tap/" + strings.Repeat("x", 253), "a/tap/" + strings.Repeat("x", 254),
		"a/tap\n,b/tap", "a/tap\r\nb/tap", "a\n/tap", "a/tap;b/tap", "a-b_c.d/tap", "\ufffd/tap", "a\\b/tap", `a"b/tap`, "a'b/tap",
	}
	for _, n := range []int{podif.MaxInterfaces, podif.MaxInterfaces + 1} {
		values = append(values, list(n, "tap"), list(n, "tab"), list(n, "tap")+",,", list(n-1, "tap")+",0/tap",
			list(n, "tap/"+strings.Repeat("x", podif.MaxNetworkLen-10)))
	}
	for _, n := range []int{podif.MaxValueLen - 1, podif.MaxValueLen, podif.MaxValueLen + 1} {
		values = append(values, strings.Repeat(" ", n-5)+"a/tap", strings.Repeat(",", n), many(n), strings.Repeat("a", n), strings.Repeat("a/tap,", n)[:n],
			strings.Repeat("a\u00a0/tap,", n)[:n/7*7], strings.Repeat("/", n), strings.Repeat("ä", n/2))
	}
	return values
}

// list is one of n interfaces of a type.
func list(n int, kind string) string {
	elements := make([]string, n)
	for i := range elements {
		elements[i] = fmt.Sprintf("%d/%s", i, kind)
	}
	return strings.Join(elements, ",")
}

// many is a list of different interfaces that has n bytes.
func many(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n-12; i++ {
		fmt.Fprintf(&b, "%x/tap,", i)
	}
	return b.String() + "z/tap" + strings.Repeat(" ", n-b.Len()-5)
}

// The API server refuses what the agent would refuse, and nothing else: the
// policy and the parser agree.
func TestPolicyAgreesWithParser(t *testing.T) {
	p := loadPolicy(t, "admit-interfaces.yaml")
	for _, value := range append(corners(), corpus(t)...) {
		agree(t, p, value)
	}
}

func agree(t *testing.T, p policy, value string) {
	t.Helper()
	shown := value
	if len(shown) > 100 {
		shown = fmt.Sprintf("%s... (%d bytes)", value[:100], len(value))
	}
	err := p.judge(newPod(value))
	_, problems := podif.Parse(value)
	switch {
	case errors.Is(err, errPolicy):
		t.Errorf("%q: %v", shown, err)
	case err == nil && problems.Err() != nil:
		t.Errorf("%q passes admission, and the agent refuses it: %v", shown, problems.Err())
	case err != nil && problems.Err() == nil:
		t.Errorf("%q is refused at admission, and the agent takes it: %v", shown, err)
	}
}
