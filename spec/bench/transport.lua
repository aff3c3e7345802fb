--- What moves between workers and shards, each figure beside its limit in the same run: memcpy and plain C loops in one
-- process, raw ZeroMQ between two. Runs alternate, and the fractions are medians over rounds.
-- `make bench`, or after it `luajit spec/bench/transport.lua [memory] [tcp] [curve]`

package.path = "./lua/?.lua;./lua/?/init.lua;./spec/?.lua;" .. package.path
package.cpath = "./" .. (os.getenv "EPACT_BUILD" or "build") .. "/?.so;" .. package.cpath

local epact = require "epact"
local jobs = require "support.jobs"

local MEBI = 2 ^ 20
local limits = (os.getenv "EPACT_BUILD" or "build") .. "/bench/limits.so"

local declarations = [[
  typedef struct limit_raw limit_raw;
  limit_raw *limit_raw_open(int port, int curve, size_t capacity);
  int limit_raw_port(const limit_raw *raw);
  void limit_raw_close(limit_raw *raw);
  double limit_raw_push(limit_raw *raw, size_t bytes, int count);
  int limit_raw_serve(limit_raw *raw, size_t bytes, int count, int each);
  double limit_raw_ask(limit_raw *raw, size_t sent, int count, double *seconds);
  void limit_add(double *value, const double *delta, int64_t n);
  void limit_add_cells(double *value, int64_t cols, int64_t n, const uint32_t *row, const uint32_t *col,
                       const double *delta);
  void limit_add_hashed(uint64_t *key, double *value, unsigned bits, int64_t n, const uint32_t *row,
                        const uint32_t *col, const double *delta);
]]

local function median(list)
  table.sort(list)
  return list[math.floor(#list / 2) + 1]
end

local function percentile(list, p)
  table.sort(list)
  return list[math.max(1, math.ceil(#list * p))]
end

--- `rounds` times each of the functions in turn, which return seconds; the median of each, and of the fractions that
-- the last (the limit) is of the others.
local function alternate(rounds, functions)
  local seconds, fraction = {}, {}
  for i = 1, #functions do seconds[i], fraction[i] = {}, {} end
  for _ = 1, rounds do
    for i, f in ipairs(functions) do seconds[i][#seconds[i] + 1] = f() end
    for i = 1, #functions do
      local all = seconds[i]
      fraction[i][#all] = seconds[#functions][#all] / all[#all]
    end
  end
  for i = 1, #functions do seconds[i], fraction[i] = median(seconds[i]), median(fraction[i]) end
  return seconds, fraction
end

local function print_row(name, value, limit, fraction)
  print(("%-52s %14s   %-40s %6s"):format(name, value, limit, fraction and ("%.0f %%"):format(100 * fraction) or ""))
end

local function bandwidth(bytes, seconds) return ("%.2f GB/s"):format(bytes / seconds / 1e9) end
local function rate(n, seconds) return ("%.1f M/s"):format(n / seconds / 1e6) end
local function microseconds(p50, p99) return ("%.0f, %.0f us"):format(p50 * 1e6, p99 * 1e6) end

-- ---- one process ----

local function memory(w)
  local ffi = require "ffi"
  local C = require("epact.core").C
  ffi.cdef(declarations)
  local L = ffi.load("./" .. limits)
  local rows = {}
  local function timed(repeats, f)
    return function()
      local begin = C.epact_thread_cpu()
      for _ = 1, repeats do f() end
      return (C.epact_thread_cpu() - begin) / repeats
    end
  end

  for _, megabytes in ipairs { 0.25, 4, 64 } do
    local cols, bytes = megabytes * MEBI / 8, megabytes * MEBI
    local big = w:table("big" .. megabytes, { rows = 1, cols = cols })
    local delta, copy = ffi.new("double[?]", cols), ffi.new("double[?]", cols)
    for i = 0, cols - 1 do delta[i] = 1 end
    for _ = 1, 3 do
      big:inc_row(0, delta)
      w:clock()
    end
    local repeats = math.max(1, math.floor(64 / megabytes / 4))
    local published
    local function clock_alone() -- the part of `clock` in it
      local seconds = 0
      for _ = 1, repeats do
        big:inc_row(0, delta)
        local begin = C.epact_thread_cpu()
        w:clock()
        seconds = seconds + C.epact_thread_cpu() - begin
      end
      published = seconds / repeats
      return published
    end
    local seconds, fraction = alternate(9, {
      clock_alone,
      timed(repeats, function()
        big:inc_row(0, delta)
        w:clock()
      end),
      timed(repeats, function() L.limit_add(copy, delta, cols) end),
      timed(repeats, function() ffi.copy(copy, delta, bytes) end),
    })
    local limit = "memcpy " .. bandwidth(bytes, seconds[4])
    rows[#rows + 1] = { ("publish a dense row of %g MiB"):format(megabytes), bandwidth(bytes, seconds[1]), limit,
      fraction[1] }
    rows[#rows + 1] = { "  with the inc_row before it", bandwidth(bytes, seconds[2]), limit, fraction[2] }
    rows[#rows + 1] = { "  a plain loop, value[i] += delta[i]", bandwidth(bytes, seconds[3]), limit, fraction[3] }
    local function fetch()
      local total = 0
      for _ = 1, repeats do
        big:inc(0, 0, 1) -- else the row is known to be unchanged, and not copied
        w:clock()
        local begin = C.epact_thread_cpu()
        big:get(0)
        total = total + C.epact_thread_cpu() - begin
      end
      return total / repeats
    end
    seconds, fraction = alternate(9, { fetch, timed(repeats, function() ffi.copy(copy, delta, bytes) end) })
    rows[#rows + 1] = { ("fetch a dense row of %g MiB"):format(megabytes), bandwidth(bytes, seconds[1]),
      "memcpy " .. bandwidth(bytes, seconds[2]), fraction[1] }
  end

  local n, bits = 1e6, 22
  local row, col, delta = ffi.new("uint32_t[?]", n), ffi.new("uint32_t[?]", n), ffi.new("double[?]", n)
  local rng = epact.rng(1)
  for i = 0, n - 1 do row[i], col[i], delta[i] = rng:below(2000), rng:below(1000), 1 end
  local array = ffi.new("double[?]", 2000 * 1000)
  local key, value = ffi.new("uint64_t[?]", 2 ^ bits), ffi.new("double[?]", 2 ^ bits)
  ffi.fill(key, 8 * 2 ^ bits, 0xff)
  local dense = w:table("cells", { rows = 2000, cols = 1000, sparse_updates = true })
  local sparse = w:table("hashed", { rows = 2000, cols = 1000, sparse = true })
  local function increments(t)
    return timed(1, function()
      t:inc_many(n, row, col, delta)
      w:clock()
    end)
  end
  for _, case in ipairs {
    { "random cells merged and applied, dense rows", dense, "loop over an array",
      function() L.limit_add_cells(array, 1000, n, row, col, delta) end },
    { "random cells merged and applied, sparse rows", sparse, "loop over a hash",
      function() L.limit_add_hashed(key, value, bits, n, row, col, delta) end },
  } do
    increments(case[2])()
    case[4]()
    local seconds, fraction = alternate(5, { increments(case[2]), timed(1, case[4]) })
    rows[#rows + 1] = { case[1], rate(n, seconds[1]), case[3] .. " " .. rate(n, seconds[2]), fraction[1] }
  end
  return rows
end

--- Reads each row of a small table once, every one a miss, and appends the seconds of each to a list.
local function read_all(C, t, seconds)
  for row = 0, 39 do
    local begin = C.epact_now()
    t:get(row)
    seconds[#seconds + 1] = C.epact_now() - begin
  end
end

-- ---- two processes: rank 0 holds the shard and the ROUTER, rank 1 the worker that is timed ----

local function between(w)
  local ffi = require "ffi"
  local core = require "epact.core"
  local C = core.C
  ffi.cdef(declarations)
  local L = ffi.load("./" .. limits)
  local serves, curve = w.rank == 0, os.getenv "EPACT_KEYS" and 1 or 0
  local largest = curve == 1 and 16 or 64
  local rows = {}
  local port = w:table("port", { rows = 1, cols = 1 })
  local raw = serves and L.limit_raw_open(0, curve, largest * MEBI)
  if serves then port:inc(0, 0, L.limit_raw_port(raw)) end
  w:barrier()
  if not serves then raw = L.limit_raw_open(port:get(0)[0], curve, largest * MEBI) end
  if raw == nil then error "no socket for raw ZeroMQ" end

  -- The worker that is not timed does the other part of each.
  local function push(t, count)
    return function()
      w:barrier()
      local begin = C.epact_now()
      for _ = 1, count do
        if not serves then t:inc(0, 0, 1) end
        w:clock()
      end
      w:barrier()
      return C.epact_now() - begin
    end
  end
  local function pull(t, count)
    return function()
      w:barrier()
      local begin = C.epact_now()
      for _ = 1, count do
        w:clock()
        if not serves then t:get(0) end
      end
      return C.epact_now() - begin
    end
  end
  local function raw_push(bytes, count)
    return function()
      w:barrier()
      if serves then return L.limit_raw_serve(raw, 1, count, 0) + 1 end
      return L.limit_raw_push(raw, bytes, count)
    end
  end
  local function raw_pull(bytes, count)
    return function()
      w:barrier()
      if serves then return L.limit_raw_serve(raw, bytes, count, 1) + 1 end
      return L.limit_raw_ask(raw, 8, count, nil)
    end
  end

  for _, megabytes in ipairs { 0.0625, 1, 16, 64 } do
    local bytes = megabytes * MEBI
    if megabytes <= largest then
      local t = w:table("big" .. megabytes, { rows = 1, cols = bytes / 8, staleness = math.huge })
      local count = math.min(math.max(2, (curve == 1 and 32 or 96) / megabytes), 200)
      push(t, 2)()
      pull(t, 2)()
      raw_push(bytes, 2)()
      for _, case in ipairs { { "push", push, raw_push }, { "pull", pull, raw_pull } } do
        local seconds, fraction = alternate(5, { case[2](t, count), case[3](bytes, count) })
        rows[#rows + 1] = { ("%s a row of %g MiB"):format(case[1], megabytes), bandwidth(bytes * count, seconds[1]),
          "raw ZeroMQ " .. bandwidth(bytes * count, seconds[2]), fraction[1] }
      end
    end
  end

  local many = w:table("many", { rows = 16 * largest, cols = 8192, staleness = math.huge })
  local bytes = many.rows * 8192 * 8
  local function fetch_all()
    w:barrier()
    local begin = C.epact_now()
    w:clock()
    if not serves then many:fetch() end
    return C.epact_now() - begin
  end
  fetch_all()
  local seconds, fraction = alternate(5, { fetch_all, raw_pull(4 * MEBI, bytes / (4 * MEBI)) })
  rows[#rows + 1] = { ("pull a table of %d rows of 64 KiB"):format(many.rows), bandwidth(bytes, seconds[1]),
    "raw, messages of 4 MiB " .. bandwidth(bytes, seconds[2]), fraction[1] }

  local small = w:table("small", { rows = 40, cols = 8, staleness = math.huge })
  local count, each = 400, ffi.new("double[?]", 400)
  local of_read, of_raw = {}, {}
  for _ = 1, 5 do
    w:barrier()
    for _ = 1, count / 40 do
      w:clock()
      if not serves then read_all(C, small, of_read) end
    end
    w:barrier()
    if serves then
      L.limit_raw_serve(raw, 64, count, 1)
    else
      L.limit_raw_ask(raw, 64, count, each)
      for i = 0, count - 1 do of_raw[#of_raw + 1] = each[i] end
    end
  end
  w:barrier()
  if not serves then
    local p50, p99 = percentile(of_raw, 0.5), percentile(of_raw, 0.99)
    rows[#rows + 1] = { "read of a small row that misses, p50, p99",
      microseconds(percentile(of_read, 0.5), percentile(of_read, 0.99)),
      "raw round trip " .. microseconds(p50, p99), p50 / percentile(of_read, 0.5) }
  end
  L.limit_raw_close(raw)
  if not serves then return rows end
end

-- Three workers: one reads small rows while another of its process pushes a long one.
local function beside(w)
  local C = require("epact.core").C
  local long = os.getenv "EPACT_KEYS" and 64 or 256
  local small = w:table("small", { rows = 40, cols = 8, staleness = math.huge })
  local t = w:table("long", { rows = 1, cols = long * MEBI / 8, staleness = math.huge })
  local pushes, reads = w.id == 1, w.id == 2
  local seconds = { quiet = {}, busy = {} }
  for _, state in ipairs { "first", "quiet", "busy" } do
    w:barrier()
    if pushes and state ~= "quiet" then t:inc(0, 0, 1) end
    w:barrier()
    if pushes and state ~= "quiet" then t:inc(0, 0, 1) end
    for _ = 1, 10 do
      w:clock()
      if reads then read_all(C, small, seconds[state] or {}) end
    end
    w:barrier()
  end
  if w.rank == 1 then
    local quiet = w:shared("quiet", 2)
    local busy = w:shared("busy", 2)
    for name, view in pairs { quiet = quiet, busy = busy } do
      if reads then view[0], view[1] = percentile(seconds[name], 0.5), percentile(seconds[name], 0.99) end
    end
    w:barrier()
    return { { ("  the same while a push of %d MiB is under way"):format(long), microseconds(busy[0], busy[1]),
      "without it " .. microseconds(quiet[0], quiet[1]), quiet[0] / busy[0] } }
  end
  w:barrier()
end

-- ---- all of it ----

local function print_rows(rows)
  for _, row in ipairs(rows) do print_row(unpack(row, 1, 4)) end
end

local function run_two(environment)
  local results = jobs.run('dofile "spec/bench/transport.lua"',
    { processes = 2, transport = "tcp", seconds = 100, prefix = { [0] = environment, environment } })
  for rank = 0, 1 do
    if results[rank].code ~= 0 then error(("rank %d: %s"):format(rank, tostring(results[rank].errors))) end
  end
  io.write(results[1].output)
  local figures = {}
  for name, value in results[1].output:gmatch "(pu[^\n]-[^%s])%s%s+([%d.]+) GB/s" do figures[name] = tonumber(value) end
  return figures
end

local parts, plain = {}, nil

function parts.memory()
  print_rows((epact.run({ workers = 1 }, memory)))
end

function parts.tcp()
  plain = run_two "env"
end

function parts.curve()
  local folder = os.tmpname()
  os.remove(folder)
  require("epact.keys").create(folder)
  local ok, figures = pcall(run_two, "env EPACT_KEYS=" .. folder)
  os.execute("rm -rf " .. folder)
  if not ok then error(figures, 0) end
  for _, name in ipairs { "push a row of 1 MiB", "push a row of 16 MiB", "pull a row of 16 MiB" } do
    if plain then print(("what CURVE costs: %s takes %.1f times as long"):format(name, plain[name] / figures[name])) end
  end
end

if os.getenv "EPACT_RANK" then
  local serves = os.getenv "EPACT_RANK" == "0"
  for _, job in ipairs { { between, 1 }, { beside, serves and 1 or 2 } } do
    local rows = epact.run({ workers = job[2], servers = 1, timeout = 60 }, job[1])
    if rows then print_rows(rows) end
  end
else
  local chosen = #arg > 0 and arg or { "memory", "tcp", "curve" }
  for _, name in ipairs(chosen) do
    if not parts[name] then error("no part '" .. name .. "': memory, tcp, curve", 0) end
    print(({ memory = "in one process", tcp = "between two processes, tcp on one machine",
      curve = "... with CURVE" })[name])
    parts[name]()
  end
end
