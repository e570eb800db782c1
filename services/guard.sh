#!/usr/bin/env bash
# guard.sh SCRIPT DIR - ends an instance when the process that started it ends, however it ends.
#
# Reads stdin, whose other end that process holds: at its end (closed on purpose, or the process was killed) the
# instance in DIR is killed and DIR removed. Started in a session of its own, so that Ctrl-C does not reach it.
set -u
script=$1 dir=$2
cat >/dev/null
if [ -d "$dir" ]; then
  # an `up` that is still under way holds the lock and would start a server after we looked
  exec 9>"$dir/.lock"; flock -w 90 9; exec 9>&-
  "$script" kill "$dir" >/dev/null 2>&1
  rm -rf "$dir"
fi
