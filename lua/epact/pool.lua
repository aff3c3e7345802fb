--- Workers that run functions: `epact.run` for scripts, `epact.start` for the REPL.
-- @classmod epact.pool

local ffi = require "ffi"
local buffer = require "string.buffer"
local core = require "epact.core"
local options = require "epact.options"
local job = require "epact.job"
local ship = require "epact.ship"
local report = require "epact.report"
local C = core.C
local check = core.check

local pool = {}
local methods = {}
local class = { __index = methods }

-- Seconds the other workers get to notice that the job has stopped; who computes longer is left behind.
local grace = 0.3

-- What threads that were left behind may still use: kept for good.
local left_behind = {}

-- The first reason the job stopped: kept, and told to the workers and the other processes.
local function stop(self, reason)
  C.epact_process_stop(self.process, reason)
  self.broken = self.broken or reason
end

--- Starts workers. See `epact.run` for the options.
function pool.start(where, given)
  local process, o = job.open(where, given)
  local place = C.epact_worker_where(C.epact_process_worker(process, 0))
  local self = { workers = o.workers, staleness = o.staleness, deterministic = o.deterministic, seed = o.seed,
    rank = place.rank, size = place.size, where = where, restarts = o.on_loss == "restart" }
  self.threads = C.epact_pool_open(o.workers, package.path, package.cpath)
  if self.threads == nil then
    C.epact_process_close(process)
    check(C.epact_error_code(), where)
  end
  self.process = process
  self.address = {}
  self.options = { staleness = o.staleness, seed = o.seed, process = core.address(process),
    snapshots = o.snapshot ~= nil }
  for i = 0, o.workers - 1 do self.address[i] = core.address(C.epact_process_worker(process, i)) end
  self.guard = newproxy(true) -- a pool that was dropped without close() still ends its threads
  getmetatable(self.guard).__gc = function()
    -- A collection must not wait for other processes.
    if not self.closed and self.size > 1 then stop(self, "a pool was dropped without close()") end
    pcall(self.close, self)
  end
  return setmetatable(self, class)
end

local function submit(self, task, finish)
  for i = 0, self.workers - 1 do
    local encoded = buffer.encode { worker = self.address[i], options = self.options, task = task, finish = finish }
    check(C.epact_pool_submit(self.threads, i, encoded, #encoded), self.where)
  end
end

-- The library's last failure, with its code.
local function last_failure(code)
  return ("%s [%s]"):format(ffi.string(C.epact_error_message()), ffi.string(C.epact_error_name(code)))
end

-- A worker of this process by the id it has in the job.
local function worker_name(self, index)
  local place = C.epact_worker_where(C.epact_process_worker(self.process, index))
  return (place.size > 1 and "worker %d (rank %d)" or "worker %d"):format(place.id, place.rank)
end

-- Collects the outcome of every worker; nil and the reason when the job stopped.
local function collect(self)
  local outcomes, left, failure, deadline = {}, self.workers, nil, math.huge
  local outcome = ffi.new "epact_outcome"
  while left > 0 and C.epact_now() < deadline do
    local code = C.epact_pool_wait(self.threads, math.min(0.1, math.max(0.01, deadline - C.epact_now())), outcome)
    if code == C.EPACT_OK then
      left = left - 1
      local text = ffi.string(outcome.data, outcome.bytes)
      if outcome.failed == 0 then
        outcomes[outcome.worker] = buffer.decode(text)
      elseif not failure then
        failure = ("%s: %s"):format(worker_name(self, outcome.worker), text)
        stop(self, failure)
        local reason = C.epact_process_stopped(self.process) -- another process may have been first
        if reason ~= nil and text:find("[E_STOPPED]", 1, true) then
          local waiting = text:match "%(while waiting for [^\n]-%)"
          failure = ffi.string(reason) .. (waiting and ("\n%s stopped %s"):format(worker_name(self, outcome.worker),
            waiting:sub(2, -2)) or "")
        end
      end
    elseif code == C.EPACT_E_INTERRUPTED and not failure then
      failure = last_failure(code)
      stop(self, failure)
    elseif not failure then -- workers that wait for nothing do not notice that another process stopped the job
      local reason = C.epact_process_stopped(self.process)
      if reason ~= nil then
        failure = ffi.string(reason)
        stop(self, failure)
      end
    end
    if failure and deadline == math.huge then deadline = C.epact_now() + grace end
  end
  self.abandoned = left > 0
  if self.abandoned then left_behind[#left_behind + 1] = { self, self.task } end
  if failure then return nil, failure end
  return outcomes
end

local function watched(self, f, ...)
  C.epact_signals_watch(1)
  local results = { pcall(f, self, ...) }
  C.epact_signals_watch(0)
  if not results[1] then error(results[2], 0) end
  return unpack(results, 2, 3)
end

-- Raises why the job stopped; where a lost process is no end, this one ends instead, to be started again.
local function give_up(self, failure)
  if self.restarts and failure:find("[E_LOST]", 1, true) then job.ask_for_restart(failure) end
  core.fail("%s", failure)
end

-- From the first task on: a signal that comes before is the interpreter's.
local function work(self, task, finish)
  submit(self, task, finish)
  return collect(self)
end

-- One phase; `finish`: a worker whose function returns leaves the job, so that nobody waits for it.
local function run_phase(self, f, finish)
  local task = ship.encode(f, "the worker function")
  self.task = f -- data sets travel by address: they live here until every worker has taken them over
  local begin = C.epact_now()
  local outcomes, failure = watched(self, work, task, finish)
  if failure then give_up(self, failure) end
  self.seconds = (self.seconds or 0) + (C.epact_now() - begin)
  self.last = outcomes
  local results = {}
  for i = 0, self.workers - 1 do results[i] = ship.decode(outcomes[i].results) end
  self.results = results
  return results[0][1], results
end

--- Runs `f(w)` on every worker of this process, and waits.
-- @tparam function f shipped with its upvalues
-- @return what the first worker of this process returned
-- @treturn table all results: `[worker index from 0] = { ... }`
function methods:each(f)
  if self.closed then core.fail("each: the pool is closed") end
  if self.broken then core.fail("each: the pool has stopped: %s", self.broken) end
  options.argument("each", "f", "function", f)
  return run_phase(self, f, false)
end

--- What the workers of this process have counted.
-- @treturn epact.report
function methods:stats()
  return report.new(self.last or {}, self.seconds or 0)
end

-- What this process has turned away: counts by reason.
local function refusals(process)
  local raw, counts = ffi.new "epact_refusals", {}
  C.epact_process_refusals(process, raw)
  for reason = 0, C.EPACT_REFUSALS - 1 do counts[ffi.string(C.epact_refusal_name(reason))] = raw.count[reason] end
  counts.repeated, counts.unprinted = raw.repeated, raw.unprinted
  return counts
end

--- What this process has refused so far, as counts: frames that are `malformed`, of another protocol `version` or
-- `job`, `corrupt`, above the `size` limit, or not their `sender`'s; connections whose `key` is not listed, or whose
-- `handshake` failed. `repeated`: batches that came twice and were dropped; `unprinted`: refusals that were not said
-- on stderr.
-- @treturn table
function methods:refused()
  return self.closed and self.turned_away or refusals(self.process)
end

local function drain(self)
  local code
  repeat
    code = C.epact_process_drain(self.process, 0.1)
    local signal = C.epact_signals_pending()
    if signal ~= 0 then
      code = signal
    end
  until code ~= C.EPACT_E_AGAIN
  if code ~= C.EPACT_OK then stop(self, last_failure(code)) end -- of a last batch, for one
  return code
end

--- Ends the workers: publishes what is left, and serves this process's shard until all other processes have
-- finished and need nothing more of it: those that hold shards end together. Closing twice is allowed.
function methods:close()
  if self.closed then return end
  self.closed = true
  local failure, _
  local code = C.EPACT_OK
  if not self.broken then
    _, failure = watched(self, work, nil, true)
    if not failure then code = watched(self, drain) end
    if code ~= C.EPACT_OK then failure = ("%s: %s"):format(self.where, last_failure(code)) end
  end
  self.turned_away = refusals(self.process)
  -- What a busy thread still uses is left to it.
  if not self.abandoned and C.epact_pool_close(self.threads, grace) == C.EPACT_OK then
    C.epact_process_close(self.process)
  end
  if failure then give_up(self, failure) end
end

function class:__tostring()
  local state = self.broken and "stopped" or self.closed and "closed" or "ready"
  return ("epact.pool <%d workers, staleness %s, rank %d of %d, %s>"):format(self.workers, tostring(self.staleness),
    self.rank, self.size, state)
end

--- Implementation of `epact.run`.
function pool.run(given, f)
  if type(given) == "function" then given, f = {}, given end
  given = given or {}
  options.argument("epact.run", "the worker function", "function", f)
  local self = pool.start("epact.run", given)
  local ok, result = pcall(run_phase, self, f, true)
  if not ok and not self.broken then stop(self, tostring(result)) end -- the other processes wait for our workers
  local closed, reason = pcall(self.close, self)
  if not ok then error(result, 0) end
  if not closed then error(reason, 0) end
  local stats = self:stats()
  stats.results, stats.refused = self.results, self:refused()
  if given.stats and self.rank == 0 then io.stderr:write(tostring(stats), "\n") end
  return result, stats
end

return pool
