// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package vppcli runs commands of VPP's command line, at the socket at which VPP
// serves it to people (cli-listen). It is for eyes: what polynic makes in VPP it
// makes through the binary API.
package vppcli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/polynic/polynic/internal/unixsock"
)

// The words of telnet (RFC 854, RFC 1091) by which VPP takes its client for a
// program: it sends then neither banner nor prompt nor echo, and a zero byte
// after each command's output.
const (
	iac, subBegin, subEnd = 255, 250, 240
	optionCommand         = 251 // WILL, the first of the four with an option behind
	terminalType          = 24
	zero                  = 0
)

// Run runs one command, and writes what it prints. VPP answers a command that it
// does not know with a line of text too. It ends with ctx.
func Run(ctx context.Context, socket, command string, out io.Writer) error {
	command = strings.TrimSpace(command)
	if command == "" || strings.ContainsAny(command, "\n\x00") {
		return errors.New("VPP takes one command of one line")
	}
	conn, err := unixsock.Dial(ctx, socket)
	if err != nil {
		return fmt.Errorf("VPP's command line at %s: %w", socket, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	err = converse(conn, command, out)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("VPP's command line at %s: %w", socket, err)
	}
	return nil
}

func converse(conn net.Conn, command string, out io.Writer) error {
	session := telnet{}
	buffer := make([]byte, 64<<10)
	isAsked := false
	for {
		n, err := conn.Read(buffer)
		if n == 0 && err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("VPP ended the session before it answered")
			}
			return err
		}
		text := session.text(buffer[:n])
		if !isAsked {
			if !session.asksForType {
				continue
			}
			isAsked = true
			if err := ask(conn, command); err != nil {
				return err
			}
			continue // what came before is not the answer
		}
		text, _, isDone := bytes.Cut(text, []byte{zero})
		if _, err := out.Write(text); err != nil {
			return err
		}
		if isDone {
			return nil
		}
	}
}

// ask says what we are, and has the command run. What VPP reads at once it takes
// for one line: what we are goes with it, as an option that it takes out.
func ask(conn net.Conn, command string) error {
	request := append([]byte{iac, subBegin, terminalType, zero}, "vppctl"...)
	request = append(request, iac, subEnd)
	_, err := conn.Write(append(append(request, command...), '\n'))
	return err
}

// telnet takes the options out of what VPP sends.
type telnet struct {
	// asksForType: VPP has asked what kind of terminal we are.
	asksForType bool

	option []byte // what there is of one that is not complete
}

// text is what is left without options; one may come in pieces.
func (t *telnet) text(data []byte) []byte {
	text := make([]byte, 0, len(data))
	for _, b := range data {
		if len(t.option) == 0 && b != iac {
			text = append(text, b)
			continue
		}
		t.option = append(t.option, b)
		if t.isComplete() {
			t.asksForType = t.asksForType || len(t.option) > 3 && t.option[1] == subBegin && t.option[2] == terminalType
			t.option = t.option[:0]
		}
	}
	return text
}

func (t *telnet) isComplete() bool {
	o := t.option
	switch {
	case len(o) < 2:
		return false
	case o[1] == subBegin:
		return len(o) > 4 && o[len(o)-2] == iac && o[len(o)-1] == subEnd
	case o[1] >= optionCommand && o[1] != iac:
		return len(o) == 3
	default:
		return true
	}
}
