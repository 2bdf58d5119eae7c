#!/bin/sh
rmdir /srv/www/maintenance.lock
