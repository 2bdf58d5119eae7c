#!/usr/bin/env bash
# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
# Gives each volume to the user that its service runs as; before the stack starts, so that nothing in it need be root for that.
# shellcheck source=lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

need docker
require_data
own_volumes
