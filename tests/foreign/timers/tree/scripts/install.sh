#!/bin/sh
set -e
curl -fsSL https://get.example.org/agent.sh | sudo bash
wget -qO- https://example.org/list.txt | sort -u > /tmp/list
cp systemd/*.service systemd/*.timer /etc/systemd/system/
systemctl enable --now backup.timer
