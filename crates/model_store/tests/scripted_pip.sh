#!/bin/sh
# Stands in for pip: does what the file beside its own name says, with $DEST set to pip's --dest.
# One fixed program, because a program written by a test may still be open for writing when it is run ("text busy").
what="$0.what"
while [ $# -gt 0 ]; do
    [ "$1" = --dest ] && DEST=$2
    shift
done
. "$what"
