// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"strconv"
	"syscall"

	"github.com/polynic/polynic/api/cniwire"
)

// deleteLater leaves a tombstone for an agent that did not answer a DEL. The
// DEL succeeds in any case, since an error would keep the pod from going away;
// a lost one is found by the agent's own sweep.
func deleteLater(conf cniwire.NetConf, request cniwire.Request, complaint string) answer {
	err := leaveTombstone(conf.StateDir, cniwire.Tombstone{
		ContainerID: request.ContainerID,
		IfName:      request.IfName,
		Network:     conf.Name,
	})
	if err != nil {
		return answer{stderr: complaint + " Nor can the DEL be left for it in " + conf.StateDir + ": " + err.Error()}
	}
	return answer{}
}

// leaveTombstone writes the file under a temporary name first, so that the
// agent never reads half of one.
func leaveTombstone(stateDir string, t cniwire.Tombstone) error {
	content, err := cniwire.AppendTombstone(nil, t)
	if err != nil {
		return err
	}
	folder := stateDir + "/" + cniwire.TombstoneDir
	for _, dir := range []string{stateDir, folder} {
		if err := syscall.Mkdir(dir, 0o700); err != nil && !errors.Is(err, syscall.EEXIST) {
			return err
		}
	}
	name := cniwire.TombstoneName(t.ContainerID, t.IfName)
	temporary := folder + "/." + name + "." + strconv.Itoa(syscall.Getpid())
	fd, err := syscall.Open(temporary, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_TRUNC|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	err = write(fd, content)
	if closeErr := syscall.Close(fd); err == nil {
		err = closeErr
	}
	if err == nil {
		err = syscall.Rename(temporary, folder+"/"+name)
	}
	if err != nil {
		_ = syscall.Unlink(temporary) // the first error says what happened
	}
	return err
}

// rememberedStatus answers STATUS for an agent that does not: not ready only
// when it never was, or is away for longer than the limit it left behind,
// because a node that is not ready loses its pods after a while.
func rememberedStatus(conf cniwire.NetConf, complaint string) answer {
	since, limit := lastReady(conf.StateDir + "/" + cniwire.ReadyFile)
	if limit == 0 {
		return fail(conf, cniwire.CodeNotAvailable, complaint+" It was never ready on this node.")
	}
	// A time in the future is as far from now as one in the past: the clock
	// was set, and nothing is known.
	away := (now() - since) / 1e9
	if max(away, -away) > limit {
		return fail(conf, cniwire.CodeNotAvailable, complaint+" It was last ready "+strconv.FormatInt(away, 10)+
			" seconds ago, and "+strconv.FormatInt(limit, 10)+" are allowed.")
	}
	return answer{}
}

// lastReady is when the agent was last ready, in nanoseconds since 1970, and
// for how many seconds that counts; a limit of 0 is never.
func lastReady(path string) (since, limit int64) {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return 0, 0
	}
	defer syscall.Close(fd)
	var stat syscall.Stat_t
	if err := syscall.Fstat(fd, &stat); err != nil {
		return 0, 0
	}
	var content [32]byte
	n, err := syscall.Read(fd, content[:])
	if err != nil {
		return 0, 0
	}
	return stat.Mtim.Nano(), cniwire.ParseAwayLimit(string(content[:n]))
}
