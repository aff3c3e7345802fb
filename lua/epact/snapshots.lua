--- Snapshots in a folder, looked at from outside a job: what `epact snapshots` prints.
-- @module epact.snapshots
-- @usage for _, s in ipairs(require "epact.snapshots".list "run/snapshots") do print(s.clock, s.error or s.tables) end

local ffi = require "ffi"
local core = require "epact.core"
local options = require "epact.options"
local C = core.C

local snapshots = {}

local function look(folder, clock)
  local raw = ffi.gc(ffi.new "epact_snapshot", C.epact_snapshot_free)
  local code = C.epact_snapshot_look(folder, clock, raw)
  if code ~= C.EPACT_OK then
    return { clock = clock, error = ("%s [%s]"):format(ffi.string(C.epact_error_message()),
      ffi.string(C.epact_error_name(code))) }
  end
  local tables = {}
  for i = 0, raw.tables - 1 do
    local table = raw.table[i]
    tables[i + 1] = { name = ffi.string(table.name), shape = ffi.string(table.shape), rows = tonumber(table.rows) }
  end
  return {
    clock = clock, reaches = tonumber(raw.reaches), run = bit.tohex(raw.run, 16), every = tonumber(raw.every),
    shards = raw.shards, workers = raw.workers, states = raw.states, deterministic = raw.deterministic ~= 0,
    bytes = tonumber(raw.bytes), journal_bytes = tonumber(raw.journal_bytes), tables = tables,
  }
end

--- All snapshots of a folder, oldest first; all of each is read and checked.
-- @tparam string folder
-- @treturn table a list of `{ clock, reaches, run, every, shards, workers, states, deterministic, bytes, journal_bytes,
-- tables }`, where `reaches` is the clock at which a job that is resumed from it begins (its journals go on to it) and
-- `tables` a list of `{ name, shape, rows }`; of one that a job could not begin with: `{ clock, error }`
function snapshots.list(folder)
  options.argument("snapshots.list", "folder", "string", folder)
  local most = core.check(C.epact_snapshots_list(folder, nil, 0), "snapshots.list")
  local clocks = ffi.new("int64_t[?]", most)
  local found = math.min(most, core.check(C.epact_snapshots_list(folder, clocks, most), "snapshots.list"))
  local list = {}
  for i = 0, found - 1 do list[i + 1] = look(folder, tonumber(clocks[i])) end
  return list
end

local function amount(bytes)
  for _, unit in ipairs { { 1e9, "GB" }, { 1e6, "MB" }, { 1e3, "kB" } } do
    if bytes >= unit[1] then return ("%.1f %s"):format(bytes / unit[1], unit[2]) end
  end
  return bytes .. " B"
end

local function count(n, what) return ("%d %s%s"):format(n, what, n == 1 and "" or "s") end

--- One of the list as text.
function snapshots.describe(s)
  if s.error then return ("clock %d  cannot be used: %s"):format(s.clock, s.error) end
  local lines = { ("clock %d  %s; run %s, %s, %s%s%s"):format(s.clock, amount(s.bytes), s.run, count(s.shards, "shard"),
    count(s.workers, "worker"), s.states > 0 and (" (%s)"):format(count(s.states, "state")) or "",
    s.deterministic and ", deterministic" or "") }
  if s.journal_bytes > 0 then
    lines[2] = ("  journal %s, to clock %d"):format(amount(s.journal_bytes), s.reaches)
  end
  local width = 0
  for _, table in ipairs(s.tables) do width = math.max(width, #table.name) end
  for _, table in ipairs(s.tables) do
    lines[#lines + 1] = ("  %s%s  %s, %s"):format(table.name, (" "):rep(width - #table.name), table.shape,
      count(table.rows, "row"))
  end
  return table.concat(lines, "\n")
end

--- Prints the list.
-- @treturn boolean there is one at least, and all are good
function snapshots.show(folder)
  local list = snapshots.list(folder)
  local good = #list > 0
  if not good then print(folder .. " has no snapshot") end
  for _, s in ipairs(list) do
    print(snapshots.describe(s))
    good = good and not s.error
  end
  return good
end

--- The command `epact snapshots DIR [--check]`.
-- @tparam table words of the command line, "snapshots" the first
-- @treturn number exit status: 1 when, with `--check`, there is none or a bad one; 2 for a wrong command line
function snapshots.command(words)
  local folder, check, wrong
  for i = 2, #words do
    if words[i] == "--check" then
      check = true
    elseif folder or words[i]:find "^%-" then
      wrong = words[i]
    else
      folder = words[i]
    end
  end
  if wrong or not folder then
    io.stderr:write(("epact: snapshots takes one folder%s: epact snapshots DIR [--check]\n"):format(
      wrong and (", not " .. wrong) or ""))
    return 2
  end
  local good = snapshots.show(folder)
  return check and not good and 1 or 0
end

return snapshots
