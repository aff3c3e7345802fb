--- Epact: machine learning by iterative-convergent algorithms, scripted in LuaJIT.
--
-- The functions a user starts from. Everything else is a module of its own: `epact.data`, `epact.mcmc.lda`,
-- `epact.optim.lasso`, `epact.model.mf`, ...
-- @module epact
-- @usage local epact = require "epact"

local core = require "epact.core"
local pool = require "epact.pool"

local epact = {
  _VERSION = core.version,
  error_code = core.error_code,
}

--- Runs `f(w)` once per worker, each in its own thread and Lua state, and waits for all of them.
--
-- The function is shipped with its upvalues (plain data, functions, modules, data sets). An error in one worker
-- stops all and is raised here with that worker's traceback. With EPACT_RANK, EPACT_SIZE and EPACT_ROOT set, the
-- workers of all processes are one job.
-- @function epact.run
-- @tparam ?table options
--
-- - `workers` (of this process; default: EPACT_WORKERS, or its cores), `seed`, `stats` (print the report)
-- - `staleness` (0: BSP, default; math.huge: Async), `deterministic` (same bits for any placement of the workers)
-- - `timeout` (seconds a wait may last, 300), `lease` (seconds of silence after which a process is lost, 10)
-- - `cache` (`{ rows = n, bytes = n }`: the most copies of other processes' rows that the workers of this one share or
-- that are pushed to it; 1 GiB. Each worker keeps those it has read besides)
-- - `snapshot` (`{ every = clocks, dir = folder, durability = "snapshot" or "journal" }`), `resume` (true; "if any": or
-- begin anew; a number: from the snapshot at that clock)
-- - `on_loss` ("fail"; "continue": without a lost process that holds no shard; "restart": under `epact launch
-- --restarts N` all are started again, from the last snapshot), `servers` (shards are on the first n ranks;
-- default: on all), `elastic` (processes may join while the job runs, started with EPACT_JOIN=1)
-- - `keys` (folder of keys, see `epact keygen`; also EPACT_KEYS) or `insecure` (true: do without; also
-- EPACT_INSECURE=1), `address` (host, or host:port, at which the others reach this process, where that is not the
-- address from which it reaches the root; also EPACT_ADDRESS)
-- @tparam function f
-- @return what the first worker of this process returned
-- @treturn epact.report
epact.run = pool.run

--- Starts workers that stay: for the REPL. `pool:each(f)` runs a phase, `pool:close()` ends them.
-- @tparam ?table given as for `epact.run`
-- @treturn epact.pool
function epact.start(given)
  return pool.start("epact.start", given)
end

-- Parts load when they are first used.
local parts = {
  data = "epact.data", text = "epact.text", rng = "epact.rng", optim = "epact.optim", mcmc = "epact.mcmc",
  model = "epact.model", sched = "epact.sched", progress = "epact.progress", plot = "epact.plot",
  command = "epact.command", strads = "epact.strads",
}

return setmetatable(epact, {
  __index = function(self, name)
    local part = parts[name]
    if not part then return nil end
    local module = require(part)
    rawset(self, name, module)
    return module
  end,
  __tostring = function() return "epact " .. core.version .. " (LuaJIT module with a C core)" end,
})
