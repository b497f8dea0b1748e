// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/memif/memiftest"
)

// MemifPeer is what an application asks a memif's socket for, rightly or not.
type MemifPeer struct {
	Socket, Secret string
	ID             uint32
	// Unsealed shares memory that the application could take away.
	Unsealed bool
	// Tries is how often it asks until it is let in; once if 0.
	Tries int
	// File, if set, is a descriptor that the application inherits, as its number 3.
	File *os.File `json:"-"`
}

// MemifApp is a process in a pod that has asked for a memif.
type MemifApp struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	Answer string // "connected", or why not
}

// Connect runs an application in the pod's network namespace, and is back when it
// is connected or refused. It sees the node's files, so that no path is out of its
// reach.
func (p *Pod) Connect(peer MemifPeer) *MemifApp {
	t := p.node.TB
	t.Helper()
	asked, err := json.Marshal(peer)
	if err != nil {
		t.Fatal(err)
	}
	h, err := netns.Open(p.Netns)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	a := &MemifApp{cmd: exec.Command("/proc/self/exe")}
	a.cmd.Env = append(os.Environ(), roleEnv+"=memif", "PEER="+string(asked))
	a.cmd.Stderr = t.Output()
	if peer.File != nil {
		a.cmd.ExtraFiles = []*os.File{peer.File}
	}
	if a.stdin, err = a.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := a.cmd.StdoutPipe()
	if err == nil {
		err = h.Do(a.cmd.Start)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.End)
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("a memif's application: %v", err)
	}
	a.Answer = line[:len(line)-1]
	return a
}

// PID is the process id.
func (a *MemifApp) PID() int { return a.cmd.Process.Pid }

// Send sends an Ethernet frame of at most 2048 bytes.
func (a *MemifApp) Send(frame []byte) error {
	_, err := fmt.Fprintln(a.stdin, hex.EncodeToString(frame))
	return err
}

// Offend has the relay read from memory that the application does not share.
func (a *MemifApp) Offend() error {
	_, err := fmt.Fprintln(a.stdin, offend)
	return err
}

// End kills the application.
func (a *MemifApp) End() {
	if a.cmd.ProcessState == nil {
		_ = a.cmd.Process.Kill()
		_ = a.cmd.Wait()
	}
}

// offend is what an application is told that is to offend.
const offend = "offend"

// memifPeer is the application's side: it sends the frames that it is told to.
func memifPeer() error {
	var asked MemifPeer
	if err := json.Unmarshal([]byte(os.Getenv("PEER")), &asked); err != nil {
		return err
	}
	s, err := asked.connect()
	for range asked.Tries - 1 {
		if err == nil {
			break
		}
		s, err = asked.connect()
	}
	if err != nil {
		fmt.Println(err)
		return nil
	}
	defer s.Close()
	fmt.Println("connected")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if err := act(s, lines.Text()); err != nil {
			return err
		}
	}
	return nil
}

func (p MemifPeer) connect() (*memiftest.Slave, error) {
	s, err := memiftest.NewSlave(p.Socket, memiftest.SlaveConfig{
		Init: memiftest.Init{ID: p.ID, Secret: memiftest.Secret(p.Secret)}, Unsealed: p.Unsealed,
	})
	if err != nil {
		return nil, err
	}
	if err := s.Handshake(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// act sends a frame, which is in hexadecimal, or offends.
func act(s *memiftest.Slave, line string) error {
	if line == offend {
		return describe(s, func(uint32) memiftest.Descriptor { return memiftest.Descriptor{Region: 9, Length: 64} })
	}
	frame, err := hex.DecodeString(line)
	if err != nil {
		return err
	}
	return describe(s, func(at uint32) memiftest.Descriptor {
		return memiftest.Descriptor{Offset: at, Length: uint32(copy(s.Region[at:], frame))}
	})
}

// describe gives the relay a descriptor, which may be of the buffer at an offset,
// once the ring has room for it.
func describe(s *memiftest.Slave, what func(at uint32) memiftest.Descriptor) error {
	ring := s.S2M[0]
	head := *ring.Head()
	if err := Poll(5*time.Second, func() error {
		if head-*ring.Tail() == uint16(ring.Slots()) {
			return errors.New("the relay takes no frame")
		}
		return nil
	}); err != nil {
		return err
	}
	*ring.Descriptor(head) = what(ring.Buffers + uint32(head)%uint32(ring.Slots())*2048)
	*ring.Head() = head + 1
	_, err := unix.Write(ring.Eventfd, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	return err
}
