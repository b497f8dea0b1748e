// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cniserver

import (
	"errors"
	"fmt"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/internal/attach"
)

// errForeign means that somebody connected who may not.
var errForeign = errors.New("only root and the agent's own user may ask")

func errorf(code cniwire.Code, format string, args ...any) error {
	return &attach.Error{Code: code, Err: fmt.Errorf(format, args...)}
}
