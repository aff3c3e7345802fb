--- Tables of the parameter server, as a worker sees them.
--
-- Made by `w:table(name, options)`. A read at the worker's clock c holds every increment tagged
-- <= c-s-1 of all workers (s: the table's staleness) and all of the worker's own.
-- @classmod epact.table

local ffi = require "ffi"
local core = require "epact.core"
local options = require "epact.options"
local C = core.C
local check = core.check

local types = { f32 = C.EPACT_F32, f64 = C.EPACT_F64, i32 = C.EPACT_I32, i64 = C.EPACT_I64 }
local element = { f32 = "float", f64 = "double", i32 = "int32_t", i64 = "int64_t" }
local bytes_of = { f32 = 4, f64 = 8, i32 = 4, i64 = 8 }
local async = 0x7fffffffffffffffLL

local known = {
  rows = { "count" }, cols = { "count", required = true },
  type = { { "f32", "f64", "i32", "i64" }, "f64" },
  sparse = { "boolean", false }, sparse_updates = { "boolean", false },
  changes = { "boolean", false }, staleness = { "staleness" },
}

local shared_methods = {}

--- cell(row, col) += delta. NaN, infinity, ids out of range, and fractions in integer tables are errors.
function shared_methods:inc(row, col, delta)
  local code = C.epact_table_inc(self.handle, row, col, delta)
  if code ~= 0 then check(code, "inc") end
end

-- An array the C side may read `n` cells of: a cdata array or pointer of the table's type, or a Lua list.
local function cells(self, where, values, n)
  if type(values) == "table" then
    if #values ~= n then core.fail("%s: expected %d values, got %d", where, n, #values) end
    return ffi.new(self.array, n, values)
  end
  if type(values) ~= "cdata" then
    core.fail("%s: expected a list or a %s array, got %s", where, self.element, options.show(values))
  end
  local got = tostring(ffi.typeof(values))
  if not got:find(self.spelling, 1, true) then
    core.fail("%s: table '%s' is %s, the values are %s", where, self.name, self.type, got)
  end
  local size = got:find("%*") and math.huge or ffi.sizeof(values)
  if size < n * bytes_of[self.type] then
    core.fail("%s: expected %d values, the array has %d", where, n, size / bytes_of[self.type])
  end
  return values
end

--- row += values: `cols` of them, a list or an array of the table's type.
function shared_methods:inc_row(row, values)
  check(C.epact_table_inc_row(self.handle, row, cells(self, "inc_row", values, self.cols)), "inc_row")
end

--- The whole table += values: rows x cols of them, row by row.
function shared_methods:inc_all(values)
  check(C.epact_table_inc_all(self.handle, cells(self, "inc_all", values, (self.rows or 0) * self.cols)), "inc_all")
end

--- row[col[i]] += scale * value[i] for i = 0 .. n-1.
-- @param col uint32_t array
-- @param value double array
function shared_methods:inc_sparse(row, n, col, value, scale)
  local code = C.epact_table_inc_sparse(self.handle, row, n, col, value, scale or 1)
  if code ~= 0 then check(code, "inc_sparse") end
end

--- self[row[i]][col[i]] += delta[i] for i = 0 .. n-1, all or nothing.
-- @param row uint32_t array
-- @param col uint32_t array
-- @param delta array of the table's type
function shared_methods:inc_many(n, row, col, delta)
  check(C.epact_table_inc_many(self.handle, n, row, col, delta), "inc_many")
end

--- Brings rows up to date in one go, so that `get` need not wait for each.
-- @tparam ?table rows a list of ids; nil: all rows
function shared_methods:fetch(rows)
  if rows == nil then
    if not self.rows then core.fail("fetch: table '%s' has no declared number of rows", self.name) end
    check(C.epact_table_fetch(self.handle, self.rows, nil), "fetch")
    return self
  end
  options.argument("fetch", "rows", "table", rows)
  check(C.epact_table_fetch(self.handle, #rows, ffi.new("int64_t[?]", #rows, rows)), "fetch")
  return self
end

local one_row = ffi.typeof "int64_t[1]"

-- The slow way of `get`: wait for the row if the SSP rule demands it.
local function fetch_one(self, row)
  if type(row) ~= "number" or row % 1 ~= 0 then
    core.fail("get: row must be an integer >= 0, got %s", options.show(row))
  end
  check(C.epact_table_fetch(self.handle, 1, one_row(row)), "get")
end

--- All rows, up to date, in one piece: rows x cols values, a pointer that stays valid and keeps its place.
function shared_methods:all()
  self:fetch()
  local all = C.epact_table_all(self.handle)
  if all == nil then check(C.EPACT_E_MISUSE, "all") end
  return ffi.cast(self.pointer, all)
end

--- The value of one cell.
function shared_methods:cell(row, col)
  self:get(row)
  local value = C.epact_table_cell(self.handle, row, col)
  if value ~= value then core.fail("cell: column %s is outside [0, %d)", options.show(col), self.cols) end
  return value
end

local count_out, section_out = ffi.typeof "int64_t[1]", ffi.typeof "const epact_section *[1]"

--- The increments of all other workers since the last call, at least those tagged <= c-s-1
-- (table option `changes`). An iterator over sections: `section.rows`, `.row[i]`, and the cells
-- `.start[i]` .. `.start[i+1]-1` of `.col` and `.value` (an array of the table's type).
-- @usage for section, value in topics:changes() do ... end
function shared_methods:changes()
  local count, section = count_out(), section_out()
  check(C.epact_table_changes(self.handle, count, section), "changes")
  local i, n, first, pointer = -1, tonumber(count[0]), section[0], self.pointer
  return function()
    i = i + 1
    if i < n then return first[i], ffi.cast(pointer, first[i].value) end
  end
end

--- What the table has counted for this worker: reads, fetches, increments, bytes, wait_seconds, and
-- staleness[0..63], the reads by the clocks their copy was behind.
function shared_methods:stats()
  local raw = ffi.new "epact_table_stats"
  C.epact_table_statistics(self.handle, raw)
  local stats = { reads = raw.reads, fetches = raw.fetches, increments = raw.increments, bytes = raw.bytes,
    wait_seconds = raw.wait_seconds, staleness = {} }
  for i = 0, C.EPACT_STALENESS_BINS - 1 do stats.staleness[i] = raw.staleness[i] end
  return stats
end

local function describe(self)
  local staleness = self.staleness == math.huge and "Async" or "staleness " .. self.staleness
  return ("epact.table '%s' <%s x %d %s%s, %s, clock %d>"):format(self.name, self.rows or "any", self.cols, self.type,
    self.sparse and " sparse" or "", staleness, self.worker:now())
end

-- One metatable a type, so that `get` is one call compiled into the trace.
local function dense_class(type_name)
  local get = C["epact_table_get_" .. type_name]
  local methods = setmetatable({}, { __index = shared_methods })
  --- The row as a pointer to its `cols` values. It keeps its place as long as the worker; its values are
  -- those of the last `get` plus the worker's own increments.
  function methods:get(row)
    local view = get(self.handle, row)
    if view == nil then
      fetch_one(self, row)
      view = get(self.handle, row)
    end
    return view
  end
  return { __index = methods, __tostring = describe }
end

-- A row of a sparse table: its non-zero cells at the time of the `get`.
local row_methods = {}
row_methods.__index = row_methods

--- The value of a column; 0 where there is none.
function row_methods:get(col)
  return C.epact_table_cell(self.table.handle, self.row, col)
end

--- Iterates over (column, value), in no order.
function row_methods:each()
  local cell, value = self.cell, ffi.cast(self.table.pointer, self.cell.value)
  local i, n = -1, cell.capacity
  return function()
    repeat i = i + 1 until i >= n or (cell.col[i] >= 0 and value[i] ~= 0)
    if i < n then return cell.col[i], tonumber(value[i]) end
  end
end

function row_methods:__tostring()
  return ("epact.row %d of '%s' <%d cells>"):format(self.row, self.table.name, self.cell.count)
end

local function sparse_class()
  local methods = setmetatable({}, { __index = shared_methods })
  --- The row as an object with `get(col)` and `each()`.
  function methods:get(row)
    local cell = ffi.new "epact_row_cells"
    local code = C.epact_table_cells(self.handle, row, cell)
    if code == C.EPACT_E_AGAIN then
      fetch_one(self, row)
      code = C.epact_table_cells(self.handle, row, cell)
    end
    check(code, "get")
    return setmetatable({ table = self, row = row, cell = cell }, row_methods)
  end
  return { __index = methods, __tostring = describe }
end

local classes = { sparse = sparse_class() }
for type_name in pairs(types) do classes[type_name] = dense_class(type_name) end

local Table = {}

--- Opens a table for a worker: the implementation of `w:table(name, options)`.
function Table.open(worker, name, given)
  options.argument("table", "name", "string", name)
  local o = options.read(("table '%s'"):format(name), given, known)
  local staleness = o.staleness or worker.staleness
  local raw = ffi.new("epact_table_options", { name = name, rows = o.rows or 0, cols = o.cols, type = types[o.type],
    sparse = o.sparse and 1 or 0, sparse_updates = o.sparse_updates and 1 or 0, changes = o.changes and 1 or 0,
    staleness = staleness == math.huge and async or staleness })
  local handle = ffi.new "epact_table *[1]"
  check(C.epact_table_open(worker.handle, raw, handle), "table")
  local kind = element[o.type]
  return setmetatable({
    handle = handle[0], worker = worker, name = name, rows = o.rows, cols = o.cols, type = o.type,
    sparse = o.sparse, staleness = staleness, element = kind,
    spelling = tostring(ffi.typeof(kind)):match("<(.-)>"),
    array = ffi.typeof(kind .. "[?]"), pointer = ffi.typeof("const " .. kind .. " *"),
  }, classes[o.sparse and "sparse" or o.type])
end

return Table
