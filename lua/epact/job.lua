--- Opening a process's part in a job: the options of `epact.run`, and what the environment says.
-- @module epact.job

local ffi = require "ffi"
local core = require "epact.core"
local options = require "epact.options"
local cluster = require "epact.cluster"
local C = core.C
local check = core.check

local job = {}

local count = 0 -- jobs of this process: part of a job's number, so that frames of an earlier one are refused

local known = {
  workers = { "count" }, staleness = { "staleness", 0 }, deterministic = { "boolean", false },
  seed = { "integer", 0 }, timeout = { "positive", 300 }, lease = { "positive", 10 }, stats = { "boolean", false },
  snapshot = { "table" }, resume = { "resume", false }, cache = { "table", {} },
  on_loss = { { "fail", "continue", "restart" }, "fail" }, servers = { "count" }, elastic = { "boolean", false },
  keys = { "string" }, insecure = { "boolean" }, address = { "string" },
}

local known_cache = { rows = { "count" }, bytes = { "count" } }

local known_snapshot = {
  every = { "count", required = true }, dir = { "string", required = true },
  durability = { { "snapshot", "journal" }, "snapshot" },
}

-- The fields of the C options that have to do with snapshots.
local function snapshot_fields(where, o, raw)
  if not o.snapshot then
    if o.resume or o.on_loss == "restart" then
      core.fail("%s: %s needs snapshot = { every = ..., dir = ... }", where, o.resume and "resume" or "on_loss restart")
    end
    return
  end
  local snapshot = options.read(where .. ": snapshot", o.snapshot, known_snapshot)
  raw.snapshots, raw.snapshot_every = snapshot.dir, snapshot.every
  raw.journal = snapshot.durability == "journal" and 1 or 0
  raw.resume_clock = type(o.resume) == "number" and o.resume or -1
  local again = o.on_loss == "restart" and cluster.restart() > 0
  if again then -- a clock that is named is where the first start began, and may be swept away by now
    raw.resume_clock = -1
    o.resume = o.resume or "if any"
  end
  raw.resume = o.resume == "if any" and C.EPACT_RESUME_IF_ANY or o.resume and C.EPACT_RESUME or 0
  return snapshot -- owns the string that raw points to
end

local warned = false -- once per process is enough

-- The folder of keys and whether to do without: what the script says, then what the environment says.
local function security(where, o, place)
  local keys, insecure = o.keys, o.insecure
  if keys == nil and insecure == nil then keys, insecure = place.keys, place.insecure end
  if keys and insecure then core.fail("%s: keys and insecure exclude each other", where) end
  if keys == nil and not insecure then keys = place.keys end
  if insecure and not warned and C.epact_endpoint_is_local(place.root or "") == 0 and place.root then
    warned = true
    io.stderr:write(("epact: warning: rank %d works without keys at %s: everybody who reaches it can read and change "
      .. "the job (`epact keygen` makes keys)\n"):format(place.rank, place.root))
  end
  return keys, insecure
end

local function open_process(where, o, place)
  local keys, insecure = security(where, o, place)
  local number = C.epact_crc32c(cluster.restart(), place.root or "", #(place.root or ""))
  local raw = ffi.new("epact_process_options", { rank = place.rank, size = place.size, workers = o.workers,
    deterministic = o.deterministic and 1 or 0, job = number * 2 ^ 16 + (count + 1) % 2 ^ 16, timeout = o.timeout,
    lease = o.lease, root = place.root, interrupted = C.epact_signals_pending, address = o.address or place.address,
    keys = keys, insecure = insecure and 1 or 0, servers = o.servers or 0, go_on = o.on_loss == "continue" and 1 or 0,
    elastic = o.elastic and 1 or 0, join = place.join and 1 or 0 })
  local cache = options.read(where .. ": cache", o.cache, known_cache)
  raw.cache_rows, raw.cache_bytes = cache.rows or 0, cache.bytes or 0
  local snapshot = snapshot_fields(where, o, raw)
  C.epact_signals_watch(1)
  local process = C.epact_process_open(raw)
  C.epact_signals_watch(0)
  o.snapshot = snapshot
  if process == nil then
    local reason = ffi.string(C.epact_error_message())
    if o.on_loss == "restart" and reason:find("[E_LOST]", 1, true) then job.ask_for_restart(where .. ": " .. reason) end
    check(C.epact_error_code(), where)
  end
  count = count + 1 -- one that could not begin could not anywhere
  return process
end

--- Opens the process.
-- @tparam string where the function as the user called it
-- @tparam ?table given the user's options
-- @return the process
-- @treturn table all options
function job.open(where, given)
  local o = options.read(where, given, known)
  local place = cluster.place()
  o.workers = o.workers or cluster.workers()
  if o.deterministic and o.staleness ~= 0 then
    core.fail("%s: deterministic needs staleness 0, got %s", where, options.show(o.staleness))
  end
  return open_process(where, o, place), o
end

-- What `epact launch --restarts` understands: start all of it again.
local again = 75

--- A process of the job was lost. Under a launcher that restarts jobs this process ends, so that all are started
-- again, from the last snapshot; otherwise it returns.
function job.ask_for_restart(reason)
  if not os.getenv "EPACT_RESTART" then return end
  io.stderr:write(reason, "\n")
  os.exit(again)
end

return job
