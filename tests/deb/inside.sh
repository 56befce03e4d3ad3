#!/bin/bash
# SPDX-License-Identifier: MIT
# inside.sh SUITE: what a new user does with the package, from installing to
# purging it, on a fresh Debian that has booted and has no way out. A line
# "ok - ..." or "not ok - ..." for each thing that must hold; "done" at the end.
set -u
suite=$1
export DEBIAN_FRONTEND=noninteractive
conf=/etc/spoa-router/spoa-router.conf
deb=$(echo /root/spoa-router_*.deb)
unit=spoa-router.service

# shellcheck source=tests/tap.sh
. /mnt/tap.sh
show_logs() { journalctl --quiet -u 'spoa-router*' -n 5 -o cat; }
ok() { local what="$suite: $1" && shift && check "$what" "$@"; }
main_pid() { systemctl show -P MainPID "$unit"; }
is_active() { systemctl is-active --quiet "$1"; }
says() { journalctl --quiet -u "$1" -o cat | grep -F "$2"; }

# What HTTP says for a host.
status() { curl -s -m 5 -o /dev/null -w '%{http_code}' -H "Host: $1" http://127.0.0.1:8000/; }
answers() { same "$(status "$1")" "$2"; }
body() { curl -s -m 5 -H "Host: $1" http://127.0.0.1:8000/ | grep -qx "$2"; }

# 3,200 requests, 400 a second, as lines of what was said to how many.
requests() {
	for _ in 1 2 3 4 5 6 7 8; do
		curl -s -m 10 --rate 50/s -H 'Host: app1.example' -o /dev/null \
			-w '%{http_code}\n' 'http://127.0.0.1:8000/[1-400]' &
	done | sort | uniq -c
}

# under_load WHAT CMD...: no request fails while CMD runs. HAProxy waits 0.6 s for an
# answer: a machine that has no time for that long loses some by itself. So three
# tries, and if all lose some, then no more than one in 50.
under_load() {
	local what=$1 try got good
	shift
	for try in 1 2 3; do
		requests >/tmp/load &
		sleep 1 # requests are under way
		"$@" >/tmp/load-cmd 2>&1 || cat /tmp/load-cmd
		wait $!
		got=$(xargs </tmp/load)
		[ "$got" != "3200 200" ] || break
		echo "# $suite: $what, try $try: $got"
	done
	good=$(sed -n 's/^ *\([0-9]*\) 200$/\1/p' /tmp/load)
	ok "$what: no request is lost ($got)" test "${good:-0}" -ge 3136
}

# All files of the system, but what comes and goes by itself.
inventory() {
	find / -xdev \( -path /proc -o -path /sys -o -path /tmp -o -path /root \
		-o -path /var/log -o -path /var/cache -o -path /var/lib/dpkg \
		-o -path /var/lib/apt -o -path /var/lib/systemd \
		-o -path /var/lib/redis -o -path /var/lib/haproxy \
		-o -path /var/tmp -o -path /mnt -o -path /docs \) -prune -o -print
	find /run -path '*spoa*'
}

# Two targets, each a word of its own.
cat >/tmp/workers.cfg <<'CFG'
defaults
    mode http
    timeout client 60s
    timeout server 60s
    timeout connect 5s
frontend one
    bind 127.0.0.1:9001
    http-request return status 200 content-type text/plain string "one\n"
frontend two
    bind 127.0.0.1:9002
    http-request return status 200 content-type text/plain string "two\n"
CFG
systemd-run --quiet --unit=workers haproxy -f /tmp/workers.cfg
systemctl start redis-server
rm -f /usr/sbin/policy-rc.d # a package may start its units here
inventory | LC_ALL=C sort >/tmp/before

# -- install -----------------------------------------------------------------
ok "it installs" apt-get -qq install -y --no-install-recommends "$deb"
ok "it runs at once" is_active "$unit"
ok "it starts with the machine" systemctl is-enabled --quiet "$unit"
ok "it does not run as root" \
	same "$(ps -o user:20= -p "$(main_pid)" 2>/dev/null || stat -c %U "/proc/$(main_pid)")" spoa-router
ok "its manual is there" test -e /usr/share/man/man8/spoa-router.8.gz
ok "the configuration is valid" spoa-router --check --config $conf

# -- two files, and start -------------------------------------------------------
examples=/usr/share/doc/spoa-router/examples
sed -i 's/^#preload = on/preload = on/' $conf
cp $examples/spoe-router.conf /etc/haproxy/
cp $examples/haproxy.cfg /etc/haproxy/router.cfg
echo 'EXTRAOPTS="-S /run/haproxy-master.sock -f /etc/haproxy/router.cfg"' >>/etc/default/haproxy
systemctl restart haproxy "$unit"
ok "haproxy takes the sample beside Debian's own file" is_active haproxy
ok "an unknown host is 404" answers app1.example 404

# -- route ------------------------------------------------------------------------
ok "redis-cli routes" redis-cli HSET routes app1.example 127.0.0.1:9001
ok "traffic follows" body app1.example one
ok "routectl routes, with the file of the agent" routectl --config $conf set app2.example 127.0.0.1:9002
ok "traffic follows routectl" body app2.example two
ok "routectl asks the agent" routectl --config $conf --admin unix:/run/spoa-router/admin.sock top

# -- reload, with what is wrong, and what is right ---------------------------------
before=$(main_pid)
echo 'ttl = soon' >>$conf
systemctl reload "$unit" 2>/dev/null
ok "a wrong file is said to be wrong" says "$unit" "ttl"
ok "and the old one stays in force" body app1.example one
sed -i '/^ttl = soon$/d' $conf
echo 'ttl = 7s' >>$conf
ok "it reloads" systemctl reload "$unit"
ok "what was reloaded is in force" bash -c \
	"routectl --config $conf --admin unix:/run/spoa-router/admin.sock config | grep -Eq '^ttl +=? *7'"
ok "the same process serves on" same "$(main_pid)" "$before"

# -- it hangs, it dies ----------------------------------------------------------------
mkdir -p /run/systemd/system/$unit.d
printf '[Service]\nWatchdogSec=3s\n' >/run/systemd/system/$unit.d/soon.conf
systemctl daemon-reload
systemctl restart "$unit"
before=$(main_pid)
kill -STOP "$before"
ok "the watchdog starts one anew that hangs" bash -c \
	"p=\$(systemctl show -P MainPID $unit) && [ \$p != $before ] && [ \$p != 0 ]"
ok "and it answers" body app1.example one
rm -r /run/systemd/system/$unit.d
systemctl daemon-reload
systemctl restart "$unit"
before=$(main_pid)
kill -KILL "$before"
ok "one that died is started anew" bash -c \
	"p=\$(systemctl show -P MainPID $unit) && [ \$p != $before ] && [ \$p != 0 ]"
ok "and it answers, too" body app1.example one

# -- under load ------------------------------------------------------------------------
restart_thrice() {
	for _ in 1 2 3; do systemctl restart "$unit" && sleep 1; done
}
# The number of the socket at 127.0.0.1:12310 (3016 in hex) that listens (0A).
socket_inode() { awk '$2 == "0100007F:3016" && $4 == "0A" {print $10}' /proc/net/tcp; }
before=$(socket_inode)
under_load "restarted three times" restart_thrice
under_load "upgraded" dpkg -i /root/next.deb
ok "its socket outlives that" same "$(socket_inode)" "${before:-none}"
ok "it is the next version" bash -c 'dpkg-query -W spoa-router | grep -q next'
ok "the edited file was kept" grep -q '^ttl = 7s$' $conf

# -- several ---------------------------------------------------------------------------------
ok "a second instance starts" systemctl enable --now --quiet spoa-router@12320.service
sed -i 's/#server agent2 .*/server agent2 127.0.0.1:12320/' /etc/haproxy/router.cfg
systemctl restart haproxy
systemctl stop "$unit" spoa-router.socket
ok "and serves alone while the first is stopped" body app1.example one
systemctl start "$unit"
before=$(systemctl show -P MainPID spoa-router@12320.service)
dpkg -i /root/next.deb >/dev/null
ok "an upgrade restarts both" bash -c \
	"p=\$(systemctl show -P MainPID spoa-router@12320.service) && [ \$p != $before ] && [ \$p != 0 ]"

# -- Redis breaks ------------------------------------------------------------------------
systemctl stop redis-server
ok "without Redis a known host is served" body app1.example one
ok "and the log says what is wrong" says "$unit" "redis lost"
systemctl restart "$unit"
ok "even after a restart" body app1.example one
ok "a host never heard of is 503" answers new.example 503
systemctl start redis-server
ok "with Redis again an unknown host is 404" answers new.example 404

# -- what systemd thinks of it ---------------------------------------------------
score=$(systemd-analyze security --no-pager "$unit" 2>/dev/null |
	sed -n 's/.*exposure level for.*: \([0-9]*\)\.\([0-9]*\) .*/\1\2/p')
ok "systemd calls its exposure 2.0 at most ($score)" test "${score:-100}" -le 20

# -- what docs/ says of a system like this: the blocks called "systemd" ---------
for page in /docs/*.md; do
	# shellcheck disable=SC2016 # backquotes of the page
	ok "the commands of ${page##*/} run" bash -euo pipefail -c \
		"$(sed -n '/^```systemd$/,/^```$/{/^```/!p}' "$page")"
done

connects_as() {
	runuser -u "$1" -- curl -s -m 1 --unix-socket /run/spoa-router/spoa.sock http://x/
	[ $? != 7 ] # it could connect, whatever it then heard
}
ok "haproxy may use its Unix socket" connects_as haproxy
ok "and nobody else" not connects_as nobody
rm -r /etc/systemd/system/spoa-router.socket.d

# -- gone -----------------------------------------------------------------------------------
ok "it is removed" apt-get -qq remove -y spoa-router
ok "nothing of it runs" not grep -qsx spoa-router /proc/[0-9]*/comm
ok "its configuration is still there" test -e $conf
rm /etc/haproxy/router.cfg /etc/haproxy/spoe-router.conf
ok "it is purged" apt-get -qq purge -y spoa-router
apt-get -qq autoremove --purge -y >/dev/null # what it depended on
inventory | LC_ALL=C sort >/tmp/after
# the user stays, as Debian wants it: files may still be its own
left=$(LC_ALL=C comm -13 /tmp/before /tmp/after)
ok "nothing is left" same "$left" ""
echo "done $suite"
