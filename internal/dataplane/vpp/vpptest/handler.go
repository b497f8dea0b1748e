// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpptest

import (
	"reflect"

	"go.fd.io/govpp/api"
)

// pointer is a pointer to T that is a message, as GoVPP's are.
type pointer[T any] interface {
	*T
	api.Message
}

// handler serves one kind of request.
type handler struct {
	request func() api.Message
	serve   func(*world, api.Message) []api.Message
	// refuse is the reply that says no and changes nothing; nil for a dump, which
	// cannot say so.
	refuse func(retval api.VPPApiError) api.Message
	// kinds are the messages that belong to it in VPP's table.
	kinds []api.Message
}

// call is a request with one reply.
func call[Q, R any, PQ pointer[Q], PR pointer[R]](f func(*world, *Q, *R)) handler {
	return handler{
		request: func() api.Message { return PQ(new(Q)) },
		serve: func(w *world, request api.Message) []api.Message {
			reply := new(R)
			f(w, (*Q)(request.(PQ)), reply)
			return []api.Message{PR(reply)}
		},
		refuse: func(retval api.VPPApiError) api.Message {
			reply := PR(new(R))
			reflect.ValueOf(reply).Elem().FieldByName("Retval").SetInt(int64(retval))
			return reply
		},
		kinds: []api.Message{PQ(new(Q)), PR(new(R))},
	}
}

// act is a request whose reply is yes or no.
func act[Q, R any, PQ pointer[Q], PR pointer[R]](_ *R, f func(*world, *Q) api.VPPApiError) handler {
	h := call[Q, R, PQ, PR](func(*world, *Q, *R) {})
	refuse := h.refuse
	h.serve = func(w *world, request api.Message) []api.Message {
		return []api.Message{refuse(f(w, (*Q)(request.(PQ))))}
	}
	return h
}

// dump is a request with any number of replies, and none that is the last.
func dump[Q, D any, PQ pointer[Q], PD pointer[D]](f func(*world, *Q) []D) handler {
	return handler{
		request: func() api.Message { return PQ(new(Q)) },
		serve: func(w *world, request api.Message) []api.Message {
			var all []api.Message
			for _, d := range f(w, (*Q)(request.(PQ))) {
				all = append(all, PD(&d))
			}
			return all
		},
		kinds: []api.Message{PQ(new(Q)), PD(new(D))},
	}
}

// key names a message in VPP's table.
func key(m api.Message) string { return m.GetMessageName() + "_" + m.GetCrcString() }
