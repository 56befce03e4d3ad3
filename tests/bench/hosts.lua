-- SPDX-License-Identifier: MIT
-- For wrk: asks for h0000000.example.com and so on, 1,000 hosts in turn, and
-- ends with one line: requests, microseconds, p50, p99 (us), failed requests.

local hosts, asked, turn = 1000, {}, 0

function init()
	for n = 0, hosts - 1 do
		local host = string.format("h%07d.example.com", n)
		asked[n] = wrk.format("GET", "/", { ["Host"] = host })
	end
end

function request()
	turn = (turn + 1) % hosts
	return asked[turn]
end

function done(summary, latency)
	local wrong = summary.errors
	io.write(string.format("FIGURES %d %d %d %d %d\n", summary.requests,
		summary.duration, latency:percentile(50), latency:percentile(99),
		wrong.status + wrong.connect + wrong.read + wrong.write +
		wrong.timeout))
end
