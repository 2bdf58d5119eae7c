# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
# shellcheck shell=bash disable=SC2034
# What the scripts know of this stack.

STACK=pretamane
PACKAGES=(apache2-utils ca-certificates curl e2fsprogs gnupg jq python3 python3-venv restic util-linux)
DOCKER_PACKAGES=('docker-ce=5:29.7.*' 'docker-ce-cli=5:29.7.*' containerd.io docker-buildx-plugin 'docker-compose-plugin=5.5.*')
