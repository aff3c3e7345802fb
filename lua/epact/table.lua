--- Tables of the parameter server, as a worker sees them.
--
-- Made by `w:table(name, options)`. A read at the worker's clock c holds every increment tagged
-- <= c-s-1 of all workers (s: the table's staleness) and all of the worker's own.
-- @classmod epact.table

local ffi = require "ffi"
local array = require "epact.array"
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
  changes = { "boolean", false }, push = { "boolean", false }, staleness = { "staleness" }, filter = { "table" },
}

local filters = {
  zero = { "boolean", false }, significance = { "positive" }, hold = { "count" },
  precision = { { "f16", "bf16", "f32" } },
}
local precisions = { f16 = C.EPACT_AS_F16, bf16 = C.EPACT_AS_BF16, f32 = C.EPACT_AS_F32 }

local shared_methods = {}

-- The C side gets int64_t ids, to which LuaJIT would cut a fraction: these checks cost a compiled loop nothing.
local function is_integer(value) return type(value) == "number" and value % 1 == 0 end

-- The slow way of an argument: an int64_t is a number too, anything else but `kind` is an error.
local function argument(self, where, name, kind, value)
  local number = type(value) == "cdata" and tonumber(value) or value
  return options.argument(("%s: table '%s'"):format(where, self.name), name, kind, number)
end

--- cell(row, col) += delta. NaN, infinity, ids out of range, and fractions in integer tables are errors.
function shared_methods:inc(row, col, delta)
  if not is_integer(row) then row = argument(self, "inc", "row", "index", row) end
  if not is_integer(col) then col = argument(self, "inc", "column", "index", col) end
  if type(delta) ~= "number" then delta = argument(self, "inc", "delta", "number", delta) end
  local code = C.epact_table_inc(self.handle, row, col, delta)
  if code ~= 0 then check(code, "inc") end
end

local shape_of = array.shape_of

-- Refuses what is not an array of at least `n` elements (or a pointer); `like` is the shape of one that fits.
local function check_array(self, where, name, values, n, like, bytes)
  array.check(values, n, like, bytes, "%s: table '%s': %s", where, self.name, name)
end

-- A Lua list as an array of the table's type.
local function list_to_array(self, where, list, n)
  if #list ~= n then core.fail("%s: table '%s': expected %d values, got %d", where, self.name, n, #list) end
  local copy, is_real = ffi.new(self.array, n), self.type == "f64" or self.type == "f32"
  for i = 0, n - 1 do
    local value = list[i + 1]
    if type(value) ~= "number" then value = argument(self, where, "value " .. i, "number", value) end
    copy[i] = value
    if not is_real and tonumber(copy[i]) ~= value then
      core.fail("%s: table '%s': value %d is %s, not a number of type %s", where, self.name, i,
        options.show(value), self.type)
    end
  end
  return copy
end

-- An array the C side may read `n` cells of: a cdata array or pointer of the table's type, or a Lua list.
local function cells(self, where, values, n)
  if type(values) == "table" then return list_to_array(self, where, values, n) end
  if not ffi.istype(self.pointer, values) then
    check_array(self, where, "values", values, n, self.like, bytes_of[self.type])
  end
  return values
end

--- row += values: `cols` of them, a list or an array of the table's type.
function shared_methods:inc_row(row, values)
  if not is_integer(row) then row = argument(self, "inc_row", "row", "index", row) end
  check(C.epact_table_inc_row(self.handle, row, cells(self, "inc_row", values, self.cols)), "inc_row")
end

--- The whole table += values: rows x cols of them, row by row.
function shared_methods:inc_all(values)
  if not self.rows then core.fail("inc_all: table '%s' has no declared number of rows", self.name) end
  check(C.epact_table_inc_all(self.handle, cells(self, "inc_all", values, self.rows * self.cols)), "inc_all")
end

local id_pointer, real_pointer = ffi.typeof "const uint32_t *", ffi.typeof "const double *"
local like_id, like_real = shape_of(id_pointer()), shape_of(real_pointer())

--- row[col[i]] += scale * value[i] for i = 0 .. n-1.
-- @param row
-- @param n
-- @param col uint32_t array
-- @param value double array
-- @param[opt=1] scale
function shared_methods:inc_sparse(row, n, col, value, scale)
  scale = scale or 1
  if not is_integer(row) then row = argument(self, "inc_sparse", "row", "index", row) end
  if not is_integer(n) or n < 0 then n = argument(self, "inc_sparse", "n", "index", n) end
  if type(scale) ~= "number" then scale = argument(self, "inc_sparse", "scale", "number", scale) end
  if not ffi.istype(id_pointer, col) then check_array(self, "inc_sparse", "col", col, n, like_id, 4) end
  if not ffi.istype(real_pointer, value) then check_array(self, "inc_sparse", "value", value, n, like_real, 8) end
  local code = C.epact_table_inc_sparse(self.handle, row, n, col, value, scale)
  if code ~= 0 then check(code, "inc_sparse") end
end

--- self[row[i]][col[i]] += delta[i] for i = 0 .. n-1, all or nothing.
-- @param n
-- @param row uint32_t array
-- @param col uint32_t array
-- @param delta array of the table's type
function shared_methods:inc_many(n, row, col, delta)
  if not is_integer(n) or n < 0 then n = argument(self, "inc_many", "n", "index", n) end
  if not ffi.istype(id_pointer, row) then check_array(self, "inc_many", "row", row, n, like_id, 4) end
  if not ffi.istype(id_pointer, col) then check_array(self, "inc_many", "col", col, n, like_id, 4) end
  if not ffi.istype(self.pointer, delta) then
    check_array(self, "inc_many", "delta", delta, n, self.like, bytes_of[self.type])
  end
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
  local ids = ffi.new("int64_t[?]", #rows)
  for i, row in ipairs(rows) do ids[i - 1] = is_integer(row) and row or argument(self, "fetch", "row", "index", row) end
  check(C.epact_table_fetch(self.handle, #rows, ids), "fetch")
  return self
end

local one_row = ffi.typeof "int64_t[1]"

-- The slow way of `get`: wait for the row if the SSP rule demands it.
local function fetch_one(self, row)
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
  if not is_integer(row) then row = argument(self, "cell", "row", "index", row) end
  if not is_integer(col) then col = argument(self, "cell", "column", "index", col) end
  if col < 0 or col >= self.cols then
    core.fail("cell: table '%s': column %s is outside [0, %d)", self.name, col, self.cols)
  end
  self:get(row)
  return C.epact_table_cell(self.handle, row, col)
end

local count_out, section_out = ffi.typeof "int64_t[1]", ffi.typeof "const epact_section *[1]"

--- The increments of all other workers since the last call, at least those tagged <= c-s-1
-- (table option `changes`). An iterator over sections: `section.rows`, `.row[i]`, and the cells
-- `.start[i]` .. `.start[i+1]-1` of `.col` and `.value` (arrays, valid until the next call).
-- @usage for section in topics:changes() do ... end
function shared_methods:changes()
  local count, section = count_out(), section_out()
  check(C.epact_table_changes(self.handle, count, section), "changes")
  local i, n, first, pointer = -1, tonumber(count[0]), section[0], self.pointer
  return function()
    i = i + 1
    if i >= n then return nil end
    local raw = first[i]
    local value = ffi.cast(pointer, raw.value)
    return { rows = tonumber(raw.rows), row = raw.row, start = raw.start, col = raw.col, value = value }, value
  end
end

-- What the library counts, but for the staleness.
local counts = { "reads", "fetches", "hits", "increments", "bytes", "bytes_rows", "bytes_changes", "wait_seconds",
  "wait_clock", "wait_net", "bytes_pushed", "evictions", "subscribed" }

--- What the table has counted for this worker: `reads`; `fetches`, rows brought to its cache, and `hits`, those of them
-- the process had; `increments` and `bytes` published; `bytes_rows` and `bytes_changes` of answers; `wait_seconds` in
-- reads, of which `wait_clock` for slower workers and `wait_net` for other processes to answer; and staleness[0..63],
-- the reads by the clocks their copy was behind. The first worker of a process counts for the process `bytes_pushed`
-- (in), `evictions` from its cache, and `subscribed`, rows of this process that others are sent the changes of.
function shared_methods:stats()
  local raw, stats = ffi.new "epact_table_stats", { staleness = {} }
  C.epact_table_statistics(self.handle, raw)
  for _, field in ipairs(counts) do stats[field] = raw[field] end
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
    if not is_integer(row) then row = argument(self, "get", "row", "index", row) end
    local view = get(self.handle, row)
    if view == nil then
      fetch_one(self, row)
      view = get(self.handle, row)
    end
    return view
  end
  return { __index = methods, __tostring = describe }
end

-- A row of a sparse table: reads the worker's copy, which increments and clocks may replace.
local row_methods = {}
row_methods.__index = row_methods

-- The cells of a row, fresh enough for the worker's clock. They are good until the next increment or read.
local function fresh_cells(self, row)
  local found = ffi.new "epact_row_cells"
  local code = C.epact_table_cells(self.handle, row, found)
  if code == C.EPACT_E_AGAIN then
    fetch_one(self, row)
    code = C.epact_table_cells(self.handle, row, found)
  end
  check(code, "get")
  return found
end

--- The value of a column; 0 where there is none.
function row_methods:get(col)
  return self.table:cell(self.row, col)
end

--- Iterates over (column, value) of the cells that are not 0 now, in no order. The loop may increment the row.
function row_methods:each()
  local found = fresh_cells(self.table, self.row)
  local from, n = ffi.cast(self.table.pointer, found.value), 0
  local col, value = ffi.new("int32_t[?]", found.count), ffi.new(self.table.array, found.count)
  for i = 0, found.capacity - 1 do
    if found.col[i] ~= C.EPACT_ROW_SLOT_EMPTY and from[i] ~= 0 then
      col[n], value[n], n = found.col[i], from[i], n + 1
    end
  end
  local i = -1
  return function()
    i = i + 1
    if i < n then return col[i], tonumber(value[i]) end
  end
end

function row_methods:__tostring()
  return ("epact.row %d of '%s' <%d cells>"):format(self.row, self.table.name, fresh_cells(self.table, self.row).count)
end

local function sparse_class()
  local methods = setmetatable({}, { __index = shared_methods })
  --- The row as an object with `get(col)` and `each()`.
  function methods:get(row)
    if not is_integer(row) then row = argument(self, "get", "row", "index", row) end
    fresh_cells(self, row)
    return setmetatable({ table = self, row = row }, row_methods)
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
  local open = worker.tables[name]
  local staleness = o.staleness or (open and open.staleness) or worker.staleness
  local filter = options.read(("table '%s': filter"):format(name), o.filter or open and open.filter, filters)
  if worker.deterministic and staleness ~= 0 then
    core.fail("table '%s': a deterministic job needs staleness 0, got %s", name, options.show(staleness))
  end
  local raw = ffi.new("epact_table_options", { name = name, rows = o.rows or 0, cols = o.cols, type = types[o.type],
    sparse = o.sparse and 1 or 0, sparse_updates = o.sparse_updates and 1 or 0, changes = o.changes and 1 or 0,
    push = o.push and 1 or 0, staleness = staleness == math.huge and async or staleness,
    zero = filter.zero and 1 or 0, precision = precisions[filter.precision] or C.EPACT_AS_TYPE,
    significance = filter.significance or 0, hold = filter.hold or 0 })
  local handle = ffi.new "epact_table *[1]"
  check(C.epact_table_open(worker.handle, raw, handle), "table")
  local kind = element[o.type]
  return setmetatable({
    handle = handle[0], worker = worker, name = name, rows = o.rows, cols = o.cols, type = o.type,
    sparse = o.sparse, staleness = staleness, filter = filter, element = kind,
    like = shape_of(ffi.new(kind .. "[1]")),
    array = ffi.typeof(kind .. "[?]"), pointer = ffi.typeof("const " .. kind .. " *"),
  }, classes[o.sparse and "sparse" or o.type])
end

return Table
