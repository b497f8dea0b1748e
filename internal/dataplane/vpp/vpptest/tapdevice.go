// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpptest

import (
	"errors"
	"fmt"

	"go.fd.io/govpp/api"
	"go.fd.io/govpp/binapi/tapv2"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/nl"
)

// tapDevice is a tap of the kernel's that the server holds, and reads nothing from.
type tapDevice struct{ fd int }

// close lets go of the device, which stays if it was made to.
func (d *tapDevice) close() {
	if d != nil {
		_ = unix.Close(d.fd)
	}
}

// delete has the kernel remove the device.
func (d *tapDevice) delete() {
	if d != nil {
		_ = unix.IoctlSetInt(d.fd, unix.TUNSETPERSIST, 0)
		d.close()
	}
}

// openTap makes or takes up a tap, in the namespace that is asked for. The errors are
// those of tap_create_if in VPP's tap.c.
func (w *world) openTap(q *tapv2.TapCreateV3) (device *tapDevice, retval api.VPPApiError) {
	act := func() (err error) {
		if device, retval = openDevice(q); retval != ok {
			return nil //nolint:nilerr // it is the answer, and no error of acting
		}
		if !w.vhost {
			retval = api.SYSCALL_ERROR_1
			return nil
		}
		if configureDevice(q) != nil {
			retval = api.NETLINK_ERROR
		}
		return nil
	}
	err := w.within(q, act)
	switch {
	case errors.Is(err, errNoNamespace):
		return nil, api.SYSCALL_ERROR_2
	case err != nil:
		return nil, api.SYSCALL_ERROR_3
	}
	return device, retval
}

// errNoNamespace is about a namespace that cannot be opened.
var errNoNamespace = errors.New("no such namespace")

// within acts in the namespace that a request names, or else in VPP's.
func (w *world) within(q *tapv2.TapCreateV3, act func() error) error {
	if !q.HostNamespaceSet || q.HostNamespace == "/proc/self/ns/net" { // that of a process, not of a thread
		if w.inside == nil {
			return act()
		}
		return w.inside.Do(act)
	}
	ns, err := netns.Open(q.HostNamespace)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoNamespace, err)
	}
	defer ns.Close()
	return ns.Do(act)
}

// openDevice opens a tap as VPP does.
func openDevice(q *tapv2.TapCreateV3) (*tapDevice, api.VPPApiError) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, api.SYSCALL_ERROR_2
	}
	device := &tapDevice{fd}
	name := ""
	if q.HostIfNameSet {
		name = q.HostIfName
	}
	request, err := unix.NewIfreq(name)
	if err != nil {
		return device, api.SYSCALL_ERROR_3
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR | unix.IFF_MULTI_QUEUE)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		device.close()
		return nil, api.SYSCALL_ERROR_3
	}
	if q.TapFlags&tapv2.TAP_API_FLAG_PERSIST != 0 {
		if err := unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1); err != nil {
			return device, api.SYSCALL_ERROR_3
		}
	}
	return device, ok
}

// configureDevice gives a tap its MAC, and switches it on.
func configureDevice(q *tapv2.TapCreateV3) error {
	if !q.HostIfNameSet {
		return nil
	}
	own, err := netns.Own()
	if err != nil {
		return err
	}
	defer own.Close()
	socket, err := nl.NewSocket(own)
	if err != nil {
		return err
	}
	defer socket.Close()
	link, err := socket.Link(q.HostIfName)
	if err != nil {
		return err
	}
	mac := model.MAC(q.HostMacAddr)
	var b nl.Batch
	b.SetLink(link.Index, nl.LinkChange{MAC: &mac, Up: true})
	return socket.Do(&b)
}
