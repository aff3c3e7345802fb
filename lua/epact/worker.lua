--- A worker: what the function given to `epact.run` gets as its argument.
--
-- Fields: `id` and `workers` (this worker among all of the job, from 0), `rank` and `size` (its process),
-- `staleness` (the default of its tables), `seed`, `joined` (it came while the job ran).
-- @classmod epact.worker

local ffi = require "ffi"
local buffer = require "string.buffer"
local core = require "epact.core"
local options = require "epact.options"
local partition = require "epact.partition"
local rng = require "epact.rng"
local Table = require "epact.table"
local C = core.C
local check = core.check

local methods = {}
local class = { __index = methods }

--- Opens (or makes) a table of the parameter server. Every worker opens the tables it uses, with the
-- same name and shape.
-- @tparam string name
-- @tparam table given `cols` (required), `rows` (default: any id), `type` ("f64", "f32", "i32", "i64"), `sparse`
-- (rows stored by their non-zero cells), `sparse_updates` (increments logged cell by cell), `changes` (increments
-- can be read as changes), `push` (other processes are sent the changes of the rows they have read, so that their
-- reads seldom wait), `staleness` (0: BSP, math.huge: Async; default: the job's), `filter`: what a clock publishes of
-- the increments, a table of
--
-- - `zero` (true: rows and cells that are zero are not sent);
-- - `precision` ("f16", "bf16", of an f64 table also "f32": values are sent rounded to it);
-- - `significance` (a fraction: an increment at most that much of the value in the worker's copy waits; of a row with
--   dense updates, the largest magnitudes are compared) for at most `hold` clocks (the same for all workers; default:
--   half the staleness, rounded up; Async: 8).
--
-- What is not sent stays with the worker, whose own reads have it, and is added to what it sends later; a barrier, a
-- clock whose end is in a snapshot or journal, and the end of the function send all of it, exactly. The promise of the
-- table's staleness s holds for what waits, because reads wait for others as those of a table with staleness s - hold;
-- what rounding leaves (half a unit in the last place of what was sent) others see at a barrier at the latest. Costs up
-- to the bytes of a cell for each dense cell incremented since the last barrier, 64 for each sparse one.
-- @treturn epact.table
function methods:table(name, given)
  local table = Table.open(self, name, given)
  self.tables[name] = table
  return table
end

-- What the worker keeps for itself goes into the snapshot of the clock that has just ended.
local function save_state(self)
  local kept = self.save()
  if kept == nil then core.fail "state: save returned nothing" end
  local ok, state = pcall(buffer.encode, kept)
  if not ok then
    core.fail("state: save must return a string, a number, a boolean or a table of them: %s", tostring(state))
  end
  check(C.epact_worker_save(self.handle, state, #state), "state")
end

--- Ends this worker's clock: publishes its increments, never waits for other workers (but one that is 48 clocks
-- ahead of what could be applied waits for that).
function methods:clock()
  check(C.epact_worker_clock(self.handle), "clock")
  if self.save and C.epact_worker_saves(self.handle) ~= 0 then save_state(self) end
end

--- clock(), then waits until every worker has come as far; what they published is seen by later reads.
function methods:barrier()
  check(C.epact_worker_barrier(self.handle), "barrier")
  if self.save and C.epact_worker_saves(self.handle) ~= 0 then save_state(self) end
end

--- What this worker keeps beside the tables: assignments, a random stream, a position in its data. It is saved with
-- every snapshot, as it is at the end of that clock, and handed back when the job is resumed. To be called before the
-- first clock, once; without snapshots it does nothing.
-- @tparam function save returns the state: a string, number, boolean or a table of them
-- @tparam function load gets what `save` returned
-- @treturn boolean true when there was a state to load: the job is resumed, and what the worker would put into tables
-- at the beginning is there already
-- @usage w:state(function() return rng:state() end, function(state) rng:restore(state) end)
function methods:state(save, load)
  options.argument("state", "save", "function", save)
  options.argument("state", "load", "function", load)
  if self.save then core.fail "state: this worker has a state already" end
  if self:now() ~= self.begun then
    core.fail("state: to be called before the worker's first clock, this is its clock %d", self:now())
  end
  self.save = save
  if not self.snapshots then return false end
  local bytes = ffi.new "size_t[1]"
  local state = C.epact_worker_keep_state(self.handle, bytes)
  if state == nil then return false end
  load(buffer.decode(ffi.string(state, bytes[0])))
  return true
end

--- What is tagged below this clock would survive the loss of all processes now; 0 without snapshots.
function methods:durable()
  return tonumber(C.epact_process_durable(self.process))
end

--- The worker's clock: the number of `clock` and `barrier` calls so far, those before a resumption too.
function methods:now()
  return tonumber(C.epact_worker_now(self.handle))
end

--- The least clock of all workers, as this process has heard of it: none is behind it. Costs no message and no wait, so
-- that one who is ahead may ask again and again whether the others have come. nil in a process without a part of the
-- server.
function methods:slowest()
  local clock = tonumber(C.epact_worker_slowest(self.handle))
  return clock >= 0 and clock or nil
end

--- Publishes what is left and leaves the job. Called when the function returns.
function methods:finish()
  if self.finished then return end
  if self.save and self.snapshots then save_state(self) end
  self.finished = true
  check(C.epact_worker_finish(self.handle), "finish")
end

--- This worker's part of data: contiguous rows (documents, ratings), about as many non-zeros as the others have.
-- Nothing is copied. With several arguments of equal length all are cut at the same rows.
-- @usage local X, y = w:shard(epact.data.libsvm "train.svm")
function methods:shard(first, ...)
  local from, to = partition.share(first, self.id, self.workers)
  local parts = { first:slice(from, to) }
  for i = 1, select("#", ...) do
    local other = select(i, ...)
    local have, want = partition.size(other), partition.size(first)
    if have ~= want then core.fail("shard: argument %d has %d items, the first has %d", i + 1, have, want) end
    parts[i + 1] = other:slice(from, to)
  end
  return unpack(parts)
end

--- A random stream of this worker (or `stream`), of the job's seed.
function methods:rng(stream)
  if stream ~= nil then options.argument("rng", "stream", "index", stream) end
  return rng(self.seed, (stream or self.id) + 1)
end

local shared_types = { f32 = "float", f64 = "double", i32 = "int32_t", i64 = "int64_t" }

--- Plain memory shared by the workers of this process: `count` zeros, the same pointer for all who give this
-- name. No clock, no lock: for Hogwild!.
-- @tparam string name
-- @tparam number count
-- @tparam[opt="f64"] string type
function methods:shared(name, count, type)
  options.argument("shared", "name", "string", name)
  options.argument("shared", "count", "count", count)
  local kind = shared_types[options.argument("shared", "type", { "f32", "f64", "i32", "i64" }, type or "f64")]
  local memory = C.epact_process_shared(self.process, name, count * ffi.sizeof(kind))
  if memory == nil then check(C.epact_error_code(), "shared") end
  return ffi.cast(kind .. " *", memory)
end

--- Takes a name for a model's tables; fails when this worker has a model of that name, whose tables the new one's
-- increments would be added to; also in a resumed job, whose tables have what was added before, unless the model goes
-- on from its own state (`w:state`).
-- @tparam string where the function as the user called it
-- @tparam string name
-- @tparam[opt=false] boolean resumes
function methods:claim(where, name, resumes)
  local key = where .. " " .. name
  if self.claimed[key] then
    core.fail("%s: this job has trained '%s' before: give the model another name", where, name)
  end
  if self.begun > 0 and not self.joined and not resumes then
    core.fail("%s: it has no state in snapshots: it cannot go on from the one of clock %d [E_SNAPSHOT]", where,
      self.begun)
  end
  self.claimed[key] = true
end

--- A name that `claim` will not refuse: `name`, or the first of "name 2", "name 3", ... The same on every worker, as
-- long as all train the same models in the same order.
function methods:free_name(where, name)
  local free, n = name, 1
  while self.claimed[where .. " " .. free] do
    n = n + 1
    free = ("%s %d"):format(name, n)
  end
  return free
end

--- True once the job is stopped: for long computations between clocks.
function methods:stopped()
  return C.epact_worker_stopped(self.handle) ~= 0
end

--- Seconds this worker waited in `clock` because too many of its batches were under way.
function methods:room()
  return C.epact_worker_wait_room(self.handle)
end

--- Statistics of every table this worker opened, by name.
function methods:stats()
  local stats = {}
  for name, table in pairs(self.tables) do stats[name] = table:stats() end
  return stats
end

function class:__tostring()
  return ("epact.worker %d of %d <rank %d of %d, clock %d>"):format(self.id, self.workers, self.rank, self.size,
    self:now())
end

local Worker = {}

--- The worker at an address, for the thread that owns it.
function Worker.adopt(address, given)
  local handle = ffi.cast("epact_worker *", ffi.cast("void *", address))
  local place = C.epact_worker_where(handle)
  local self = setmetatable({
    handle = handle, process = ffi.cast("epact_process *", ffi.cast("void *", given.process)), tables = {},
    claimed = {},
    id = place.id, workers = place.count, rank = place.rank, size = place.size, index = place["local"],
    deterministic = place.deterministic ~= 0, staleness = given.staleness, seed = given.seed,
    snapshots = given.snapshots, joined = C.epact_worker_joined(handle) ~= 0,
  }, class)
  self.begun = self:now()
  return self
end

return Worker
