// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"go.fd.io/govpp/api"
	"go.fd.io/govpp/binapi/af_packet"
	interfaces "go.fd.io/govpp/binapi/interface"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/dataplane/vpp/vppapi"
	"github.com/polynic/polynic/internal/model"
)

// A host-interface's rings. VPP's own defaults lock 80 MiB of memory for each
// interface; these 1 MiB.
const (
	hostFrames = 256 // of each ring
	// frameHead is what stands before a packet in its frame: TPACKET2_HDRLEN, the
	// header of virtio-net, and an Ethernet header.
	frameHead = 128
	minFrame  = 2048
)

// frameSize is that of the frames that hold the MTU: a power of 2.
func frameSize(mtu int) uint32 {
	size := minFrame
	for size < mtu+frameHead {
		size *= 2
	}
	return uint32(size) //nolint:gosec // at most 128 KiB
}

// hostPort is a link that VPP is to have.
type hostPort struct {
	link, tag string
	mac       model.MAC
	mtu       int
}

// askHost asks for a host-interface on a link.
func askHost(b *vppapi.Batch, p hostPort, reply *af_packet.AfPacketCreateV3Reply) *vppapi.Request {
	size := frameSize(p.mtu)
	return b.Call(&af_packet.AfPacketCreateV3{
		Mode: af_packet.AF_PACKET_API_MODE_ETHERNET, HwAddr: macOf(p.mac), HostIfName: p.link,
		RxFrameSize: size, TxFrameSize: size, RxFramesPerBlock: hostFrames, TxFramesPerBlock: hostFrames,
		Flags:       af_packet.AF_PACKET_API_FLAG_CKSUM_GSO | af_packet.AF_PACKET_API_FLAG_VERSION_2,
		NumRxQueues: 1, NumTxQueues: 1,
	}, reply).Slow()
}

func deleteHost(b *vppapi.Batch, link string) {
	b.Call(&af_packet.AfPacketDelete{HostIfName: link}, &af_packet.AfPacketDeleteReply{}).Slow().OnError(func(err error) error {
		if isGone(err) || isVPP(err, api.SYSCALL_ERROR_1) { // there is none
			return nil
		}
		return say(err, "remove host-interface %s", link)
	})
}

// makeHostInterface gives the interface on a link: the one that is there, if it is as
// wanted, or a new one.
func (d *Driver) makeHostInterface(ctx context.Context, k *known, v *view, p hostPort) (*iface, error) {
	old, err := d.adoptHost(ctx, k, v, p)
	if err != nil || old != nil {
		return old, err
	}
	defer k.setMaking(p.link)()
	var reply af_packet.AfPacketCreateV3Reply
	var b vppapi.Batch
	askHost(&b, p, &reply).OnError(func(err error) error { return say(advise(err), "make host-interface %s", p.link) })
	if err := k.conn.Do(ctx, &b); err != nil {
		return nil, err
	}
	return &iface{index: reply.SwIfIndex, mac: p.mac, host: p.link, lends: none}, nil
}

// adoptHost gives the interface on a link if it is there and as wanted. One of ours
// that is not goes; by its MAC it is known for ours too, whatever tag it was given.
func (d *Driver) adoptHost(ctx context.Context, k *known, v *view, p hostPort) (*iface, error) {
	var i *iface
	for _, each := range v.ifs {
		if each.host == p.link {
			i = each
		}
	}
	if i == nil {
		return nil, nil //nolint:nilnil // there is none
	}
	if i.tag != p.tag && i.tag != "" && i.mac != p.mac {
		return nil, fmt.Errorf("interface %s has the tag %q: %w: %w", i.name, i.tag, dataplane.ErrTaken, api.IF_ALREADY_EXISTS)
	}
	if i.mac == p.mac && d.isBound(p.link) {
		return i, nil
	}
	var b vppapi.Batch
	k.uncheck(&b, i.index)
	deleteHost(&b, p.link)
	return nil, k.conn.Do(ctx, &b)
}

// isBound reports whether somebody has a socket on the link. VPP keeps an interface
// whose link went away, and one that has its name now is another.
func (d *Driver) isBound(link string) bool {
	l, err := d.kernel.Link(link)
	return err == nil && d.bound()[l.Index]
}

// bound are the links of the node's namespace that packet sockets are bound to.
func (d *Driver) bound() map[int]bool {
	links := map[int]bool{}
	_ = d.ns.Do(func() error { // what cannot be read is taken to be none
		data, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/net/packet", unix.Gettid()))
		if err != nil {
			return err
		}
		lines := bufio.NewScanner(bytes.NewReader(data))
		for lines.Scan() {
			const column = 4 // sk RefCnt Type Proto Iface
			if fields := strings.Fields(lines.Text()); len(fields) > column {
				if index, err := strconv.Atoi(fields[column]); err == nil {
					links[index] = true
				}
			}
		}
		return errors.Join(lines.Err())
	})
	return links
}

func setMTU(b *vppapi.Batch, i *iface, mtu int) {
	if i.mtu == uint32(mtu) { //nolint:gosec // at most 65535
		return
	}
	m := uint32(mtu) //nolint:gosec // at most 65535
	b.Call(&interfaces.SwInterfaceSetMtu{SwIfIndex: i.index, Mtu: []uint32{m, 0, 0, 0}}, &interfaces.SwInterfaceSetMtuReply{}).
		OnErrorSay("set MTU %d", mtu)
}
