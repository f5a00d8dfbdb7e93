-- Spread requests over many hosts and print what was measured as one line of JSON.
-- Arguments after `--`: the path, the host with %d for its number, how many hosts.

local begins = 0

function setup(thread)
  thread:set("turn", begins)
  begins = begins + 499
end

function init(arguments)
  requests = {}
  for number = 0, tonumber(arguments[3]) - 1 do
    requests[number] = wrk.format("GET", arguments[1], {["Host"] = string.format(arguments[2], number)})
  end
end

function request()
  turn = (turn + 1) % (#requests + 1)
  return requests[turn]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "lost": %d, "refused": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.timeout, errors.status))
end
