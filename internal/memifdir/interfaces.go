// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memifdir

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/model"
)

// InterfacesName is the name, in the folder, of the file that tells a
// container's application what it can connect to.
const InterfacesName = "interfaces.json"

// interfacesMode lets every user of the container read the file.
const interfacesMode = 0o644

// interfacesVersion is that of the file's form. What is added leaves it; what
// changes or goes raises it.
const interfacesVersion = 1

// Interface is one memif interface that is served on a folder's socket.
type Interface struct {
	Name    string
	ID      uint32
	Network string
	MAC     model.MAC
	// MTU in bytes.
	MTU int
	// Addresses are for the application to use, and Gateways to send to: at
	// most one a family, none on a network without addresses.
	Addresses []netip.Prefix
	Gateways  []netip.Addr
}

type interfacesFile struct {
	Version    int              `json:"version"`
	Interfaces []interfaceEntry `json:"interfaces"`
}

type interfaceEntry struct {
	Name    string `json:"name"`
	ID      uint32 `json:"id"`
	Role    string `json:"role"`
	Mode    string `json:"mode"`
	Network string `json:"network"`
	MAC     string `json:"mac"`
	MTU     int    `json:"mtu"`
	// Addresses and Gateways are never null.
	Addresses      []netip.Prefix `json:"addresses"`
	Gateways       []netip.Addr   `json:"gateways"`
	Socket         string         `json:"socket"`
	SecretVariable string         `json:"secretVariable"`
	Vdev           string         `json:"vdev"`
}

// InterfacesJSON renders the file. It holds the secret, in the arguments for
// DPDK.
func InterfacesJSON(secret model.Secret, interfaces []Interface) ([]byte, error) {
	file := interfacesFile{Version: interfacesVersion, Interfaces: []interfaceEntry{}}
	for _, i := range interfaces {
		file.Interfaces = append(file.Interfaces, interfaceEntry{
			Name: i.Name, ID: i.ID, Role: "slave", Mode: "ethernet", Network: i.Network,
			MAC: i.MAC.String(), MTU: i.MTU,
			Addresses:      append([]netip.Prefix{}, i.Addresses...),
			Gateways:       append([]netip.Addr{}, i.Gateways...),
			Socket:         SocketPath,
			SecretVariable: SecretVariable,
			Vdev:           vdev(secret, i),
		})
	}
	text, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", InterfacesName, err)
	}
	return append(text, '\n'), nil
}

// vdev is the argument of --vdev for DPDK's net_memif driver, 20.11 or later.
func vdev(secret model.Secret, i Interface) string {
	return fmt.Sprintf("net_memif%d,role=client,id=%d,socket-abstract=no,socket=%s,mac=%s,secret=%s",
		i.ID, i.ID, SocketPath, i.MAC, secret.Reveal())
}

// WriteInterfaces puts the file into the folder of an allocation, unless it is
// there as it should be, and reports whether it had to. A reader sees the old
// file or the new one, whole.
func (d Dir) WriteInterfaces(id string, text []byte) (written bool, err error) {
	folder, err := d.open(id)
	if err != nil {
		return false, err
	}
	defer folder.Close()
	if hasInterfaces(folder, text) {
		return false, nil
	}
	if err := writeInterfaces(folder, text); err != nil {
		return false, fmt.Errorf("memif folder %s: %s: %w", d.Path(id), InterfacesName, err)
	}
	return true, nil
}

// hasInterfaces reports whether the file is there, and says so to everybody. What
// has its name may be anything: only what turns out to be a file of ours is read.
func hasInterfaces(folder *os.File, text []byte) bool {
	found, err := openAt(folder, InterfacesName, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false
	}
	defer found.Close()
	var st unix.Stat_t
	err = unix.Fstat(int(found.Fd()), &st)
	if err != nil || st.Mode != unix.S_IFREG|interfacesMode || st.Uid != uint32(os.Geteuid()) || st.Size != int64(len(text)) {
		return false
	}
	// By its path in /proc this is the file that was just looked at. Whoever has a
	// lease on it is not waited for.
	file, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", found.Fd()), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer file.Close()
	have, err := io.ReadAll(io.LimitReader(file, st.Size+1))
	return err == nil && bytes.Equal(have, text)
}

func writeInterfaces(folder *os.File, text []byte) error {
	fd := int(folder.Fd())
	draft := "." + InterfacesName + "." + rand.Text()
	file, err := openAt(folder, draft, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, interfacesMode)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	err = errors.Join(err, file.Chmod(interfacesMode), file.Close()) // whatever the umask says
	if err == nil {
		err = unix.Renameat(fd, draft, fd, InterfacesName)
	}
	if err != nil {
		return errors.Join(err, unix.Unlinkat(fd, draft, 0))
	}
	return nil
}
