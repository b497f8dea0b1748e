// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/polynic/polynic/internal/lab"
	"github.com/polynic/polynic/internal/netns"
)

const (
	// probeInterval is how often a container is asked whether it is ready, until it
	// is; whatever its probe says, since that is in seconds.
	probeInterval = 50 * time.Millisecond
	// probeLimit is how long one answer may take.
	probeLimit = time.Second
)

// probe has a container of a pod ready once a connection to the port of its
// readiness probe succeeds; one without such a probe is ready while it runs. It
// returns at once.
func (d *Daemon) probe(p *pod, at int) {
	record := p.now()
	port, ok := probePort(&record, record.Containers[at].Name)
	if !ok || record.Containers[at].Ready || len(record.IPs) == 0 {
		return
	}
	address := netip.AddrPortFrom(record.IPs[0], port)
	p.watchers.Add(1)
	accepted := d.watchers.start(func(ctx context.Context) {
		defer p.watchers.Done()
		tick := time.NewTicker(probeInterval)
		defer tick.Stop()
		for !d.answers(ctx, address) {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			if now := p.now(); now.Step == lab.Stopping || now.Containers[at].ExitCode != nil {
				return
			}
		}
		if err := p.update(d.Dir, func(r *lab.Pod) { r.Containers[at].Ready = true }); err != nil {
			d.Log.ErrorContext(ctx, "that a container is ready is not recorded", slog.Any("error", err))
		}
		d.showStatus(ctx, p)
	})
	if !accepted {
		p.watchers.Done()
	}
}

// answers reports whether the node can connect to a pod.
func (d *Daemon) answers(ctx context.Context, address netip.AddrPort) bool {
	ns, err := netns.Open(d.Dir.Netns(lab.NodeName))
	if err != nil {
		return false
	}
	defer ns.Close()
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	err = ns.Do(func() error {
		var dialer net.Dialer
		c, err := dialer.DialContext(ctx, "tcp", address.String())
		if err != nil {
			return err
		}
		return c.Close()
	})
	return err == nil
}

// probePort is the port of a container's readiness probe, by TCP or HTTP; false
// where it has no such probe.
func probePort(record *lab.Pod, name string) (uint16, bool) {
	containers := record.Manifest.Spec.Containers
	at := slices.IndexFunc(containers, func(c corev1.Container) bool { return c.Name == name })
	if at < 0 || containers[at].ReadinessProbe == nil {
		return 0, false
	}
	var port intstr.IntOrString
	switch probe := containers[at].ReadinessProbe; {
	case probe.TCPSocket != nil:
		port = probe.TCPSocket.Port
	case probe.HTTPGet != nil:
		port = probe.HTTPGet.Port
	default:
		return 0, false
	}
	number := strconv.Itoa(int(port.IntVal))
	if port.Type == intstr.String {
		number = port.StrVal
		for _, p := range containers[at].Ports {
			if p.Name == port.StrVal {
				number = strconv.Itoa(int(p.ContainerPort))
			}
		}
	}
	n, err := strconv.ParseUint(number, 10, 16)
	return uint16(n), err == nil && n > 0
}
