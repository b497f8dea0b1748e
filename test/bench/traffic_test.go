// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/polynic/polynic/test/figure"
	"github.com/polynic/polynic/test/harness"
	"github.com/polynic/polynic/test/need"
)

// traffic is P7: TCP and small UDP between two pods, against a veth pair each
// and routes made by hand. The path of an arm is everything between the sockets
// of two iperf3, the sending one on CPU 0 and the receiving one on the last.
func traffic(t *testing.T, s *sheet) {
	t.Helper()
	if _, err := exec.LookPath("iperf3"); err != nil {
		s.Skip("P7", err)
	}
	need.Command(t, need.Peers, "iperf3")
	_, hand := byHand(t)
	tracked := masqueraded(t)
	veths, taps := ourEnds(t)
	base := &flowArm{Arm: figure.Arm{Name: "by hand"}, from: hand[0], to: hand[1]}
	arms := []*flowArm{
		{Arm: figure.Arm{Name: "veth–veth"}, from: veths[0], to: veths[1], goal: figure.AtLeast(0.97)},
		{Arm: figure.Arm{Name: "veth–tap"}, from: veths[0], to: taps[1], goal: figure.AtLeast(0.5)},
		{Arm: figure.Arm{Name: "tap–veth"}, from: taps[0], to: veths[1], goal: figure.AtLeast(0.5)},
		{Arm: figure.Arm{Name: "tap–tap"}, from: taps[0], to: taps[1], goal: figure.AtLeast(0.35)},
		{Arm: figure.Arm{Name: "by hand and masqueraded"}, from: tracked[0], to: tracked[1]},
	}
	for _, a := range append(arms, base) {
		a.serve(t)
	}
	inTurns(t, s, base, arms, (*flowArm).tcp)
	for _, a := range arms {
		s.Ratio("P7 TCP "+a.Name+" vs veth–veth by hand", a.Median()/base.Median(), a.goal, "Gb/s", &a.Arm, &base.Arm)
	}
	inTurns(t, s, base, arms, (*flowArm).udp)
	for _, a := range arms {
		s.Ratio("P7 UDP of 64 bytes "+a.Name+" vs veth–veth by hand", a.Median()/base.Median(), figure.Goal{}, "kpps", &a.Arm, &base.Arm)
	}
}

// inTurns measures all ways anew, one after another.
func inTurns(t *testing.T, s *sheet, base *flowArm, arms []*flowArm, measure func(*flowArm, *testing.T, *sheet) float64) {
	t.Helper()
	all := append([]*flowArm{base}, arms...)
	for _, a := range all {
		a.Values = nil
	}
	for range s.flows {
		for _, a := range all {
			a.Add(measure(a, t, s))
		}
	}
}

// ourEnds makes two pods and gives their ends of each type.
func ourEnds(t *testing.T) (veths, taps [2]flowEnd) {
	t.Helper()
	n := startNode(t)
	for i := range veths {
		p := n.Pod("veth1/veth, tap1/tap")
		result := p.MustAdd()
		ns := open(t, p)
		veths[i] = flowEnd{ns, harness.IP(result, "veth1", 0)}
		taps[i] = flowEnd{ns, harness.IP(result, "tap1", 0)}
	}
	return veths, taps
}

// flowArm is a way between two pods.
type flowArm struct {
	figure.Arm
	from, to flowEnd
	port     string      // any by itself
	goal     figure.Goal // of its TCP
}

// serve starts the receiving side, and waits until it listens.
func (a *flowArm) serve(t *testing.T) {
	t.Helper()
	const first = 5201
	if a.port == "" {
		a.port = strconv.Itoa(first + int(names.Add(1)))
	}
	cmd := exec.CommandContext(t.Context(), "iperf3", "--server", "--forceflush", "--bind", a.to.address, "--port", a.port)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := a.to.ns.Do(cmd.Start); err != nil {
		t.Fatal(err)
	}
	listens, drained := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(drained)
		var once sync.Once
		for lines := bufio.NewScanner(stdout); lines.Scan(); { // it prints a report of its own
			if strings.Contains(lines.Text(), "listening") {
				once.Do(func() { close(listens) })
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-drained
		_ = cmd.Wait()
	})
	select {
	case <-listens:
	case <-drained:
		t.Fatalf("iperf3 of %s does not listen", a.Name)
	}
}

// report is the part of iperf3's that is of interest.
type report struct {
	End struct {
		Received struct {
			BitsPerSecond float64 `json:"bits_per_second"`
		} `json:"sum_received"`
		CPU struct {
			Client float64 `json:"host_total"` // percent
		} `json:"cpu_utilization_percent"`
		Sum struct {
			Seconds float64 `json:"seconds"`
			Packets float64 `json:"packets"`
			Lost    float64 `json:"lost_packets"`
		} `json:"sum"`
	} `json:"end"`
	Error string `json:"error"`
}

// tcp gives the Gb/s that one stream received.
func (a *flowArm) tcp(t *testing.T, s *sheet) float64 {
	t.Helper()
	return a.client(t, s).End.Received.BitsPerSecond / 1e9
}

// tcpOfCPU gives the Gb that one stream received for each second that its sender, who
// has the whole way of the packets, was on a CPU.
func (a *flowArm) tcpOfCPU(t *testing.T, s *sheet) float64 {
	t.Helper()
	end := a.client(t, s).End
	return end.Received.BitsPerSecond / 1e9 / (end.CPU.Client / 100)
}

// udp gives the thousands of packets that arrived per second.
func (a *flowArm) udp(t *testing.T, s *sheet) float64 {
	t.Helper()
	sum := a.client(t, s, "--udp", "--length", "64", "--bitrate", "0").End.Sum
	return (sum.Packets - sum.Lost) / sum.Seconds / 1e3
}

func (a *flowArm) client(t *testing.T, s *sheet, more ...string) report {
	t.Helper()
	args := append([]string{
		"--client", a.to.address, "--bind", a.from.address, "--port", a.port, "--json",
		"--time", strconv.Itoa(int(s.flow.Seconds())), "--affinity", fmt.Sprintf("0,%d", runtime.NumCPU()-1),
	}, more...)
	var out string
	harness.Eventually(t, time.Minute, func() (err error) {
		out, err = output(t.Context(), a.from.ns, "iperf3", args...)
		// Its server has not heard of the end of the last run.
		if err != nil && !strings.Contains(err.Error(), "busy running a test") {
			t.Fatal(err)
		}
		return err
	})
	var r report
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.Error != "" {
		t.Fatalf("iperf3 of %s: %v %s", a.Name, err, r.Error)
	}
	return r
}
