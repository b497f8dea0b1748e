// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"errors"
	"math"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/polynic/polynic/internal/desired"
)

// block is a range of numbers, the first of which are those of a service's backends,
// without a gap. One that goes leaves its number to the last; so a change costs what
// it is worth.
type block struct {
	offset uint32
	room   int
	slots  []desired.Backend
}

// moved are backends that go and that come.
type moved struct{ gone, come []desired.Backend }

func (b *block) count() int { return len(b.slots) }

// moves are the elements that changed: what was at a number, and what is.
type moves struct {
	drop []uint32
	add  map[uint32]desired.Backend
}

// places finds the slots of backends.
func (b *block) places(of []desired.Backend) map[desired.Backend]int {
	at := make(map[desired.Backend]int, len(of))
	if len(of) == 0 {
		return at
	}
	for _, e := range of {
		at[e] = 0
	}
	for i, e := range b.slots {
		if _, is := at[e]; is {
			at[e] = i
		}
	}
	return at
}

// change takes backends away and adds others.
func (b *block) change(gone, come []desired.Backend, n *numbers) (moves, error) {
	at := b.places(gone)
	was := len(b.slots)
	before := map[int]desired.Backend{} // of the slots that were touched
	touch := func(i int) {
		if _, is := before[i]; !is && i < was {
			before[i] = b.slots[i]
		}
	}
	put := func(i int, e desired.Backend) {
		if i == len(b.slots) {
			b.slots = append(b.slots, e)
		} else {
			touch(i)
			b.slots[i] = e
		}
		if _, goes := at[e]; goes {
			at[e] = i
		}
	}
	for i, e := range gone {
		if i < len(come) {
			put(at[e], come[i])
		} else {
			last := len(b.slots) - 1
			touch(last)
			if i := at[e]; i != last {
				put(i, b.slots[last])
			}
			b.slots = b.slots[:last]
		}
		delete(at, e)
	}
	for _, e := range come[min(len(gone), len(come)):] {
		put(len(b.slots), e)
	}
	if len(b.slots) > b.room {
		return b.move(was, n)
	}
	return b.touched(before, was), nil
}

func (b *block) touched(before map[int]desired.Backend, was int) moves {
	m := moves{add: map[uint32]desired.Backend{}}
	for i, e := range before {
		if i < len(b.slots) && b.slots[i] == e {
			continue
		}
		m.drop = append(m.drop, b.offset+uint32(i))
		if i < len(b.slots) {
			m.add[b.offset+uint32(i)] = b.slots[i]
		}
	}
	for i := was; i < len(b.slots); i++ {
		m.add[b.offset+uint32(i)] = b.slots[i]
	}
	return m
}

// move gives the block a range with more room.
func (b *block) move(was int, n *numbers) (moves, error) {
	m := moves{add: map[uint32]desired.Backend{}}
	for i := range was {
		m.drop = append(m.drop, b.offset+uint32(i))
	}
	n.release(b)
	if err := n.take(b, len(b.slots)); err != nil {
		return m, err
	}
	for i, e := range b.slots {
		m.add[b.offset+uint32(i)] = e
	}
	return m, nil
}

// numbers deals out ranges of numbers.
type numbers struct {
	next uint64
	free map[int][]uint32 // by room
}

// take gives a block a range for so many.
func (n *numbers) take(b *block, count int) error {
	room := 1 << bits.Len(uint(count-1))
	if list := n.free[room]; len(list) > 0 {
		b.offset, b.room = list[len(list)-1], room
		n.free[room] = list[:len(list)-1]
		return nil
	}
	if n.next+uint64(room) > math.MaxUint32 {
		return errors.New("the numbers of backends are used up; restart polynic-agent")
	}
	b.offset, b.room = uint32(n.next), room
	n.next += uint64(room)
	return nil
}

// release takes a block's range back.
func (n *numbers) release(b *block) {
	if b.room == 0 {
		return
	}
	if n.free == nil {
		n.free = map[int][]uint32{}
	}
	n.free[b.room] = append(n.free[b.room], b.offset)
	b.room = 0
}

// found tells of a range that is in use; its room is not known any more.
func (n *numbers) found(b *block) {
	b.room = len(b.slots)
	n.next = max(n.next, uint64(b.offset)+uint64(b.room))
}

func number(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// target is a backend as a value, or a key, of the table.
func target(e desired.Backend) string { return key(e.Address.String(), strconv.Itoa(int(e.Port))) }

// remark is what a backend's element says beside.
func remark(e desired.Backend) string {
	var words []string
	if e.Local {
		words = append(words, "local")
	}
	if e.Main.IsValid() {
		words = append(words, e.Main.String())
	}
	return strings.Join(words, " ")
}

// parseBackend is the opposite of target and remark.
func parseBackend(value, comment string) (desired.Backend, bool) {
	var e desired.Backend
	address, port, _ := strings.Cut(value, " . ")
	var addrErr, mainErr error
	e.Address, addrErr = netip.ParseAddr(address)
	n, portErr := strconv.ParseUint(port, 10, 16)
	e.Port = uint16(n)
	words := strings.Fields(comment)
	if len(words) > 0 && words[0] == "local" {
		e.Local = true
		words = words[1:]
	}
	if len(words) > 0 {
		e.Main, mainErr = netip.ParseAddr(words[0])
	}
	return e, errors.Join(addrErr, portErr, mainErr) == nil
}

// difference compares two lists of which each has everything once. What they have in
// common at their ends costs no more than a look: of ten thousand backends few change
// at a time, and the others stay in their order.
func difference(before, after []desired.Backend) moved {
	for len(before) > 0 && len(after) > 0 && before[0] == after[0] {
		before, after = before[1:], after[1:]
	}
	for len(before) > 0 && len(after) > 0 && before[len(before)-1] == after[len(after)-1] {
		before, after = before[:len(before)-1], after[:len(after)-1]
	}
	stays := make(map[desired.Backend]bool, len(before))
	for _, b := range before {
		stays[b] = false
	}
	var m moved
	for _, b := range after {
		if _, was := stays[b]; was {
			stays[b] = true
		} else {
			m.come = append(m.come, b)
		}
	}
	for _, b := range before {
		if !stays[b] {
			m.gone = append(m.gone, b)
		}
	}
	return m
}

func inOrder(list []desired.Backend) []desired.Backend {
	list = slices.Clone(list)
	slices.SortFunc(list, desired.Backend.Compare)
	return slices.Compact(list)
}
