#!/bin/sh
mkdir /srv/www/maintenance.lock || exit 1
